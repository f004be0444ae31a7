"""The application owns OpenTelemetry's set-up, and what it set up is honoured whenever it did."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from opentelemetry import trace
from opentelemetry.metrics import _internal as metrics_internal

from tta_llm.observability import configured


def in_a_fresh_process(code: str) -> str:
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


RECORDER = """
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()

def set_up():
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([reader]))
"""


def test_a_set_up_after_import_and_after_a_first_run_is_honoured() -> None:
    told = in_a_fresh_process(
        RECORDER
        + textwrap.dedent("""
        from tta_llm import step
        from tta_llm.observability import configured
        from tta_llm.observability.telemetry import telemetry

        workflow = step(str.strip) >> str.upper
        assert workflow.run(" x ") == "X"
        assert not configured()
        set_up()
        assert configured()
        assert workflow.run(" x ") == "X"
        print([span.name for span in exporter.get_finished_spans()])
        print(reader.get_metrics_data() is not None)
        """)
    )
    assert told.splitlines() == ["['strip', 'upper', 'SequentialPrimitive']", "True"]


def test_a_set_up_before_import_is_honoured() -> None:
    told = in_a_fresh_process(
        RECORDER
        + textwrap.dedent("""
        set_up()
        from tta_llm import step
        (step(str.strip) >> str.upper).run(" x ")
        print(len(exporter.get_finished_spans()))
        """)
    )
    assert told.strip() == "3"


def test_importing_and_running_sets_up_nothing_and_makes_no_instrument() -> None:
    in_a_fresh_process("""
        import logging
        from opentelemetry import metrics, trace
        before = (type(trace.get_tracer_provider()), type(metrics.get_meter_provider()))
        import tta_llm
        (tta_llm.step(str.strip) >> str.upper).run("x")
        after = (type(trace.get_tracer_provider()), type(metrics.get_meter_provider()))
        assert before == after, after
        import sys
        assert sys.modules["tta_llm.observability.telemetry"]._current is None  # no instrument
        assert not logging.getLogger().handlers
        """)


def test_the_variables_that_tell_of_a_set_up_have_not_been_renamed() -> None:
    assert hasattr(trace, "_TRACER_PROVIDER")
    assert hasattr(metrics_internal, "_METER_PROVIDER")
    assert not configured()


def test_a_package_without_its_metadata_runs_and_tells_no_version() -> None:
    told = in_a_fresh_process(
        RECORDER
        + textwrap.dedent("""
        import importlib.metadata

        def missing(name):
            raise importlib.metadata.PackageNotFoundError(name)

        from tta_llm import step
        set_up()
        importlib.metadata.version = missing
        assert step(str.strip).run(" x ") == "x"
        print([span.attributes["tta.version"] for span in exporter.get_finished_spans()])
        """)
    )
    assert told == "['']\n"
