from __future__ import annotations

from tests.observability.conftest import spans

__all__ = ["spans"]
