"""Spans reach the file as they are, and one that can't be written breaks nothing."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from tta_llm import WorkflowContext, step
from tta_llm.observability.runs import RunStore
from tta_llm.observability.runs.exporter import RunExporter, RunProcessor

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs.sqlite3")


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def provider(store: RunStore, warnings: list[str]) -> Iterator[TracerProvider]:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RunProcessor(store, warn=warnings.append))
    yield provider
    provider.shutdown()


def test_a_span_is_kept_as_it_is(store: RunStore, provider: TracerProvider) -> None:
    span = provider.get_tracer("test").start_span("answer", attributes={"a": 1, "b": ["x", "y"]})
    span.add_event("tta.retry", {"target": "search"})
    span.set_status(Status(StatusCode.ERROR, "ServerError"))
    span.end()
    provider.force_flush()
    record = store.find("last").root.record
    assert (record.name, record.error, record.parent_id) == ("answer", True, None)
    assert record.attributes == {"a": 1, "b": ["x", "y"]}
    (event,) = record.events
    assert (event.name, event.attributes) == ("tta.retry", {"target": "search"})
    assert 0 < record.start_ns <= event.time_ns <= record.end_ns
    assert record.trace_id == trace.format_trace_id(span.get_span_context().trace_id)


def test_a_run_under_way_is_seen_as_unfinished_and_then_whole(
    store: RunStore, provider: TracerProvider
) -> None:
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("answer"):
        tracer.start_span("search").end()
        provider.force_flush()
        run = store.find("last")
        assert [node.record.state for _, node in run.root.walk()] == ["unfinished", "done"]
    provider.force_flush()
    assert store.find("last").state == "done"


def test_a_callers_span_in_another_process_is_not_waited_for(
    store: RunStore, provider: TracerProvider
) -> None:
    caller = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    outer = set_span_in_context(NonRecordingSpan(caller))
    provider.get_tracer("test").start_span("answer", outer).end()
    provider.force_flush()
    assert (store.find("last").workflow, store.find("last").state) == ("answer", "done")


def test_a_workflow_is_recorded_with_its_id(
    store: RunStore, provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    workflow = step(str.strip) >> str.upper
    workflow.run(" secret ", WorkflowContext(workflow_id="shout"))
    provider.force_flush()
    run = store.find("last")
    assert run.workflow == "shout"
    assert [node.record.step for _, node in run.root.walk()][1:] == ["strip", "upper"]
    assert b"secret" not in store.path.read_bytes()


def test_when_it_cannot_be_written_one_warning_is_given_and_nothing_breaks(
    store: RunStore, provider: TracerProvider, warnings: list[str]
) -> None:
    store.path.write_text("my notes")
    for _ in range(3):
        provider.get_tracer("test").start_span("answer").end()
        provider.force_flush()
    (told,) = warnings
    assert told.startswith(f"runs are not recorded: {store.path} is no file of recorded runs")


def test_the_warning_is_logged_when_nobody_else_takes_it(
    store: RunStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.path.mkdir()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RunProcessor(store))
    provider.get_tracer("test").start_span("answer").end()
    provider.shutdown()
    (told,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert told.name == "tta_llm.observability.runs.exporter"


def test_it_works_behind_the_sdks_own_processor_too(store: RunStore) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(RunExporter(store)))
    provider.get_tracer("test").start_span("answer").end()
    assert store.find("last").state == "done"


def test_when_it_is_turned_off_nothing_is_recorded_and_nothing_said(
    monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    monkeypatch.setenv("TTA_RUNS", "off")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(RunProcessor(warn=warnings.append))
    provider.get_tracer("test").start_span("answer").end()
    provider.shutdown()
    assert warnings == []


FULL = """
import resource, sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from tta_llm import step
from tta_llm.observability.runs.exporter import RunProcessor

most = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
provider = TracerProvider()
provider.add_span_processor(RunProcessor(warn=print))
trace.set_tracer_provider(provider)
for _ in range(200):
    assert (step(str.strip) >> str.upper).run(" x ") == "X"
    provider.force_flush()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
@pytest.mark.parametrize("most", [0, 5_000, 100_000])
def test_on_a_full_disk_the_pipeline_goes_on_with_one_warning(tmp_path: Path, most: int) -> None:
    path = tmp_path / "runs.sqlite3"
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", FULL, str(most)],
        env=os.environ | {"TTA_RUNS": str(path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (told,) = done.stdout.splitlines()
    assert told.startswith(f"runs are not recorded: the recorded runs in {path} can't be used now")
    kept = list(RunStore(path).runs())
    assert bool(kept) == (most == 100_000)
    assert all(len(run.root.children) == 2 for run in kept if run.state == "done")
    RunStore(path).add([run.root.record for run in kept])


def test_a_span_whose_name_is_no_string_is_kept_by_what_it_says(
    store: RunStore, provider: TracerProvider
) -> None:
    provider.get_tracer("other").start_span(5).end()  # type: ignore[arg-type]
    provider.force_flush()
    assert store.find("last").workflow == "5"
