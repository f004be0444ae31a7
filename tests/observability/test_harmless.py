"""What the application plugs in may fail; the run goes on, and a warning tells of it once."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from tests.observability.recorder import Spans
from tta_llm import RouterPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.observability import tell, tell_cache, tell_choice
from tta_llm.observability.telemetry import telemetry
from tta_llm.testing import FakeChatModel

shout = step(str.strip, name="strip") >> step(str.upper, name="upper")
_log = logging.getLogger("tta_llm.workflow")


@pytest.fixture
def listener() -> Iterator[logging.Handler]:
    handler, level = logging.NullHandler(), _log.level
    _log.addHandler(handler)
    _log.setLevel(logging.DEBUG)
    yield handler
    _log.setLevel(level)
    _log.removeHandler(handler)


class BrokenAtStartError(Exception):
    pass


class BrokenAtEndError(Exception):
    pass


class FailsAtStart(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise BrokenAtStartError


class FailsAtEnd(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise BrokenAtEndError


@pytest.mark.parametrize("processor", [FailsAtStart(), FailsAtEnd()])
def test_a_span_processor_that_fails_stops_no_run(
    spans: Spans, processor: SpanProcessor, caplog: pytest.LogCaptureFixture
) -> None:
    spans.provider.add_span_processor(processor)
    assert [shout.run(" x "), shout.run(" y ")] == ["X", "Y"]
    (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert f"telemetry failed with Broken{type(processor).__name__[5:]}Error" in warning.message


class BrokenProviderError(Exception):
    pass


class BrokenProvider(trace.TracerProvider):
    def get_tracer(self, *_: Any, **__: Any) -> trace.Tracer:
        raise BrokenProviderError


def test_a_provider_that_gives_no_tracer_stops_no_run(spans: Spans) -> None:
    before, trace._TRACER_PROVIDER = trace._TRACER_PROVIDER, BrokenProvider()
    try:
        assert shout.run(" x ") == "X"
        assert telemetry() is telemetry()  # it is not asked again at each step
    finally:
        trace._TRACER_PROVIDER = before
    assert shout.run(" x ") == "X"
    assert len(spans) == 3


class BrokenMeterError(Exception):
    pass


class BrokenInstrument:
    def add(self, *_: Any) -> None:
        raise BrokenMeterError

    record = add


class BrokenMeter:
    def __getattr__(self, name: str) -> Callable[..., BrokenInstrument]:
        return lambda *_, **__: BrokenInstrument()


class BrokenMeters(NoOpMeterProvider):
    def get_meter(self, *_: Any, **__: Any) -> Any:
        return BrokenMeter()


def test_a_meter_that_fails_stops_no_run() -> None:
    before = metrics_internal._METER_PROVIDER
    metrics_internal._METER_PROVIDER = BrokenMeters()
    try:
        assert shout.run(" x ") == "X"
        assert (shout | shout).run(" x ") == ("X", "X")
        assert FakeChatModel("yes").run("really?").text == "yes"
        tell("retry", "search")
        tell_cache("hit", "answers", 1, 1)
        tell_choice("router", "fast")
    finally:
        metrics_internal._METER_PROVIDER = before


class BrokenFilterError(Exception):
    pass


class BrokenFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise BrokenFilterError


def test_a_log_filter_that_fails_stops_no_run(listener: logging.Handler) -> None:
    listener.addFilter(BrokenFilter())
    assert shout.run(" x ") == "X"


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


class Speechless(WorkflowPrimitive[str, str]):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        raise SpeechlessError


def test_an_error_that_can_not_tell_its_text_is_raised_and_recorded(
    spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SPAN_ONLY")
    with pytest.raises(SpeechlessError):
        Speechless().run("x")
    (event,) = spans.one("Speechless").events
    assert event.attributes is not None
    assert event.attributes["exception.message"] == "[no text: ZeroDivisionError]"


class Untidy(WorkflowPrimitive[str, str]):
    """Its stream fails, or waits, while it is closed."""

    def __init__(self, clean_up: Callable[[], Any]) -> None:
        super().__init__(name="untidy")
        self.clean_up = clean_up

    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        return input_data

    async def stream(self, input_data: str, context: WorkflowContext) -> Any:
        try:
            yield input_data
            yield input_data
        finally:
            await self.clean_up()


def test_the_span_of_a_stream_ends_when_its_clean_up_fails(spans: Spans) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        pieces = Untidy(fail).stream("x", WorkflowContext())
        assert await anext(pieces) == "x"
        with pytest.raises(ZeroDivisionError):
            await pieces.aclose()

    asyncio.run(main())
    assert spans.names == ["untidy"]


def test_the_span_of_a_stream_ends_when_its_clean_up_is_cancelled(spans: Spans) -> None:
    async def main() -> None:
        pieces = Untidy(asyncio.Event().wait).stream("x", WorkflowContext())
        assert await anext(pieces) == "x"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await pieces.aclose()

    asyncio.run(main())
    assert spans.names == ["untidy"]


class Waits(WorkflowPrimitive[str, str]):
    async def execute(self, input_data: str, context: WorkflowContext) -> str:
        await asyncio.sleep(0)  # needs no loop
        return input_data


def test_a_run_whose_loop_is_closed_under_it_ends_its_span_and_logs_no_error(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    run: Any = Waits().execute("x", WorkflowContext())
    stepping = contextvars.copy_context()
    stepping.run(run.__await__().__next__)
    del stepping, run
    gc.collect()
    assert spans.names == ["Waits"]
    assert [each for each in caplog.records if each.name.startswith("opentelemetry")] == []


def test_names_with_halves_of_characters_reach_an_exporter(spans: Spans) -> None:
    step(str.strip, name="a\udcff").run("x")
    assert spans.names == ["a?"]


def test_a_chosen_route_is_told_in_what_an_exporter_can_send(spans: Spans) -> None:
    routes = RouterPrimitive({"b\udcff": step(str.strip)}, lambda _: "b\udcff", name="router")
    assert routes.run(" x ") == "x"
    attributes = spans.one("router").attributes
    assert attributes is not None
    assert attributes["tta.choice"] == "b?"


class FailsForRouters(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.name == "router":
            raise ZeroDivisionError


def test_what_a_step_without_its_span_tells_is_not_said_of_the_caller(spans: Spans) -> None:
    spans.provider.add_span_processor(FailsForRouters())
    router = RouterPrimitive({"a": step(str.strip)}, lambda _: "a", name="router")
    with trace.get_tracer("app").start_as_current_span("caller"):
        assert router.run(" x ") == "x"
    assert "tta.choice" not in (spans.one("caller").attributes or {})
