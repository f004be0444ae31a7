"""The names that calls of models emit, in both releases of the GenAI conventions that we know."""

from __future__ import annotations

import importlib
import re
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.metrics.export import Histogram, InMemoryMetricReader, Sum
from opentelemetry.trace import SpanKind

from tests.observability.recorder import Spans
from tta_llm import WorkflowContext
from tta_llm.errors import ServerError
from tta_llm.messages import ChatRequest, ChatResponse, Usage, assistant
from tta_llm.observability import conventions
from tta_llm.providers import Price
from tta_llm.testing import FakeChatModel, FakeEmbedder

OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = (
    *(1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864),
)
CALL = {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"}
SERVER = {"server.address", "server.port"}


class Emitted(NamedTuple):
    """A metric as a reader sees it."""

    kind: str
    unit: str
    attributes: frozenset[str]
    bounds: tuple[float, ...] = ()


def emitted(kind: str, unit: str, *more: str, bounds: tuple[float, ...] = ()) -> Emitted:
    return Emitted(kind, unit, frozenset({*CALL, *SERVER, *more}), bounds)


SECONDS_OF_A_CALL = emitted("histogram", "s", bounds=SECONDS)
TOKENS_OF_A_KIND = emitted("histogram", "{token}", "gen_ai.token.type", bounds=TOKENS)
COUNTED = emitted("counter", "{token}", "gen_ai.token.modality")

METRICS_1_41 = {
    "gen_ai.client.operation.duration": SECONDS_OF_A_CALL,
    "gen_ai.client.operation.time_to_first_chunk": SECONDS_OF_A_CALL,
    "gen_ai.client.operation.time_per_output_chunk": SECONDS_OF_A_CALL,
    "gen_ai.client.token.usage": TOKENS_OF_A_KIND,
}
METRICS_0_1 = {
    "gen_ai.client.inference.duration": SECONDS_OF_A_CALL,
    "gen_ai.client.inference.time_to_first_chunk": SECONDS_OF_A_CALL,
    "gen_ai.client.inference.time_per_output_chunk": SECONDS_OF_A_CALL,
    "gen_ai.client.inference.usage.input_tokens": COUNTED,
    "gen_ai.client.inference.usage.output_tokens": COUNTED,
    "gen_ai.client.inference.usage.cache_read.input_tokens": COUNTED,
    "gen_ai.client.inference.usage.cache_write.input_tokens": COUNTED,
    "gen_ai.client.inference.usage.reasoning.output_tokens": COUNTED,
    "gen_ai.client.embeddings.duration": SECONDS_OF_A_CALL,
    "gen_ai.client.embeddings.operation.input_tokens": emitted(
        "histogram", "{token}", bounds=TOKENS
    ),
}

SPAN = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-x",
    "gen_ai.request.max_tokens": 50,
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.top_p": 0.9,
    "gen_ai.request.stop_sequences": ("END",),
    "gen_ai.request.seed": 7,
    "gen_ai.request.reasoning.level": "low",
    "gen_ai.request.top_k": 40,
    "gen_ai.request.frequency_penalty": 0.1,
    "gen_ai.request.presence_penalty": 0.2,
    "gen_ai.request.choice.count": 2,
    "gen_ai.response.id": "req-1",
    "gen_ai.response.model": "gpt-x-2026",
    "gen_ai.response.finish_reasons": ("tool_call",),
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 20,
    "gen_ai.usage.cache_read.input_tokens": 30,
    "gen_ai.usage.cache_write.input_tokens": 10,
    "gen_ai.usage.reasoning.output_tokens": 5,
    "server.address": "models.example",
    "server.port": 8443,
}


class Remote(FakeChatModel):
    """A model at an address."""

    def _served_at(self) -> str:
        return "https://models.example:8443/v1"


class RemoteEmbedder(FakeEmbedder):
    provider = "cohere"

    def _served_at(self) -> str:
        return "https://models.example:8443/v1"


USED = Usage(100, 20, 30, 10, 0, 5)
ANSWER = ChatResponse(
    message=assistant("Hello to you"),
    finish_reason="tool_calls",
    usage=USED,
    model="gpt-x-2026",
    provider="openai",
    request_id="req-1",
)
REQUEST = ChatRequest(
    "Hi",
    max_tokens=50,
    temperature=0.5,
    top_p=0.9,
    stop="END",
    seed=7,
    reasoning_effort="low",
    extra={"top_k": 40, "frequency_penalty": 0.1, "presence_penalty": 0.2, "n": 2, "user": "x"},
)


def model(**options: Any) -> Remote:
    return Remote(ANSWER, model="gpt-x", provider="openai", price=Price(1, 2), **options)


async def call_all(embedder: bool = True) -> None:
    await model().execute(REQUEST, WorkflowContext())
    async for _ in model().stream(REQUEST, WorkflowContext()):
        pass
    if embedder:
        await RemoteEmbedder().execute(["a"], WorkflowContext())


def metrics_of(reader: InMemoryMetricReader) -> dict[str, Emitted]:
    data: Any = reader.get_metrics_data()
    found = {}
    for resource in data.resource_metrics:
        for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
            if not metric.name.startswith("gen_ai."):
                continue
            kind = {Histogram: "histogram", Sum: "counter"}[type(metric.data)]
            points = list(metric.data.data_points)
            attributes = frozenset(name for each in points for name in each.attributes)
            bounds = getattr(points[0], "explicit_bounds", ())
            found[metric.name] = Emitted(kind, metric.unit, attributes, tuple(bounds))
    return found


