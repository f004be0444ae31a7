"""What composition costs, as ratios against hand-written asyncio in the same run.

    python benchmarks/overhead.py            # the tables of the README
    python benchmarks/overhead.py --json     # for scripts

Figures are CPU time of this process, the least of several rounds, ours and the baseline taken in
turn; read the ratios, not the microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tta_llm import ParallelPrimitive, SequentialPrimitive, WorkflowContext, WorkflowPrimitive, step

ROUNDS = 15
BUDGET_SECONDS = 0.03
"""CPU seconds that one measurement of one side takes, about."""

Work = Callable[[], Awaitable[Any]]


class Row(NamedTuple):
    """One comparison: CPU microseconds per unit of ours and of the baseline."""

    what: str
    unit: str
    baseline: str
    ours_us: float
    baseline_us: float
    aim: float

    @property
    def ratio(self) -> float:
        """How much dearer ours is."""
        return self.ours_us / self.baseline_us


async def _cpu_seconds(work: Work, repeat: int) -> float:
    begun = time.process_time()
    for _ in range(repeat):
        await work()
    return time.process_time() - begun


async def compare(ours: Work, baseline: Work, units: int) -> tuple[float, float]:
    """Measure both in turn, and give the least CPU microseconds per unit of each."""
    best = [float("inf"), float("inf")]
    repeats = []
    for work in (ours, baseline):
        await work()
        once = await _cpu_seconds(work, 3) / 3
        repeats.append(max(1, int(BUDGET_SECONDS / max(once, 1e-7))))
    for _ in range(ROUNDS):
        for side, work in enumerate((ours, baseline)):
            spent = await _cpu_seconds(work, repeats[side])
            best[side] = min(best[side], spent / repeats[side] / units * 1e6)
    return best[0], best[1]


async def _row(
    what: str, unit: str, against: str, aim: float, *, ours: Work, base: Work, units: int
) -> Row:
    ours_us, base_us = await compare(ours, base, units)
    return Row(what, unit, against, ours_us, base_us, aim)


class Plain(WorkflowPrimitive[Any, Any]):
    """A user's own trivial step."""

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        """Give the input back."""
        return input_data


async def plain(data: Any) -> Any:
    """Give the input back; the baseline's step, and ours as a function."""
    return data


async def chains() -> list[Row]:
    """Sequences of trivial async steps against a bare loop of awaits."""
    rows = []
    context = WorkflowContext()
    documents = [f"document {number}" for number in range(1_000)]
    cases: list[tuple[str, int, Any, Any]] = [
        (f"chain of {n:,} {kind}", n, 1, make)
        for n in (1, 10, 100, 1_000)
        for kind, make in (("primitives", Plain), ("functions", lambda: plain))
    ]
    cases.append(("chain of 100 primitives, 1,000 documents", 100, documents, Plain))
    for what, n, data, make in cases:
        chain: Any = SequentialPrimitive([make() for _ in range(n)])

        async def bare(n: int = n, data: Any = data) -> Any:
            for _ in range(n):
                data = await plain(data)
            return data

        async def ours(chain: Any = chain, data: Any = data) -> Any:
            return await chain.execute(data, context)

        rows.append(await _row(what, "step", "bare await", 5.0, ours=ours, base=bare, units=n))
    return rows


async def fan_outs() -> list[Row]:
    """Fan-outs against asyncio.gather and asyncio.TaskGroup."""
    rows = []
    context = WorkflowContext()

    async def branch(data: Any) -> Any:
        await asyncio.sleep(0)
        return data

    for n in (2, 10, 100):
        parallel: Any = ParallelPrimitive([branch] * n)

        async def gather(n: int = n) -> Any:
            return await asyncio.gather(*(branch(1) for _ in range(n)))

        async def group(n: int = n) -> Any:
            async with asyncio.TaskGroup() as tasks:
                started = [tasks.create_task(branch(1)) for _ in range(n)]
            return tuple(task.result() for task in started)

        async def ours(parallel: Any = parallel) -> Any:
            return await parallel.execute(1, context)

        rows.append(
            await _row(f"fan-out of {n}", "branch", "gather", 1.1, ours=ours, base=gather, units=n)
        )
        rows.append(
            await _row(
                f"fan-out of {n}", "branch", "TaskGroup", 1.1, ours=ours, base=group, units=n
            )
        )
    return rows


@step(join=list)
async def numbers(count: int) -> AsyncIterator[int]:
    """Yield the numbers from 0 on."""
    for number in range(count):
        yield number


@step(per_piece=True)
async def unchanged(piece: int) -> int:
    """Give the piece back."""
    return piece


class Source(WorkflowPrimitive[int, list[int]]):
    """Streams numbers."""

    async def execute(self, input_data: int, context: WorkflowContext) -> list[int]:
        """Give them all."""
        return list(range(input_data))

    async def stream(self, input_data: int, context: WorkflowContext) -> Any:
        """Yield one after the other."""
        for number in range(input_data):
            yield number


class Through(WorkflowPrimitive[Any, Any]):
    """Passes pieces through."""

    async def execute(self, input_data: Any, context: WorkflowContext) -> Any:
        """Give the input back."""
        return input_data

    async def transform(self, pieces: AsyncIterator[Any], context: WorkflowContext) -> Any:
        """Yield what comes."""
        async for piece in pieces:
            yield piece


