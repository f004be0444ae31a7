"""A cheap answer where it will do, and a better one where it won't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal, TypeAlias, cast, overload

from tta_llm.core import WorkflowContext, as_step
from tta_llm.core._checks import listed, one_of
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CompositionError
from tta_llm.routing._climb import Answered, Climb, Tier, checks_of, tiers_of

__all__ = ["Answered", "Cascade", "Check"]

Check: TypeAlias = "Callable[..., Any] | WorkflowPrimitive[Answered, Any]"
"""A function of the answer (and, if it likes, the context), or a judge; what is true passes."""


class Cascade(WorkflowPrimitive[In, Out]):
    """Asks the cheapest tier first, and the next one when its answer doesn't pass a check.

    An answer that doesn't fit the request's `response_format` doesn't pass either. Other errors are
    raised: for a tier that may be down, make it a `FallbackPrimitive`. When the budget doesn't
    allow for the next tier, it counts as one whose answer didn't pass.

    Each answer is paid for: the context's ledger has them all, and the response says in
    `failed_attempts` which tiers were asked before, why their answers would not do, and what they
    cost.

    An answer that has to be checked is streamed when it has passed. Where the last tier's needs no
    check, it is streamed as it comes.

    Args:
        tiers: The steps, the cheapest first, at least two.
        check: A function of the answer (and, if it likes, the context), sync or async; or a
            primitive, such as a judge, which gets an `Answered`; or a list, of which all must pass.
            `finished`, `fits` and `confident` make some.
        if_none_passes: `last` doesn't check the last tier's answer and gives it, or the one before
            it when it has none; `raise` checks it and raises.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there are fewer than two tiers, or no check.
        AnswerRejectedError: From `execute` and `stream`, when no answer passed and
            `if_none_passes` is `raise`; it has the last one.

    Example:
        ```python
        from tta_llm.routing import Cascade
        from tta_llm.testing import FakeChatModel

        small, large = FakeChatModel("Perhaps Lyon?", name="small"), FakeChatModel("Paris.")
        model = Cascade([small, large], check=lambda answer: "?" not in answer.text)
        answer = model.run("Capital of France?")
        assert answer.text == "Paris."
        assert answer.failed_attempts[0].choice == "small"
        ```
    """

    @overload
    def __init__(
        self,
        tiers: Sequence[WorkflowPrimitive[In, Out]],
        check: Check | Sequence[Check],
        *,
        if_none_passes: Literal["last", "raise"] = "last",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        tiers: Sequence[AwaitedStep[In, Out]],
        check: Check | Sequence[Check],
        *,
        if_none_passes: Literal["last", "raise"] = "last",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        tiers: Sequence[PlainStep[In, Out]],
        check: Check | Sequence[Check],
        *,
        if_none_passes: Literal["last", "raise"] = "last",
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        tiers: Sequence[Step[In, Out]],
        check: Check | Sequence[Check],
        *,
        if_none_passes: Literal["last", "raise"] = "last",
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        tiers: Sequence[Step[Any, Any]],
        check: Check | Sequence[Check],
        *,
        if_none_passes: Literal["last", "raise"] = "last",
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        self.tiers: tuple[WorkflowPrimitive[Any, Any], ...] = tuple(
            map(as_step, listed(tiers, "tiers"))
        )
        if len(self.tiers) < 2:
            raise CompositionError(f"a cascade needs two tiers or more, not {len(self.tiers)}")
        single = callable(check) or isinstance(check, WorkflowPrimitive)
        self._checks = checks_of([check] if single else listed(check, "check"))
        if not self._checks:
            raise CompositionError("a cascade needs a check, and the list of them is empty")
        self.if_none_passes: str = one_of(("last", "raise"), if_none_passes, "if_none_passes")
        tiers_in_order = tiers_of(self.tiers)
        # The last needs no check when its answer is given in any case.
        self._last = tiers_in_order[-1] if self.if_none_passes == "last" else None
        self._checked = tiers_in_order[: -1 if self._last else None]

    async def execute(self, input_data: In, context: WorkflowContext) -> Out:
        """Ask one tier after the other until an answer passes."""
        climb = Climb(self._checks, input_data, context)
        if await climb.finds(self._checked):
            return cast("Out", climb.last())
        return cast("Out", await climb.ask(self._unchecked(climb)))

    async def stream(self, input_data: In, context: WorkflowContext) -> Pieces:
        """Stream the first answer that passes, whole; or the last tier's as it comes."""
        climb = Climb(self._checks, input_data, context)
        if await climb.finds(self._checked):
            for piece in climb.last_pieces():
                yield piece
            return
        async with aclosing(climb.stream(self._unchecked(climb))) as pieces:
            async for piece in pieces:
                yield piece

    def _unchecked(self, climb: Climb) -> Tier:
        """Give the tier whose answer is given in any case, or raise when there is none."""
        if self._last is None:
            raise climb.rejection()
        return self._last

    def children(self) -> Sequence[tuple[str, WorkflowPrimitive[Any, Any]]]:
        """The tiers, and the judges."""
        tiers = [
            ("first" if not number else f"else {number}", tier)
            for number, tier in enumerate(self.tiers)
        ]
        return [*tiers, *(("check", each.judge) for each in self._checks if each.judge)]

    @property
    def input_type(self) -> Any:
        """What the first tier takes."""
        return self.tiers[0].input_type

    @property
    def output_type(self) -> Any:
        """What the tiers give, when they agree."""
        gives = [tier.output_type for tier in self.tiers]
        return gives[0] if all(each == gives[0] for each in gives) else Any
