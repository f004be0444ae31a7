"""What it costs that each step can be seen, beside spans and records written by hand.

    python -m benchmarks.observability            # the table
    python -m benchmarks.observability --json     # for scripts

The same trivial steps run bare, as our workflow, and as coroutines with a span of
OpenTelemetry's SDK and one histogram record written around each: without any provider, under a root
that the sampler dropped, and with a batch processor and a metric reader. A chain has its steps one
after the other; in a nest each is inside the one before. Figures are CPU time of this process per
step, the least of several rounds, all in turn; read the ratios, not the microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.measuring import Work, least_us
from tta_llm import SequentialPrimitive, WorkflowContext, WorkflowPrimitive
from tta_llm.core import WrapperPrimitive

STEPS = 100
ROUNDS = 15
BUDGET_SECONDS = 0.03
"""CPU seconds that one measurement of one side takes, about."""

Steps = Callable[[], Awaitable[Any]]


class Row(NamedTuple):
    """CPU microseconds for a step of one shape under one set-up."""

    what: str
    bare_us: float
    ours_us: float
    by_hand_us: float
    most_added_us: float | None
    """The most that ours may add to a bare step."""
    most_ratio: float | None
    """The most that ours may take, as a share of what is written by hand."""

    @property
    def added_us(self) -> float:
        """What it costs that the step can be seen."""
        return self.ours_us - self.bare_us

    @property
    def ratio(self) -> float:
        """How much dearer ours is than what is written by hand."""
        return self.ours_us / self.by_hand_us


class Plain(WorkflowPrimitive[Any, Any]):
    """A user's own trivial step."""

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        """Give the input back."""
        return input_data


async def plain(data: Any) -> Any:
    """Give the input back; the baseline's step."""
    return data


class ByHand:
    """Spans and records as one writes them around one's own coroutines."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("benchmark")
        self._histogram = metrics.get_meter("benchmark").create_histogram("benchmark_step", "s")

    async def seen(self, name: str, step: Steps) -> Any:
        """Await a step in a span, and record how long it took."""
        attributes = {"tta.primitive": name, "tta.correlation_id": "x"}
        begun = time.perf_counter()
        try:
            with self._tracer.start_as_current_span(name, attributes=attributes):
                return await step()
        finally:
            self._histogram.record(time.perf_counter() - begun, {"step": name})

    async def chain(self) -> Any:
        """One step after the other, in a whole."""

        async def whole() -> Any:
            for _ in range(STEPS):
                await self.seen("Plain", functools.partial(plain, 1))

        return await self.seen("SequentialPrimitive", whole)

    async def nest(self, depth: int = STEPS) -> Any:
        """Each step inside the one before."""
        inside = functools.partial(self.nest, depth - 1) if depth else functools.partial(plain, 1)
        return await self.seen("WrapperPrimitive", inside)


async def bare_chain() -> Any:
    """One step after the other."""
    for _ in range(STEPS):
        await plain(1)


async def bare_nest(depth: int = STEPS) -> Any:
    """Each step inside the one before."""
    return await (bare_nest(depth - 1) if depth else plain(1))


class Switch(sampling.Sampler):
    """Drops every trace until it is turned on."""

    is_on = False

    def should_sample(self, *arguments: Any, **named: Any) -> sampling.SamplingResult:
        """Decide as the switch stands."""
        decided = sampling.ALWAYS_ON if self.is_on else sampling.ALWAYS_OFF
        return decided.should_sample(*arguments, **named)

    def get_description(self) -> str:
        """Say what it is."""
        return "Switch"


class Drop(SpanExporter):
    """Takes spans and forgets them."""

    def export(self, spans: Any) -> SpanExportResult:
        """Forget them."""
        return SpanExportResult.SUCCESS


async def rows(
    setup: str, *, most_added_us: float | None = None, most_ratio: float | None = None
) -> list[Row]:
    """Measure both shapes as OpenTelemetry is set up now."""
    context, hand = WorkflowContext("x"), ByHand()
    chain: Any = SequentialPrimitive([Plain() for _ in range(STEPS)])
    nest: Any = Plain()
    for _ in range(STEPS):
        nest = WrapperPrimitive(nest)
    found = []
    shapes: list[tuple[str, Any, Work, Work]] = [
        ("chain", chain, bare_chain, hand.chain),
        ("nest", nest, bare_nest, hand.nest),
    ]
    for shape, workflow, bare, by_hand in shapes:
        works: dict[str, Work] = {
            "bare": bare,
            "ours": functools.partial(workflow.execute, 1, context),
            "by hand": by_hand,
        }
        best = await least_us(works, rounds=ROUNDS, seconds=BUDGET_SECONDS)
        bare_us, ours_us, by_hand_us = (best[name] / STEPS for name in works)
        what = f"{setup}, {shape}"
        found.append(Row(what, bare_us, ours_us, by_hand_us, most_added_us, most_ratio))
    return found


async def measure() -> list[Row]:
    """Run everything; a provider can't be taken back, so the set-ups come in this order."""
    found = await rows("no provider", most_added_us=2)
    sampler = Switch()
    tracer_provider = TracerProvider(sampler=sampling.ParentBased(sampler))
    tracer_provider.add_span_processor(BatchSpanProcessor(Drop()))
    trace.set_tracer_provider(tracer_provider)
    found += await rows("sampled out", most_added_us=1)
    metrics.set_meter_provider(MeterProvider(metric_readers=[InMemoryMetricReader()]))
    found += await rows("sampled out, with metrics")
    sampler.is_on = True
    return found + await rows("batch processor, with metrics", most_ratio=1.1)


def print_table(found: list[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("| set-up and shape | bare, µs | ours, µs | by hand, µs | ours adds | ratio | aim |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for row in found:
        figures = f"{row.bare_us:.2f} | {row.ours_us:.2f} | {row.by_hand_us:.2f}"
        aim = "" if row.most_added_us is None else f"adds ≤ {row.most_added_us:g} µs"
        aim = aim if row.most_ratio is None else f"ratio ≤ {row.most_ratio:g}"
        told = f"**{row.added_us:.2f}** | **{row.ratio:.2f}**"
        print(f"| {row.what} | {figures} | {told} | {aim} |")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    found = asyncio.run(measure())
    if arguments.json:
        told = [{**row._asdict(), "added_us": row.added_us, "ratio": row.ratio} for row in found]
        print(json.dumps(told, indent=2))
        return
    print_table(found)


if __name__ == "__main__":
    main()
