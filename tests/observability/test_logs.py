"""Runs and steps tell what became of them in the `logging` tree, to whoever listens there."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from opentelemetry import trace

from tests.observability.recorder import Spans
from tests.observability.test_setup import in_a_fresh_process
from tta_llm import SequentialPrimitive, WorkflowContext, WorkflowPrimitive, step
from tta_llm.errors import ServerError
from tta_llm.observability import JsonFormatter, configured, logs
from tta_llm.performance import CachePrimitive
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive
from tta_llm.testing import MockPrimitive, VirtualClock

LOGGER = logging.getLogger("tta_llm.workflow")


@pytest.fixture(params=[logging.INFO])
def records(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[list[logging.LogRecord]]:
    caplog.set_level(request.param, LOGGER.name)
    kept = Kept()
    LOGGER.addHandler(kept)
    yield kept.records
    LOGGER.removeHandler(kept)


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


at_debug = pytest.mark.parametrize("records", [logging.DEBUG], indirect=True)


def give(name: str) -> MockPrimitive:
    return MockPrimitive(return_value="v", name=name)


def fail(name: str) -> MockPrimitive:
    return MockPrimitive(raises=LookupError("sk-secret"), name=name)


def told(records: list[logging.LogRecord]) -> list[tuple[str, Any]]:
    return [(record.getMessage(), vars(record)["path"]) for record in records]


async def run(workflow: WorkflowPrimitive[Any, Any], context: Any = None) -> Any:
    context = context or WorkflowContext()
    return (await asyncio.gather(workflow.execute("x", context), return_exceptions=True))[0]


async def test_a_run_that_is_complete_says_so_as_in_the_specification(
    records: list[logging.LogRecord],
) -> None:
    workflow = SequentialPrimitive([give("a"), give("b"), give("c")], name="answer")
    await run(workflow, WorkflowContext("req-1", "my-workflow"))
    (record,) = records
    about = vars(record)
    assert (record.levelname, record.getMessage()) == ("INFO", "workflow_complete")
    assert (about["correlation_id"], about["workflow_id"]) == ("req-1", "my-workflow")
    assert about["steps_completed"] == 3
    assert about["path"] == "answer"
    assert 0 < about["duration_ms"] < 10_000


async def test_a_run_that_failed_says_so_without_the_errors_text(
    records: list[logging.LogRecord],
) -> None:
    await run(SequentialPrimitive([give("a"), fail("b")], name="answer"))
    (record,) = records
    about = vars(record)
    assert (record.levelname, record.getMessage()) == ("INFO", "workflow_failed")
    assert (about["error_type"], about["steps_completed"]) == ("LookupError", 1)
    assert "sk-secret" not in str(about) and record.exc_info is None


async def test_a_run_that_is_cancelled_says_so(records: list[logging.LogRecord]) -> None:
    begun = asyncio.Event()

    @step
    async def waits(data: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(waits.execute("x", WorkflowContext()))
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert told(records) == [("workflow_cancelled", "waits")]
    assert vars(records[0])["steps_completed"] == 0


async def test_what_has_no_step_inside_counts_as_a_step(records: list[logging.LogRecord]) -> None:
    workflow = (
        CachePrimitive(give("a"), 60)
        >> (give("b") | RetryPrimitive(give("c")))
        >> FallbackPrimitive(MockPrimitive(raises=ServerError("x"), name="d"), [give("e")])
    )
    for _ in range(2):
        await run(workflow)
    counted = [vars(each)["steps_completed"] for each in records if "steps_completed" in vars(each)]
    assert counted == [4, 4]  # the cache itself, when it answers


@at_debug
async def test_at_debug_each_step_says_what_became_of_it(
    records: list[logging.LogRecord],
) -> None:
    await run(SequentialPrimitive([give("a") | give("b"), fail("c")], name="answer"))
    assert told(records) == [
        ("step_complete", "answer/ParallelPrimitive/a"),
        ("step_complete", "answer/ParallelPrimitive/b"),
        ("step_complete", "answer/ParallelPrimitive"),
        ("step_failed", "answer/c"),
        ("step_failed", "answer"),
        ("workflow_failed", "answer"),
    ]
    assert all("duration_ms" in vars(record) for record in records)


async def test_a_stream_is_a_run_and_one_that_is_closed_early_is_cancelled(
    records: list[logging.LogRecord],
) -> None:
    @step(join="".join)
    async def letters(data: str) -> Any:
        for letter in "abc":
            yield letter

    workflow = SequentialPrimitive([give("a"), letters], name="answer")
    async for _ in workflow.stream("x", WorkflowContext()):
        pass
    async with aclosing(workflow.stream("x", WorkflowContext())) as pieces:
        await anext(pieces)
    assert told(records) == [("workflow_complete", "answer"), ("workflow_cancelled", "answer")]
    assert vars(records[0])["steps_completed"] == 2


async def test_each_input_of_a_batch_is_a_run(records: list[logging.LogRecord]) -> None:
    async for _ in (give("a") >> give("b")).batch(["x", "y", "z"]):
        pass
    assert [name for name, _ in told(records)] == ["workflow_complete"] * 3
    assert len({vars(record)["correlation_id"] for record in records}) == 3


async def test_a_workflow_inside_a_step_is_no_run_of_its_own(
    records: list[logging.LogRecord],
) -> None:
    inner = give("inner") >> give("more")

    @step
    async def outer(data: str) -> Any:
        return await inner.execute(data, WorkflowContext())

    await run(outer)
    assert told(records) == [("workflow_complete", "outer")]
    assert vars(records[0])["steps_completed"] == 2


async def test_what_the_recovery_does_is_told_with_its_place(
    records: list[logging.LogRecord],
) -> None:
    flaky = MockPrimitive(values=[ServerError("sk-secret"), "v"], name="flaky")
    workflow = SequentialPrimitive([RetryPrimitive(flaky, name="again")], name="answer")
    context = WorkflowContext("req-1", clock=VirtualClock(auto_advance=True))
    await workflow.execute("x", context)
    assert told(records) == [("retry", "answer/again"), ("workflow_complete", "answer")]
    about = vars(records[0])
    assert (about["target"], about["reason"]) == ("flaky", "ServerError")
    assert about["correlation_id"] == "req-1"
    assert "sk-secret" not in str(about)


async def test_a_record_knows_its_trace_and_span(
    records: list[logging.LogRecord], spans: Spans
) -> None:
    await run(give("a") >> give("b"))
    root = spans.one("SequentialPrimitive").context
    assert root is not None
    assert vars(records[0])["trace_id"] == trace.format_trace_id(root.trace_id)
    assert vars(records[0])["span_id"] == trace.format_span_id(root.span_id)


async def test_without_a_provider_there_is_no_trace_to_know(
    records: list[logging.LogRecord],
) -> None:
    await run(give("a"))
    assert vars(records[0])["trace_id"] is vars(records[0])["span_id"] is None


async def test_a_span_of_the_application_stays_the_current_one(
    records: list[logging.LogRecord],
) -> None:
    provider = Spans().provider  # not set up for everybody
    seen: list[trace.Span] = []

    @step
    def look(data: str) -> None:
        seen.append(trace.get_current_span())

    with provider.get_tracer("app").start_as_current_span("request") as span:
        await run(look >> fail("b"))
        assert seen == [span]
        assert span.is_recording()
    assert (span.attributes or {}) == {}  # type: ignore[attr-defined]
    where = span.get_span_context()
    assert vars(records[0])["span_id"] == trace.format_span_id(where.span_id)


async def test_who_does_not_listen_hears_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, LOGGER.name)
    assert not configured()
    await run(give("a") >> fail("b"))
    assert not [record for record in caplog.records if record.name == LOGGER.name]


def test_the_variable_that_remembers_who_listens_has_not_been_renamed() -> None:
    assert not LOGGER.isEnabledFor(logging.INFO)
    assert logs.known[logging.INFO] is False


def test_an_application_that_sets_no_level_sees_nothing() -> None:
    told = in_a_fresh_process("""
        import tta_llm
        from tta_llm.observability import configured
        assert not configured()
        try:
            (tta_llm.step(str.strip) >> (lambda text: text.missing)).run("x")
        except AttributeError:
            pass
        """)
    assert told == ""


def test_an_application_that_shows_info_sees_the_events() -> None:
    told = in_a_fresh_process("""
        import logging, sys, tta_llm
        logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
        tta_llm.step(str.strip).run("x")
        """)
    assert told == "tta_llm.workflow workflow_complete\n"


# -------------------------------------------------------------------------------------------- JSON


def line(**attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(JsonFormatter().format(logging.makeLogRecord(attributes)))
    return found


async def test_a_line_of_json_has_what_the_record_has(records: list[logging.LogRecord]) -> None:
    await run(give("a"), WorkflowContext("req-1"))
    told = json.loads(JsonFormatter().format(records[0]))
    assert told.pop("time").endswith("+00:00")
    assert told.pop("duration_ms") > 0
    assert told == {
        "level": "info",
        "logger": "tta_llm.workflow",
        "event": "workflow_complete",
        "correlation_id": "req-1",
        "path": "a",
        "steps_completed": 1,
    }


async def test_what_a_step_logs_itself_gets_the_requests_ids(
    records: list[logging.LogRecord],
) -> None:
    @step
    def speaks(data: str) -> dict[str, Any]:
        return line(msg="found %d", args=(3,))

    told = await run(SequentialPrimitive([speaks], name="answer"), WorkflowContext("req-1"))
    assert records
    assert (told["event"], told["correlation_id"]) == ("found 3", "req-1")
    assert told["path"] == "answer/speaks"


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    told = line(msg="two\nlines", tenant="é", thing=object)
    assert told["event"] == "two\nlines"
    assert told["tenant"] == "é"
    assert "object" in told["thing"]
    assert "\n" not in JsonFormatter().format(logging.makeLogRecord({"msg": "two\nlines"}))


def test_an_exception_that_is_logged_is_in_the_line() -> None:
    try:
        raise LookupError("here")
    except LookupError as error:
        told = line(msg="x", exc_info=(type(error), error, error.__traceback__))
    assert told["exception"].endswith("LookupError: here")


def test_structlog_renders_the_events() -> None:
    structlog = pytest.importorskip("structlog")
    shared = [structlog.stdlib.add_log_level, structlog.stdlib.ExtraAdder()]
    formatter = structlog.stdlib.ProcessorFormatter(
        processor=structlog.processors.JSONRenderer(), foreign_pre_chain=shared
    )
    record = logging.makeLogRecord(
        {"msg": "workflow_complete", "levelname": "INFO", "steps_completed": 3}
    )
    told = json.loads(formatter.format(record))
    assert told == {"event": "workflow_complete", "level": "info", "steps_completed": 3}


def test_a_record_factory_of_the_application_may_set_the_same_names(
    records: list[logging.LogRecord],
) -> None:
    before = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.correlation_id = record.workflow_id = "the application's"
        return record

    logging.setLogRecordFactory(factory)
    try:
        assert give("a").run("x", WorkflowContext(correlation_id="ours")) == "v"
    finally:
        logging.setLogRecordFactory(before)
    (record,) = records
    assert vars(record)["correlation_id"] == "ours"
    assert vars(record)["workflow_id"] == "the application's"  # for the context has none


def test_half_a_character_from_a_file_name_can_be_written_as_json() -> None:
    line = JsonFormatter().format(logging.makeLogRecord({"msg": "read", "file": "a\udcff"}))
    assert json.loads(line.encode())["file"] == "a?"
