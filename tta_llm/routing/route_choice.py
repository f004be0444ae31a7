"""Which route a router takes for a request, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from tta_llm.observability import names
from tta_llm.routing.scoring import Score

__all__ = ["RouteChoice"]

# A span is no place for long texts, whoever wrote the scorer.
_MOST_REASONS, _LONGEST_REASON = 8, 120


@dataclass(frozen=True, slots=True)
class RouteChoice:
    """What a ComplexityRouter makes of a request; `print` shows it in a sentence.

    Args:
        route: The route that is taken.
        aimed: The route that the score asks for.
        score: How difficult the request is; None when the scorer failed.
        impossible: Why other routes can't serve it, by their names.

    Example:
        ```python
        from tta_llm.routing import ComplexityRouter
        from tta_llm.testing import FakeChatModel

        router = ComplexityRouter({"fast": FakeChatModel(), "quality": FakeChatModel()})
        choice = router.explain("Hi there")
        assert (choice.route, choice.aimed, choice.impossible) == ("fast", "fast", {})
        print(choice)  # 'fast': difficulty 0.00 (small talk or a simple request)
        ```
    """

    route: str
    aimed: str
    score: Score | None
    impossible: Mapping[str, str]

    def __str__(self) -> str:
        if self.score is None:
            told = "the scorer failed, and this is the default"
        else:
            reasons = "; ".join(self.score.reasons) or "no reasons given"
            told = f"difficulty {self.score.value:.2f} ({reasons})"
        if self.route != self.aimed:
            told += f", which asks for {self.aimed!r}; but {self.impossible[self.aimed]}"
        return f"{self.route!r}: {told}"

    def attributes(self) -> dict[str, str | float | list[str]]:
        """Give it as attributes of a span, at a bounded size."""
        told: dict[str, str | float | list[str]] = {names.AIMED: self.aimed}
        if self.score is not None:
            told |= {names.SCORE: self.score.value, names.REASONS: _bounded(self.score.reasons)}
        if self.impossible:
            whys = (f"{route}: {why}" for route, why in self.impossible.items())
            told[names.IMPOSSIBLE] = _bounded(whys)
        return told


def _bounded(texts: Iterable[str]) -> list[str]:
    return [text[:_LONGEST_REASON] for text in islice(texts, _MOST_REASONS)]
