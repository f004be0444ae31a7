"""The cheapest route that will do."""

from __future__ import annotations

import bisect
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from itertools import pairwise
from types import NoneType
from typing import Any, overload

from opentelemetry import trace

from tta_llm.core import WorkflowContext
from tta_llm.core._typing import AwaitedStep, In, Out, Pieces, PlainStep, Step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.errors import CannotServeError, CompositionError
from tta_llm.messages import ChatInput
from tta_llm.observability import configured, tell
from tta_llm.routing._followed import FollowedRouter
from tta_llm.routing._needs import Needs, models_in
from tta_llm.routing._saving import Saving
from tta_llm.routing.calibration import Calibration
from tta_llm.routing.prompt_complexity import DEFAULT_THRESHOLDS, PromptComplexity
from tta_llm.routing.route_choice import RouteChoice
from tta_llm.routing.scoring import Score, Scorer

__all__ = ["ComplexityRouter"]

_log = logging.getLogger("tta_llm.routing")


class ComplexityRouter(FollowedRouter[In, Out]):
    """Takes a cheap route for an easy prompt and a dear one for a hard prompt.

    Hard facts come before the score. A route is impossible when each model in it lacks what the
    request has or asks for (images, documents, tools, structured output), is too small for it, or
    may cost more than what is left of the context's budget; and when the route took longer of late
    than there is time. What is not known about a model does not count against it. In place of an
    impossible route the nearest better one is taken, or else the nearest cheaper one.

    The score, its reasons and the choice stand on the span; `explain` tells them.

    Args:
        routes: The steps by name, the cheapest first, at least two.
        scorer: Tells how difficult a prompt is; `PromptComplexity` when missing.
        thresholds: From which score on the next route is taken, ascending; one fewer than routes.
            When missing, `DEFAULT_THRESHOLDS` for three routes, the middle of them for two.
        calibration: Thresholds and scorer that were fitted to prompts of your own, in their place.
        default: The route to aim for when the scorer raises; without it, that error is raised.
        name: What spans and errors call it.

    Raises:
        CompositionError: When routes and thresholds don't fit each other.
        CannotServeError: From `execute` and `stream`, when every route is impossible.

    Example:
        ```python
        from tta_llm.routing import ComplexityRouter
        from tta_llm.testing import FakeChatModel

        router = ComplexityRouter(
            {"fast": FakeChatModel("Hello!"), "quality": FakeChatModel("Suppose there were.")}
        )
        assert router.run("Hi there").text == "Hello!"
        hard = "Prove that there are infinitely many primes, and that none of them is the last."
        assert router.explain(hard).route == "quality"
        ```
    """

    @overload
    def __init__(
        self,
        routes: Mapping[str, WorkflowPrimitive[In, Out]],
        scorer: Scorer | None = None,
        *,
        thresholds: Sequence[float] | None = None,
        calibration: Calibration | None = None,
        default: str | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        routes: Mapping[str, AwaitedStep[In, Out]],
        scorer: Scorer | None = None,
        *,
        thresholds: Sequence[float] | None = None,
        calibration: Calibration | None = None,
        default: str | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        routes: Mapping[str, PlainStep[In, Out]],
        scorer: Scorer | None = None,
        *,
        thresholds: Sequence[float] | None = None,
        calibration: Calibration | None = None,
        default: str | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        routes: Mapping[str, Step[In, Out]],
        scorer: Scorer | None = None,
        *,
        thresholds: Sequence[float] | None = None,
        calibration: Calibration | None = None,
        default: str | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        routes: Mapping[str, Step[Any, Any]],
        scorer: Scorer | None = None,
        *,
        thresholds: Sequence[float] | None = None,
        calibration: Calibration | None = None,
        default: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(routes, self._route, default, name=name)
        self._order = tuple(self.routes)
        if calibration is not None:
            _refuse_beside(calibration, self._order, scorer=scorer, thresholds=thresholds)
            scorer, thresholds = calibration.scorer, calibration.thresholds
        if thresholds is None:
            thresholds = _default_thresholds(len(routes), scorer)
        self.scorer: Scorer = PromptComplexity() if scorer is None else scorer
        self.thresholds: tuple[float, ...] = _checked(thresholds, len(routes))
        self._models = {route: tuple(models_in(each)) for route, each in self.routes.items()}

    def explain(self, input_data: ChatInput, context: WorkflowContext | None = None) -> RouteChoice:
        """Tell which route would be taken, and why, without taking it.

        Args:
            input_data: What the router gets.
            context: Its budget and its time count; there is no end to them when missing.

        Raises:
            CannotServeError: When every route is impossible; it says why for each.
        """
        context = WorkflowContext() if context is None else context
        score, aimed = self._score(input_data)
        needs = Needs(input_data)
        impossible: dict[str, str] = {}
        place = self._order.index(aimed)
        for route in (*self._order[place:], *reversed(self._order[:place])):
            why_not = self._why_not(route, needs, context)
            if why_not is None:
                return RouteChoice(route, aimed, score, impossible)
            impossible[route] = why_not
        told = "; ".join(f"{route!r}: {why}" for route, why in impossible.items())
        raise CannotServeError(
            f"no route of {self.name!r} can serve this request: {told}. Give it a route that can, "
            "or the request more time or budget"
        )

    def _score(self, input_data: ChatInput) -> tuple[Score | None, str]:
        try:
            score = self.scorer(input_data)
        except Exception as error:
            if self.default is None:
                raise
            _log.warning("the scorer of %r failed: %s", self.name, type(error).__name__)
            return None, self.default
        return score, self._order[bisect.bisect_right(self.thresholds, score.value)]

    def _why_not(self, route: str, needs: Needs, context: WorkflowContext) -> str | None:
        left, takes = context.remaining_seconds(), self._loads[route].latency(context.clock)
        if left is not None and takes is not None and takes > left:
            return f"it takes {takes:.3g} s of late, and {left:.3g} s are left"
        return needs.why_not(self._models[route], context)

    async def _route(self, input_data: Any, context: WorkflowContext) -> str:
        choice = self.explain(input_data, context)
        if configured():
            trace.get_current_span().set_attributes(choice.attributes())
        if choice.route != choice.aimed:
            tell("passed_over", choice.aimed, reason=choice.impossible[choice.aimed])
        return choice.route

    async def _run_chosen(
        self, chosen: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
    ) -> Any:
        saving = Saving(self.name, self._models, context.usage)
        answer = await super()._run_chosen(chosen, input_data, context)
        saving.follow(answer)
        return answer

    async def _stream_chosen(
        self, chosen: WorkflowPrimitive[Any, Any], input_data: Any, context: WorkflowContext
    ) -> Pieces:
        saving = Saving(self.name, self._models, context.usage)
        async with aclosing(super()._stream_chosen(chosen, input_data, context)) as pieces:
            async for piece in pieces:
                saving.follow(piece)
                yield piece


def _refuse_beside(calibration: Calibration, routes: tuple[str, ...], **given: object) -> None:
    """Refuse what a calibration brings itself, and one for other routes."""
    if twice := [f"{name}=" for name, value in given.items() if value is not None]:
        raise CompositionError(f"a calibration has its own: give it, or {' and '.join(twice)}")
    if calibration.tiers != routes:
        raise CompositionError(
            f"the calibration is for the routes {', '.join(calibration.tiers)}, in this order, and "
            f"these are {', '.join(routes)}"
        )


def _default_thresholds(routes: int, scorer: Scorer | None) -> Sequence[float]:
    if not isinstance(scorer, (PromptComplexity, NoneType)):
        raise CompositionError(
            "a scorer of your own needs thresholds=, for nobody knows how its scores spread"
        )
    if routes == 2:
        return [sum(DEFAULT_THRESHOLDS) / 2]
    return DEFAULT_THRESHOLDS


def _checked(thresholds: Sequence[float], routes: int) -> tuple[float, ...]:
    if routes < 2:
        raise CompositionError("a router by complexity needs two routes or more, cheapest first")
    if len(thresholds) != routes - 1:
        raise CompositionError(
            f"{routes} routes need {routes - 1} thresholds, one between each two of them, and "
            f"there are {len(thresholds)}"
        )
    if not all(one <= other for one, other in pairwise((0.0, *thresholds, 1.0))):
        raise CompositionError(f"thresholds rise from 0 to 1, and {list(thresholds)} do not")
    return tuple(thresholds)
