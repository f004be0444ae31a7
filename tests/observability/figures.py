"""Reads metrics out of a reader."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics.export import InMemoryMetricReader


def points(reader: InMemoryMetricReader, name: str) -> dict[tuple[str, ...], Any]:
    """A metric's figures (of a histogram, how often and how much) by the values of its labels."""
    data: Any = reader.get_metrics_data()
    found: dict[tuple[str, ...], Any] = {}
    for resource in data.resource_metrics if data else []:
        for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
            if metric.name != name:
                continue
            for point in metric.data.data_points:
                labels = tuple(str(value) for _, value in sorted(point.attributes.items()))
                is_histogram = hasattr(point, "bucket_counts")
                found[labels] = (point.count, point.sum) if is_histogram else point.value
    return found
