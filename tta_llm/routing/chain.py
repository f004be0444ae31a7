"""A chain of models of several vendors, in one line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from tta_llm.core import FunctionStep, WorkflowPrimitive, as_step
from tta_llm.core._checks import listed
from tta_llm.errors import AuthenticationError, CompositionError
from tta_llm.messages import ChatInput, ChatResponse, FinishReason
from tta_llm.providers import ChatModel
from tta_llm.recovery import FallbackPrimitive
from tta_llm.recovery.fallback import FALLBACK_FINISHES
from tta_llm.routing._links import Canned, KeylessModel, guarded, model_of
from tta_llm.routing.capability import CapabilityCheck
from tta_llm.routing.tiers import TIER_MODELS

__all__ = ["FallbackChain"]

Link: TypeAlias = str | WorkflowPrimitive[Any, Any] | Callable[..., Any]


class FallbackChain(FallbackPrimitive[ChatInput, ChatResponse]):
    """Asks models of several vendors in order until one answers: a FallbackPrimitive, ready made.

    Around each model are, from the inside out, the rate limit that its provider tells, half of the
    time that is left for all but the last (for a stream: until its first piece), a circuit breaker,
    retries, and a `CapabilityCheck`. A primitive that is no model has the check alone. What falls
    through, what comes last after a failure, and what stands in `failed_attempts` is as with
    `FallbackPrimitive`; a provider that was left alone is asked in its place again when its time is
    over. Make a chain once and share it: its guards are its own.

    A model whose key is missing is logged, counts as failed, and is looked for again; when all are
    missing, the chain can't be made.

    Args:
        choices: In order, at least two: models by name, `vendor:model` or `vendor:tier` (see
            `TIER_MODELS`); models; primitives; and at the end, perhaps, a function or a text with
            spaces in it, which is given as it is when nobody else answers.
        max_retries: How often each model may be tried again.
        patience_seconds: How long a model, but the last, may wait for its rate limit, and go on
            with retries, before the next is asked.
        tiers: Which model `vendor:tier` stands for.
        fallback_on_finish: As with `FallbackPrimitive`.
        after_first_piece: As with `FallbackPrimitive`.
        hold_out_seconds: As with `FallbackPrimitive`.
        name: What spans and errors call it.

    Raises:
        AuthenticationError: When no model has a key.
        CompositionError: When there are fewer than two choices, or some after a text.
        MissingExtraError: When a vendor's SDK isn't installed.
        ValueError: When nobody knows a vendor.

    Example:
        ```python
        from tta_llm.errors import OverloadedError
        from tta_llm.routing import FallbackChain
        from tta_llm.testing import FakeChatModel

        first, second = FakeChatModel(OverloadedError("busy")), FakeChatModel("Paris.")
        chain = FallbackChain([first, second, "Please ask again later."], max_retries=0)
        assert chain.run("Capital of France?").text == "Paris."
        ```
    """

    def __init__(
        self,
        choices: Sequence[Link],
        *,
        max_retries: int = 2,
        patience_seconds: float = 5.0,
        tiers: Mapping[str, str] = TIER_MODELS,
        fallback_on_finish: Iterable[FinishReason] = FALLBACK_FINISHES,
        after_first_piece: Literal["raise", "restart", "continue"] = "raise",
        hold_out_seconds: float | None = 60.0,
        name: str | None = None,
    ) -> None:
        given = listed(choices, "choices")
        _refuse_unreachable(given)
        steps = [_step(each, tiers) for each in given]
        _refuse_without_keys(steps)
        guard = functools.partial(
            guarded, max_retries=max_retries, patience_seconds=patience_seconds
        )
        links = [_link(each, guard, is_last=each is steps[-1]) for each in steps]
        if len(links) < 2:
            raise CompositionError(f"a chain needs two choices or more, and there are {len(links)}")
        super().__init__(
            links[0],
            links[1:],
            fallback_on_finish=fallback_on_finish,
            after_first_piece=after_first_piece,
            hold_out_seconds=hold_out_seconds,
            name=name,
        )


def _is_text(choice: Link) -> bool:
    # No model's name has a space, and a sentence has.
    return isinstance(choice, str) and any(map(str.isspace, choice))


def _step(choice: Link, tiers: Mapping[str, str]) -> WorkflowPrimitive[Any, Any]:
    if _is_text(choice):
        return Canned(FunctionStep(lambda _: choice, name="canned"))
    if isinstance(choice, str):
        return model_of(tiers.get(choice, choice))
    step = as_step(choice)
    return Canned(step) if isinstance(step, FunctionStep) else step


def _link(
    step: WorkflowPrimitive[Any, Any],
    guard: Callable[..., WorkflowPrimitive[Any, Any]],
    *,
    is_last: bool,
) -> WorkflowPrimitive[Any, Any]:
    if isinstance(step, Canned):
        return step
    is_model = isinstance(step, (ChatModel, KeylessModel))
    return CapabilityCheck(guard(step, is_last=is_last) if is_model else step)


def _refuse_unreachable(choices: Sequence[Link]) -> None:
    for number, choice in enumerate(choices[:-1], 1):
        if _is_text(choice):
            raise CompositionError(
                f"choice {number} is a text, which always answers, so nothing after it is ever "
                "asked: put it last"
            )


def _refuse_without_keys(steps: Sequence[WorkflowPrimitive[Any, Any]]) -> None:
    answering = [step for step in steps if not isinstance(step, Canned)]
    keyless = [step for step in answering if isinstance(step, KeylessModel)]
    if keyless and len(keyless) == len(answering):
        raise AuthenticationError("; ".join(step.why for step in keyless))
