"""By default no exporter gets a byte of what is asked, found or answered, and never a key."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.observability.recorder import Spans
from tta_llm import ParallelPrimitive, RouterPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import RateLimitError, ServerError
from tta_llm.observability import JsonFormatter
from tta_llm.performance import CachePrimitive, SemanticCache
from tta_llm.rag import Index, IngestDocuments, rag_pipeline
from tta_llm.recovery import CompensationPrimitive, FallbackPrimitive, RetryPrimitive
from tta_llm.routing import ComplexityRouter, FallbackChain
from tta_llm.testing import FakeChatModel, FakeEmbedder, MockPrimitive, VirtualClock

PRIVATE = "palladium"
KEY = "sk-" + "canary-3f9a1c77d2"
QUESTION = f"How much {PRIVATE} is in the vault, and what opens it, {KEY}?"
TOLD = f"{PRIVATE} {KEY}"


class Heard(logging.Handler):
    """Keeps what the package logs, as lines of JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def heard() -> Iterator[Heard]:
    heard, tree = Heard(), logging.getLogger("tta_llm")
    runs = logging.getLogger("tta_llm.workflow")
    before = runs.level
    runs.setLevel(logging.DEBUG)
    tree.addHandler(heard)
    yield heard
    tree.removeHandler(heard)
    runs.setLevel(before)


def fails(error: Exception, name: str) -> MockPrimitive:
    error.add_note(TOLD)
    return MockPrimitive(raises=error, name=name)


def answers(name: str) -> FakeChatModel:
    return FakeChatModel(f"It is {TOLD}.", model=name)


def breaks(data: Any) -> Any:
    raise LookupError(f"{TOLD} {data}")


def mixed(index: Index) -> dict[str, WorkflowPrimitive[Any, Any]]:
    chain = FallbackChain([FakeChatModel(RateLimitError(TOLD), model="down"), answers("up")])
    cached = CachePrimitive(answers("cached"), 60)
    near = SemanticCache(answers("near"), lambda text: [1.0, 0.5], threshold=0.9, ttl_seconds=60)
    routed = ComplexityRouter({"fast": answers("fast"), "quality": answers("quality")})
    picked = RouterPrimitive({"a": answers("a")}, lambda data: TOLD, default="a")
    saga = CompensationPrimitive([(step(str.strip), breaks), breaks])
    flaky = RetryPrimitive(MockPrimitive(values=[ServerError(TOLD), TOLD], name="flaky"), 2)
    spent = FallbackPrimitive(fails(ServerError(TOLD), "one"), [fails(ServerError(TOLD), "two")])
    return {
        "rag": rag_pipeline(index, answers("generates")),
        "models": ParallelPrimitive({"chain": chain, "cached": cached, "routed": routed}),
        "near": near,
        "picked": picked >> flaky,
        "failed group": spent,
        "failed branch": answers("beside") | fails(LookupError(TOLD), "bad"),
        "saga": saga,
        "function": step(str.strip) >> breaks,
        "no route": RouterPrimitive({"a": answers("a")}, lambda data: TOLD),
        "items": step(str.split) >> step(breaks).map(on_error="collect"),
    }


async def use(workflow: WorkflowPrimitive[Any, Any]) -> None:
    """In every way, twice, for caches answer the second time."""
    for _ in range(2):
        context = WorkflowContext(data={"note": TOLD}, clock=VirtualClock(auto_advance=True))
        with suppress(Exception):
            await workflow.execute(QUESTION, context)
        with suppress(Exception):
            async with aclosing(workflow.stream(QUESTION, context)) as pieces:
                async for _ in pieces:
                    pass
        async for _ in workflow.batch([QUESTION], context):
            pass


async def test_nothing_private_is_in_spans_metrics_or_logs(
    spans: Spans, metric_reader: InMemoryMetricReader, heard: Heard, tmp_path: Path
) -> None:
    (tmp_path / "vault.md").write_text(f"# The vault\n\nThe vault holds {TOLD}.\n")
    async with Index(FakeEmbedder()) as index:
        await IngestDocuments(index).execute(tmp_path, WorkflowContext())
        for workflow in mixed(index).values():
            await use(workflow)
    metrics: Any = metric_reader.get_metrics_data()
    exported = {
        "spans": "".join(span.to_json() for span in spans),
        "metrics": metrics.to_json(),
        "logs": "\n".join(heard.lines),
    }
    # All of it took place, and each kind of part was seen.
    parts = ("chat up", "GenerateAnswer", "RerankResults", "tta.retry", "tta.fallback", "exception")
    for kind in parts:
        assert kind in exported["spans"], kind
    assert '"miss"' in exported["spans"] and '"hit"' in exported["spans"]
    assert "recovery_events" in exported["metrics"]
    assert "workflow_failed" in exported["logs"] and "step_complete" in exported["logs"]
    for private in (PRIVATE, KEY, "canary"):
        assert not [what for what, text in exported.items() if private in text.lower()], private
