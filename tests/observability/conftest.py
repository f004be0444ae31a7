"""An application's OpenTelemetry set-up, taken down again after each test.

A process may set its providers once, so these variables are put back, as OpenTelemetry's own tests
do it; `test_setup.py` uses the public way, in processes of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.metrics import _internal as metrics_internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.observability.recorder import Spans


@pytest.fixture
def spans() -> Iterator[Spans]:
    before = trace._TRACER_PROVIDER
    spans = Spans()
    trace._TRACER_PROVIDER = spans.provider
    yield spans
    trace._TRACER_PROVIDER = before
    spans.provider.shutdown()


@pytest.fixture
def metric_reader() -> Iterator[InMemoryMetricReader]:
    before = metrics_internal._METER_PROVIDER
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    metrics_internal._METER_PROVIDER = provider
    yield reader
    metrics_internal._METER_PROVIDER = before
    provider.shutdown()
