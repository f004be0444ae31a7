"""What is taken out of contents before they enter a span or an event."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["MASK", "Redaction", "mask_also", "redacted", "set_redaction"]

_logger = logging.getLogger(__name__)

Redaction: TypeAlias = Callable[[str], str]

MASK = "[secret]"
LOST = "[left out: the redaction function failed]"

_KEYS = re.compile(
    r"""
      \b(?:sk|pk|rk)[-_][\w-]{6,}                       # OpenAI, Anthropic, Stripe and others
    | \bAIza[\w-]{20,}                                  # Google
    | \bgh[pousr]_\w{20,} | \bgithub_pat_\w{20,}
    | \bxox[abeprs]-[\w-]{10,}                          # Slack
    | \bA[KS]IA[0-9A-Z]{16}\b                           # AWS
    | \beyJ[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)?          # JSON web tokens
    | (?i:\bbearer\s+)[\w.~+/=-]{8,}
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----(?s:.*?)(?:-----END[^-]*-----|\Z)
    """,
    re.VERBOSE,
)

_masks: list[Redaction] = []
_redaction: list[Redaction] = []


def set_redaction(function: Redaction | None) -> None:
    r"""Have each text go through a function before it enters a span or an event.

    It runs in the middle of the pipeline, so it should be quick. When it raises, or gives anything
    but a string, the text is left out; the call goes on. Keys that this package holds, and what
    looks like one, are masked before it is called.

    Args:
        function: Gives the text as it may be shown; None for none.

    Example:
        ```python
        import re
        from tta_llm.observability import set_redaction

        set_redaction(lambda text: re.sub(r"[\w.]+@[\w.]+", "[address]", text))
        set_redaction(None)
        ```
    """
    if function is not None and not callable(function):
        raise TypeError(f"a redaction is a function of a text, not {type(function).__name__}")
    _redaction[:] = [] if function is None else [function]


def mask_also(mask: Redaction) -> None:
    """Have a mask of this package's own always run, such as that of the keys it holds."""
    _masks.append(mask)


def redacted(text: str) -> str:
    """Give a text without keys, and without what the application's function takes out."""
    try:
        for mask in _masks:
            text = mask(text)
        text = _KEYS.sub(MASK, text)
        for redact in _redaction:
            text = redact(text)
        # No exporter can send half of a surrogate pair.
        return str.encode(text, "utf-8", "replace").decode()
    except Exception as error:
        _logger.warning("a redaction failed with %s; the text is left out", type(error).__name__)
        return LOST
