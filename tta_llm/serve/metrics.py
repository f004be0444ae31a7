"""Measuring the process for `GET /metrics`, where no application did so before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider

from tta_llm.errors import MissingExtraError
from tta_llm.observability import measures
from tta_llm.observability.configuration import reader_for_prometheus

__all__ = ["measuring"]


@contextmanager
def measuring() -> Iterator[None]:
    """Measure while the block runs, unless that is set up already or its package is missing."""
    if measures():
        yield
        return
    try:
        provider = MeterProvider([reader_for_prometheus()])
    except MissingExtraError:
        yield
        return
    metrics.set_meter_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()
