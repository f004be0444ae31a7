"""What a consumer of a fallback's stream has in hand in the end, whatever its choices do.

The model below works with whole texts: no stream, no event, no piece.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import given
from hypothesis import strategies as st

from tests.recovery.scripted import Scripted, all_closed, broken, end, read
from tta_llm import WorkflowContext
from tta_llm.core import Budget
from tta_llm.errors import AllFailedError, ConnectionFailedError
from tta_llm.messages import RefusalDelta, TextDelta, Usage, UsageEvent, assistant, user
from tta_llm.recovery import FallbackPrimitive, partial_text

Mode = Literal["raise", "restart", "continue"]
REASONS = ("refusal", "content_filter", "length")
PIECES = st.lists(st.sampled_from(["a", "b c", " d", "e ", " ", "\n", ""]), max_size=4)


@dataclass(frozen=True)
class Plan:
    """What one choice does: it says these pieces, then it fails, or ends for this reason.

    Its provider may tell the words of a refusal apart; then they are not seen where another choice
    shall answer instead.
    """

    before: bool
    pieces: tuple[str, ...]
    ending: str
    prefill: bool
    tells_refusals: bool

    def is_unseen(self, bad: frozenset[str]) -> bool:
        told = not self.text or (self.ending == "refusal" and self.tells_refusals)
        return (told and self.ending in bad) or (not self.text and self.ending == "fails")

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def model(self, number: int) -> Scripted:
        unseen = [UsageEvent(Usage(1, 0)), TextDelta("")] if self.before else []
        last: Any = broken() if self.ending == "fails" else end(self.ending)  # type: ignore[arg-type]
        marked = self.tells_refusals and self.ending == "refusal"
        events = [*unseen, *map(RefusalDelta if marked else TextDelta, self.pieces), last]
        return Scripted(f"m{number}", *events, prefill=self.prefill)


PLANS = st.builds(
    Plan,
    st.booleans(),
    PIECES.map(tuple),
    st.sampled_from(["fails", "fails", "stop", *REASONS]),
    st.booleans(),
    st.booleans(),
)


@dataclass
class Reading:
    """What the consumer has in hand: the text that it shows, and what is known of it."""

    mode: Mode
    bad: frozenset[str]
    shown: str = ""
    shown_by: int | None = None
    is_beginning: bool = False
    kept: tuple[int, str, str] | None = None
    failures: int = 0
    asked: list[str | None] = field(default_factory=list)

    def end(self, plans: list[Plan]) -> tuple[str, str, int | None]:
        """Tell the text, how it ended, and by whom."""
        for number, plan in enumerate(plans):
            if self.is_over_with(number, plan):
                return self.shown, plan.ending, number
            if self.failures and self.shown_by is not None and self.mode == "raise":
                return self.shown, "error", None
        return (
            (self.kept[1], self.kept[2], self.kept[0]) if self.kept else (self.shown, "error", None)
        )

    def is_over_with(self, number: int, plan: Plan) -> bool:
        goes_on = self.is_beginning and plan.prefill and self.mode == "continue"
        self.asked.append(self.shown.rstrip() if goes_on else None)
        if plan.is_unseen(self.bad):
            self.note_unseen(number, plan, goes_on=goes_on)
            return False
        self.show(number, plan, goes_on=goes_on)
        if plan.ending == "fails":
            self.failures += 1
            return False
        if plan.ending not in self.bad or self.mode == "raise":
            return True
        self.kept = self.kept or (number, self.shown, plan.ending)
        self.is_beginning = self.is_beginning and plan.ending != "refusal"
        return False

    def note_unseen(self, number: int, plan: Plan, *, goes_on: bool) -> None:
        if plan.ending == "fails":
            self.failures += 1
        elif not goes_on:
            self.kept = self.kept or (number, plan.text, plan.ending)

    def show(self, number: int, plan: Plan, *, goes_on: bool) -> None:
        if self.kept is not None and self.kept[0] == self.shown_by:
            self.kept = None
        if not goes_on:
            self.shown = plan.text
        elif self.shown[-1].isspace():
            self.shown += plan.text.lstrip()
        else:
            self.shown += plan.text
        self.shown_by, self.is_beginning = number, bool(self.shown.strip())


@given(
    plans=st.lists(PLANS, min_size=2, max_size=5),
    mode=st.sampled_from(["raise", "restart", "continue"]),
    bad=st.frozensets(st.sampled_from(REASONS)),
)
async def test_the_consumer_has_what_the_model_says(
    plans: list[Plan], mode: Mode, bad: frozenset[Any]
) -> None:
    models = [plan.model(number) for number, plan in enumerate(plans)]
    workflow = FallbackPrimitive(
        models[0], models[1:], after_first_piece=mode, fallback_on_finish=bad
    )
    context = WorkflowContext(budget=Budget(calls=100))
    reader = await read(workflow, "Count.", context)
    expected = Reading(mode, bad)
    text, ended, by = expected.end(plans)

    assert reader.shown == text
    if ended == "error":
        assert reader.error is not None
        assert (partial_text(reader.error) or "") == text
        alone = expected.failures == 1 or (mode == "raise" and text)
        assert type(reader.error) is (ConnectionFailedError if alone else AllFailedError)
    else:
        assert reader.answer is not None
        assert reader.answer.finish_reason == ended
        assert (reader.answer.model, reader.answer.text) == (f"m{by}", text)
    requests = [
        (user("Count."),) if text is None else (user("Count."), assistant(text))
        for text in expected.asked
    ]
    assert [call.messages for model in models for call in model.calls] == requests
    assert all_closed(models)
    assert context.budget is not None
    assert context.budget.spent.calls == len(requests)
    assert context.budget.reserved.calls == 0
