from __future__ import annotations

from tests.observability.conftest import metric_reader, spans

__all__ = ["metric_reader", "spans"]
