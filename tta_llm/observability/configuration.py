"""Setting OpenTelemetry up, for applications that have nothing of the kind."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opentelemetry import _logs as logs
from opentelemetry import metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
)

from tta_llm.errors import MissingExtraError
from tta_llm.observability.contents import Capture, capture
from tta_llm.observability.redaction import Redaction, set_redaction
from tta_llm.observability.runs.exporter import RunProcessor
from tta_llm.observability.runs.opening import store_file
from tta_llm.observability.runs.store import RunStore
from tta_llm.observability.telemetry import measures, telemetry

__all__ = ["Configured", "configure"]

_OTLP = "opentelemetry.exporter.otlp.proto.http"
_SIGNALS = {"trace_exporter": "traces", "metric_exporter": "metrics", "_log_exporter": "logs"}
_PROMETHEUS_PORT = 9464


class Configured:
    """What `configure` set up; closing it writes out what is left, and ends its threads.

    A process that ends closes it by itself. OpenTelemetry lets nothing be set up after it.
    """

    def __init__(self, closing: ExitStack, prometheus_port: int | None) -> None:
        self._closing = closing
        self.prometheus_port: int | None = prometheus_port
        """Where Prometheus finds the metrics, on this machine."""

    def close(self) -> None:
        """Write out what is left, and stop."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def configure(
    *,
    otlp: str | bool = False,
    prometheus: int | bool = False,
    console: bool = False,
    local: str | Path | bool = False,
    service_name: str | None = None,
    redaction: Redaction | None = None,
) -> Configured:
    """Set OpenTelemetry up for this process: where spans and metrics go.

    It is for applications, once, at their start; nothing in this package calls it. What the
    standard variables of OpenTelemetry say counts where no argument does.

    Args:
        otlp: Send spans and metrics to the collector at this address, such as
            `http://localhost:4318`, and the events that hold contents, where they are asked for;
            with True, where OTEL_EXPORTER_OTLP_ENDPOINT says.
        prometheus: Serve the metrics at this port for Prometheus to read, 0 for any that is free;
            with True, where OTEL_EXPORTER_PROMETHEUS_PORT says, or 9464. The address is what
            OTEL_EXPORTER_PROMETHEUS_HOST says, or localhost.
        console: Print each span to the standard error output when it ends.
        local: Record the runs in this file for `tta trace` to show; with True, in the account's,
            unless TTA_RUNS is `off`.
        service_name: What the application is called; what OTEL_SERVICE_NAME says when missing.
        redaction: See `set_redaction`.

    Raises:
        ValueError: When nothing is to be set up.
        RuntimeError: When OpenTelemetry is set up already.
        MissingExtraError: When a package for it isn't installed.
        OSError: When the port is taken.

    Example:
        ```python
        from tta_llm import step
        from tta_llm.observability import configure

        with configure(local="runs.sqlite3", service_name="answers"):
            step(str.strip).run(" a question ")
        ```
    """
    if not (otlp or console or local or prometheus is not False):
        raise ValueError(
            "there is nothing to set up: give otlp=, prometheus=, console= or local=, "
            "such as local=True"
        )
    if measures() or telemetry().tracer is not None:
        raise RuntimeError(
            "OpenTelemetry is set up already, and a process may do so once: add the exporter to "
            "the provider that is there, as docs/guides/monitoring.md shows"
        )
    if redaction is not None:
        set_redaction(redaction)  # before anything can be exported
    resource = Resource.create({"service.name": service_name} if service_name else {})
    port: int | None = None
    with ExitStack() as made:
        if prometheus is not False:
            port = _serve(made, port=prometheus)
        readers = _otlp_readers(otlp=otlp)
        if prometheus is not False:
            readers.append(reader_for_prometheus())
        _set_up(resource, _processors(otlp=otlp, console=console, local=local), readers, made)
        if otlp and Capture.EVENT in capture():
            _send_events(resource, made, where=otlp)
        closing = made.pop_all()
    return Configured(closing, port)


def _set_up(
    resource: Resource,
    processors: list[SpanProcessor],
    readers: list[MetricReader],
    closing: ExitStack,
) -> None:
    if processors:
        tracers = TracerProvider(resource=resource)
        for processor in processors:
            tracers.add_span_processor(processor)
        trace.set_tracer_provider(tracers)
        closing.callback(tracers.shutdown)
    if readers:
        meters = MeterProvider(readers, resource=resource)
        metrics.set_meter_provider(meters)
        closing.callback(meters.shutdown)


def _processors(
    *, otlp: str | bool, console: bool, local: str | Path | bool
) -> list[SpanProcessor]:
    processors: list[SpanProcessor] = []
    if otlp:
        processors.append(
            BatchSpanProcessor(_otlp("trace_exporter", "OTLPSpanExporter", where=otlp))
        )
    if console:
        processors.append(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
    file = store_file() if local is True else local
    if file:
        processors.append(RunProcessor(RunStore(file)))
    return processors


def _otlp_readers(*, otlp: str | bool) -> list[MetricReader]:
    if not otlp:
        return []
    exporter = _otlp("metric_exporter", "OTLPMetricExporter", where=otlp)
    return [PeriodicExportingMetricReader(exporter)]


def _send_events(resource: Resource, closing: ExitStack, *, where: str | bool) -> None:
    exporter = _otlp("_log_exporter", "OTLPLogExporter", where=where)
    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logs.set_logger_provider(loggers)
    closing.callback(loggers.shutdown)


def _otlp(module: str, name: str, *, where: str | bool) -> Any:
    """Make an exporter, for the collector's usual path of what it exports."""
    signal = _SIGNALS[module]
    exporter = _imported(f"{_OTLP}.{module}", "configure(otlp=…)", "otlp", name)
    return (
        exporter() if where is True else exporter(endpoint=f"{where}".rstrip("/") + f"/v1/{signal}")
    )


def reader_for_prometheus() -> MetricReader:
    """Make a reader whose labels are those that the documentation names, and no others."""
    module = "opentelemetry.exporter.prometheus"
    reader = _imported(module, "configure(prometheus=…)", "prometheus", "PrometheusMetricReader")
    # Older releases have no such argument, nor the labels that it leaves out.
    knows = "scope_info_enabled" in inspect.signature(reader).parameters
    made: MetricReader = reader(scope_info_enabled=False) if knows else reader()
    return made


def _serve(closing: ExitStack, *, port: int | bool) -> int:
    start = _imported(
        "prometheus_client", "configure(prometheus=…)", "prometheus", "start_http_server"
    )
    if port is True:
        port = int(os.environ.get("OTEL_EXPORTER_PROMETHEUS_PORT", _PROMETHEUS_PORT))
    server, thread = start(port, os.environ.get("OTEL_EXPORTER_PROMETHEUS_HOST", "localhost"))

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    closing.callback(stop)
    return int(server.server_port)


def _imported(module: str, what: str, extra: str, name: str) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = getattr(import_module(module), name)
    except ImportError as error:
        raise MissingExtraError(what, extra) from error
    return found