@pytest.fixture(params=["", "gen_ai_latest_experimental"], ids=["1.41", "0.1"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(OPT_IN, request.param)
    return str(request.param)


# -------------------------------------------------------------------------------------------- spans


async def test_a_call_s_span_has_the_conventions_name_kind_and_attributes(
    either: str, spans: Spans
) -> None:
    await model().execute(REQUEST, WorkflowContext())
    span = spans.one("chat gpt-x")
    assert span.kind is SpanKind.CLIENT
    told = {name: value for name, value in (span.attributes or {}).items() if "tta." not in name}
    assert told == SPAN


async def test_a_stream_s_span_has_more(either: str, spans: Spans) -> None:
    async for _ in model().stream(REQUEST, WorkflowContext()):
        pass
    told = dict(spans.one("chat gpt-x").attributes or {})
    assert told.pop("gen_ai.request.stream") is True
    first: Any = told.pop("gen_ai.response.time_to_first_chunk")
    assert first > 0
    assert {name: value for name, value in told.items() if "tta." not in name} == SPAN


async def test_an_embedder_s_span_has_the_conventions_name_kind_and_attributes(
    either: str, spans: Spans
) -> None:
    await RemoteEmbedder(dimensions=8).execute(["a"], WorkflowContext())
    span = spans.one("embeddings fake-embedder")
    assert span.kind is SpanKind.CLIENT
    told = {name: value for name, value in (span.attributes or {}).items() if "tta." not in name}
    assert told == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "cohere",
        "gen_ai.request.model": "fake-embedder",
        "gen_ai.embeddings.dimension.count": 8,
        "server.address": "models.example",
        "server.port": 8443,
    }


async def test_what_a_sampler_goes_by_is_there_from_the_start() -> None:
    told = model()._span_details().attributes
    assert {*told} == {*CALL, *SERVER}


@pytest.mark.parametrize(
    ("ours", "theirs"), [("google", "gcp.gen_ai"), ("azure", "azure.ai.openai")]
)
def test_providers_are_called_as_the_conventions_call_them(ours: str, theirs: str) -> None:
    told = FakeChatModel(provider=ours)._span_details().attributes
    assert told["gen_ai.provider.name"] == theirs


# ------------------------------------------------------------------------------------------ metrics


@pytest.mark.parametrize(
    ("opt_in", "expected"),
    [
        ("", METRICS_1_41),
        ("http/dup", METRICS_1_41),
        ("gen_ai_latest_experimental", METRICS_0_1),
        ("http, gen_ai_latest_experimental", METRICS_0_1),
    ],
)
async def test_metrics_have_the_names_units_kinds_labels_and_buckets(
    opt_in: str,
    expected: dict[str, Emitted],
    monkeypatch: pytest.MonkeyPatch,
    metric_reader: InMemoryMetricReader,
) -> None:
    monkeypatch.setenv(OPT_IN, opt_in)
    await call_all()
    found = metrics_of(metric_reader)
    told_by_few = "gen_ai.client.embeddings.operation.input_tokens"  # a fake embedder tells none
    assert found == {name: each for name, each in expected.items() if name != told_by_few}


def test_the_tables_hold_all_that_the_profiles_name() -> None:
    for profile, table in (
        (conventions.SEMCONV_1_41, METRICS_1_41),
        (conventions.GENAI_0_1, METRICS_0_1),
    ):
        tokens = [metric.name for metrics in profile.tokens.values() for metric in metrics]
        named = {*profile.durations.values(), *tokens, profile.first_chunk, profile.per_chunk}
        assert named == table.keys()


async def test_a_failure_has_its_kind_on_the_duration_and_a_cancelled_call_says_so(
    metric_reader: InMemoryMetricReader,
) -> None:
    with pytest.raises(ServerError):
        await FakeChatModel(ServerError("down")).execute("x", WorkflowContext())
    stream = FakeChatModel("two words").stream("x", WorkflowContext())
    await anext(stream)
    await stream.aclose()
    assert errors_of(metric_reader) == {"ServerError", "cancelled"}


def errors_of(reader: InMemoryMetricReader) -> set[Any]:
    data: Any = reader.get_metrics_data()
    return {
        point.attributes.get("error.type")
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
        if metric.name == "gen_ai.client.operation.duration"
        for point in metric.data.data_points
    }


# ------------------------------------------------------------------------- against the package

NEWER = {
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.request.reasoning.level",
    "gen_ai.token.modality",
    "gen_ai.client.inference.operation.details",
}
"""Names that opentelemetry-util-genai 1.3b0 or the conventions' own repository brought."""


def test_the_package_of_the_conventions_knows_the_names() -> None:
    package = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    metrics = importlib.import_module("opentelemetry.semconv._incubating.metrics.gen_ai_metrics")
    known = {
        value
        for module in (package, metrics)
        for name, value in vars(module).items()
        if isinstance(value, str) and name.startswith("GEN_AI")
    }
    if "gen_ai.client.operation.time_to_first_chunk" not in known:
        pytest.skip("this release of opentelemetry-semantic-conventions is too old to compare with")
    ours = {
        value
        for value in vars(conventions).values()
        if isinstance(value, str) and re.fullmatch(r"gen_ai\.(?!client)[\w.]+", value)
    }
    assert ours - NEWER <= known
    assert METRICS_1_41.keys() <= known
