"""An answer's figures, as clients are told them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tta_llm.core import WorkflowContext
from tta_llm.messages import ChatResponse, FailedAttempt, Usage

__all__ = ["attempts", "cost", "reason", "usage"]

_ERROR = re.compile(r"(\w+(?:Error|Exception|Group))\b.*", re.DOTALL)


def usage(used: Usage) -> dict[str, int]:
    """Give the tokens."""
    return {
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cached_input_tokens": used.cached_input_tokens,
        "reasoning_tokens": used.reasoning_tokens,
    }


def cost(context: WorkflowContext, response: ChatResponse | None = None) -> float | None:
    """Give what the whole request cost in US dollars; None when a price is unknown."""
    ledger = context.usage
    if ledger.calls == 0:
        return None if response is None else response.cost_usd
    return None if ledger.unpriced_calls else ledger.cost_usd


def attempts(failed: Iterable[FailedAttempt]) -> list[dict[str, str]]:
    """Give the choices that did not answer."""
    return [{"choice": each.choice, "reason": reason(each.reason)} for each in failed]


def reason(text: str) -> str:
    """Give a reason as a client may see it: of an error its kind, and not what it says."""
    return _ERROR.sub(r"\1", text) if _ERROR.match(text) else text
