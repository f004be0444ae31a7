"""Log records as lines of JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from tta_llm.observability.logs import place_of
from tta_llm.observability.scopes import current_step

__all__ = ["JsonFormatter"]

_USUAL = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})


class JsonFormatter(logging.Formatter):
    """Writes each record as one line of JSON, with what `extra=` gave it as keys of its own.

    What is logged inside a step, by whomever, also gets the request's ids, the trace's and the
    step's path, while anybody listens to the run.

    Example:
        ```python
        import json
        import logging

        from tta_llm.observability import JsonFormatter

        record = logging.makeLogRecord({"msg": "sent %d", "args": (3,), "tenant": "acme"})
        told = json.loads(JsonFormatter().format(record))
        assert (told["event"], told["tenant"]) == ("sent 3", "acme")
        ```
    """

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        own = {name: value for name, value in vars(record).items() if name not in _USUAL}
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **place_of(current_step()),
            **own,
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        known = {name: value for name, value in told.items() if value is not None}
        line = json.dumps(known, ensure_ascii=False, default=str)
        # A file's name may hold halves of characters, which no stream takes.
        return line.encode("utf-8", "replace").decode()
