"""Labels of metrics with few values, whoever makes the names."""

from __future__ import annotations

import threading
from collections import defaultdict

from tta_llm.observability.outline import tidy

__all__ = ["OTHER", "Labels"]

OTHER = "other"
"""Stands for all names beyond the first hundred of a label."""
_MOST = 100


class Labels:
    """Knows the values that each label has had; each makes a series that is kept for good.

    Example:
        ```python
        from tta_llm.observability.labels import Labels

        labels = Labels(most=2)
        names = [labels.bounded("step", name) for name in ("a", "b", "c", "a")]
        assert names == ["a", "b", "other", "a"]
        ```
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: defaultdict[str, set[str]] = defaultdict(set)

    def bounded(self, label: str, value: str) -> str:
        """Give the value, cut to a line, or `other` when there were too many different ones."""
        known = self._known[label]
        if value in known:
            return value
        value = tidy(value)
        with self._lock:
            if value not in known and len(known) >= self._most:
                return OTHER
            known.add(value)
        return value