async def streams() -> list[Row]:
    """Three streaming steps against three chained async generators."""
    context = WorkflowContext()
    pieces = 1_000

    async def source(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number

    async def through(upstream: AsyncIterator[int]) -> AsyncIterator[int]:
        async for piece in upstream:
            yield piece

    async def bare() -> None:
        async for _ in through(through(source(pieces))):
            pass

    async def consume(workflow: Any) -> None:
        async with aclosing(workflow.stream(pieces, context)) as stream:
            async for _ in stream:
                pass

    cases = {
        "3 classes": Source() >> Through() >> Through(),
        "3 functions": numbers >> unchanged >> unchanged,
    }
    return [
        await _row(
            f"stream, {kind}",
            "piece",
            "async generators",
            3.0,
            ours=functools.partial(consume, workflow),
            base=bare,
            units=pieces,
        )
        for kind, workflow in cases.items()
    ]


async def first_piece_us() -> float:
    """Wall microseconds from the call of `stream` to its first piece, the least of many."""
    workflow = Source() >> Through() >> Through()
    best = float("inf")
    for _ in range(1_000):
        begun = time.perf_counter()
        async with aclosing(workflow.stream(10, WorkflowContext())) as stream:
            await anext(stream)
            best = min(best, time.perf_counter() - begun)
    return best * 1e6


async def batches() -> list[Row]:
    """10,000 trivial inputs through a pool of workers against a semaphore and gather."""
    inputs, limit = 10_000, 16
    workflow = Plain()
    context = WorkflowContext()

    async def semaphore_and_gather() -> None:
        turns = asyncio.Semaphore(limit)

        async def one(data: int) -> int:
            async with turns:
                return int(await plain(data))

        await asyncio.gather(*(one(data) for data in range(inputs)))

    async def shared(*, ordered: bool) -> None:
        async for _ in workflow.batch(
            range(inputs), context, max_concurrency=limit, ordered=ordered
        ):
            pass

    async def own() -> None:
        async for _ in workflow.batch(range(inputs), max_concurrency=limit):
            pass

    cases: list[tuple[str, Work]] = [
        ("batch, as they finish", lambda: shared(ordered=False)),
        ("batch, in order", lambda: shared(ordered=True)),
        ("batch, a context each", own),
    ]
    return [
        await _row(
            what,
            "input",
            "semaphore+gather",
            0.3,
            ours=ours,
            base=semaphore_and_gather,
            units=inputs,
        )
        for what, ours in cases
    ]


def set_up_opentelemetry() -> tuple[Any, Any]:
    """Set up the SDK as an application would: a batch processor and a metric reader."""

    class Drop(SpanExporter):
        """Takes spans and forgets them."""

        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Drop()))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider(metric_readers=[InMemoryMetricReader()]))
    meter = metrics.get_meter("benchmark")
    return trace.get_tracer("benchmark"), meter.create_histogram("benchmark_step", "s")


async def observed() -> list[Row]:
    """A chain under the SDK against hand-written spans and records around the same awaits."""
    tracer, histogram = set_up_opentelemetry()
    context = WorkflowContext()
    rows = []
    for n in (1, 10, 100):
        chain: Any = SequentialPrimitive([Plain() for _ in range(n)])

        async def by_hand(n: int = n) -> Any:
            begun = time.perf_counter()
            data: Any = 1
            with tracer.start_as_current_span(
                "SequentialPrimitive", attributes={"id": "x", "kind": "y"}
            ):
                for _ in range(n):
                    step_begun = time.perf_counter()
                    with tracer.start_as_current_span("Plain", attributes={"id": "x", "kind": "y"}):
                        data = await plain(data)
                    histogram.record(time.perf_counter() - step_begun, {"step": "Plain"})
            histogram.record(time.perf_counter() - begun)
            return data

        async def ours(chain: Any = chain) -> Any:
            return await chain.execute(1, context)

        what = f"chain of {n:,}, OpenTelemetry on"
        rows.append(await _row(what, "step", "SDK by hand", 1.3, ours=ours, base=by_hand, units=n))
    return rows


def print_table(rows: list[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("| what | per | against | ours, µs | baseline, µs | ratio | aim |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        figures = f"{row.ours_us:.2f} | {row.baseline_us:.2f} | **{row.ratio:.2f}** | {row.aim:g}"
        print(f"| {row.what} | {row.unit} | {row.baseline} | {figures} |")


async def measure() -> tuple[list[Row], float]:
    """Run everything; what sets up OpenTelemetry comes last, because that can't be undone."""
    rows = [*await chains(), *await fan_outs(), *await streams(), *await batches()]
    first = await first_piece_us()
    return [*rows, *await observed()], first


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    rows, first = asyncio.run(measure())
    if arguments.json:
        told = [{**row._asdict(), "ratio": row.ratio} for row in rows]
        print(json.dumps({"rows": told, "first_piece_us": first}, indent=2))
        return
    print_table(rows)
    print(
        f"\nFirst piece of a stream through three steps: {first:.0f} µs after the call (aim: 100)."
    )


if __name__ == "__main__":
    main()
