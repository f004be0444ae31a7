"""What a workflow must come to, worked out by plain recursion over its description.

No event loop, no task, no primitive: time is a number that is handed on, and what happens at the
same time is worked out one after the other and cut off where a failure or a deadline cuts it off.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from tests.properties.descriptions import (
    RETRY_AFTER,
    Balanced,
    Break,
    Cached,
    Chain,
    Choice,
    Climb,
    Each,
    Fall,
    Fan,
    Flaky,
    Limit,
    Node,
    Retry,
    Route,
    Split,
    Work,
    chance,
    flat,
    split,
    spread,
    turned,
    worked,
)

MENDABLE = {"ConnectionError", "RateLimitError", "DeadlineExceededError"}


@dataclass(frozen=True)
class Bad:
    """A failure: its class, how its text begins, where it arose (outermost first), and notes."""

    kind: str
    told: str
    path: tuple[str, ...] = ()
    notes: frozenset[str] = frozenset()
    parts: tuple[Bad, ...] = ()

    def at(self, place: str) -> Bad:
        return replace(self, path=(place, *self.path))

    def can_mend(self) -> bool:
        return self.kind in MENDABLE or any(part.can_mend() for part in self.parts)

    def falls_through(self) -> bool:
        enough = any if self.kind == "AllFailedError" else all
        return self.kind in MENDABLE or (
            bool(self.parts) and enough(part.falls_through() for part in self.parts)
        )


@dataclass(frozen=True)
class Event:
    """Something that leaves a trace: a span begun, a call counted, a result remembered."""

    when: float
    kind: str
    key: Any
    value: Any = None


def name(node: Node) -> str:
    match node:
        case Chain(name=str(own)):
            return own
        case Work(id=id):
            return f"w{id}"
        case Break(id=id):
            return f"b{id}"
        case Flaky(id=id):
            return f"f{id}"
        case Split(id=id):
            return f"s{id}"
    classes = {Chain: "Sequential", Fan: "Parallel", Each: "Map", Choice: "Conditional"}
    classes |= {
        Route: "Router",
        Retry: "Retry",
        Limit: "Timeout",
        Fall: "Fallback",
        Cached: "Cache",
    }
    specialised = {Climb: "Cascade", Balanced: "LoadBalancer"}
    return specialised.get(type(node)) or f"{classes[type(node)]}Primitive"


def choice_name(node: Node) -> str:
    """What a fallback calls a choice: what stands behind the wrappers."""
    while isinstance(node, (Retry, Limit, Cached)):
        node = node.inside
    return name(node)


@dataclass(frozen=True)
class Scene:
    """When a node begins, until when it may run, and under which spans."""

    now: float
    deadline: float | None
    under: tuple[str, ...] = ()

    def at(self, now: float) -> Scene:
        return replace(self, now=now)


Outcome: TypeAlias = tuple[float, Any]
"""When it ends and what it gives: a value, or `Bad`."""

Job: TypeAlias = tuple[str, Node, Any]
"""A place as the path of an error tells it, what runs there, and with which input."""


class Reference:
    """Interprets a description; what a cache remembers stays from one run to the next."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def run(
        self, node: Node, value: Any, start: float = 0.0, timeout: float | None = None
    ) -> Outcome:
        """Work out a run that begins at `start`, with a context that has so much time."""
        self._events = [event for event in self._events if event.kind == "remembered"]
        if timeout is None:
            return self._step(node, value, Scene(start, None))
        return self._in_time(node, value, Scene(start, None), start + timeout)

    @property
    def spans(self) -> Counter[tuple[str, ...]]:
        """How often each path of names, from the root, is the path of a span."""
        return Counter(event.key for event in self._events if event.kind == "span")

    def _step(self, node: Node, value: Any, scene: Scene) -> Outcome:
        here = replace(scene, under=(*scene.under, name(node)))
        self._events.append(Event(scene.now, "span", here.under))
        judge = getattr(self, f"_{type(node).__name__.lower()}")
        outcome: Outcome = judge(node, value, here)
        return outcome

    def _work(self, node: Work, value: Any, scene: Scene) -> Outcome:
        seconds = node.seconds + (spread(value) if node.style == "staggered" else 0.0)
        work = turned if node.style == "per_piece" else worked
        return scene.now + seconds, work(node.id, value)

    def _split(self, node: Split, value: Any, scene: Scene) -> Outcome:
        return scene.now, split(node.count, value)

    def _break(self, node: Break, value: Any, scene: Scene) -> Outcome:
        return scene.now + node.seconds, Bad(node.error, name(node))

    def _flaky(self, node: Flaky, value: Any, scene: Scene) -> Outcome:
        key = (node.id, flat(value))
        self._events.append(Event(scene.now, "call", key))
        calls = sum(event.kind == "call" and event.key == key for event in self._events)
        failed = Bad(node.error, name(node))
        return scene.now + node.seconds, failed if calls <= node.failures else worked(*key)

    def _chain(self, node: Chain, value: Any, scene: Scene) -> Outcome:
        now, steps = scene.now, _flattened(node)
        for number, each in enumerate(steps, 1):
            place = f"step {number} of {len(steps)} {name(each)!r}"
            now, value = _placed(place, self._step(each, value, scene.at(now)))
            if isinstance(value, Bad):
                break
        return now, value

    def _fan(self, node: Fan, value: Any, scene: Scene) -> Outcome:
        labels = _labels(node.branches, node.keyed)
        places = [f"branch {label!r}" for label in labels]
        jobs = [(place, each, value) for place, each in zip(places, node.branches, strict=True)]
        now, results = self._together(node, jobs, scene)
        if isinstance(results, Bad):
            return now, results
        return now, dict(zip(labels, results, strict=True)) if node.keyed else tuple(results)

    def _each(self, node: Each, value: Any, scene: Scene) -> Outcome:
        jobs = [(f"item {number}", node.inside, item) for number, item in enumerate(value)]
        return self._together(node, jobs, scene)

    def _together(self, node: Fan | Each, jobs: Sequence[Job], scene: Scene) -> Outcome:
        """Give each job the first place that is free; the first failure in time ends them all."""
        before = len(self._events)
        free = [scene.now] * (node.limit or len(jobs))
        end, results = scene.now, list[Any]()
        failure: Outcome | None = None
        for place, each, value in jobs:
            begin = heapq.heappop(free)
            if failure is not None and begin >= failure[0]:
                break
            done, result = _placed(place, self._step(each, value, scene.at(begin)))
            heapq.heappush(free, done)
            results.append(result)
            end = max(end, done)
            fails = isinstance(result, Bad) and not node.collect
            if fails and (failure is None or done < failure[0]):
                failure = done, result
        if failure is None:
            return end, results
        self._cut(before, failure[0])
        return failure

    def _choice(self, node: Choice, value: Any, scene: Scene) -> Outcome:
        chosen = node.then if chance(node.id, value, 2) else node.other
        if chosen is None:
            self._events.append(Event(scene.now, "span", (*scene.under, "_unchanged")))
            return scene.now, value
        place = f"{'then' if chosen is node.then else 'else'} {name(chosen)!r}"
        return _placed(place, self._step(chosen, value, scene))

    def _route(self, node: Route, value: Any, scene: Scene) -> Outcome:
        number: int | None = chance(node.id, value, len(node.routes))
        if node.misses:
            scene, number = scene.at(scene.now + node.seconds), node.default
        if number is None:
            return scene.now, Bad("UnknownRouteError", "there is no route 'nowhere'")
        return _placed(f"route 'r{number}'", self._step(node.routes[number], value, scene))

    def _retry(self, node: Retry, value: Any, scene: Scene) -> Outcome:
        attempt, notes = 1, set[str]()
        while True:
            now, result = self._step(node.inside, value, scene)
            if not isinstance(result, Bad):
                return now, result
            if attempt > 1:
                notes = {f"after {attempt} tries"}
            if not result.can_mend() or attempt > node.retries:
                break
            wait = RETRY_AFTER if result.kind == "RateLimitError" else 0.0
            if scene.deadline is not None and wait >= scene.deadline - now:
                notes.add("not tried again")
                break
            scene, attempt = scene.at(now + wait), attempt + 1
        return now, replace(result, notes=result.notes | notes)

    def _limit(self, node: Limit, value: Any, scene: Scene) -> Outcome:
        end = scene.now + node.seconds
        if scene.deadline is not None and scene.deadline <= end:
            return self._step(node.inside, value, scene)
        return self._in_time(node.inside, value, scene, end)

    def _in_time(self, node: Node, value: Any, scene: Scene, end: float) -> Outcome:
        before = len(self._events)
        now, result = self._step(node, value, replace(scene, deadline=end))
        if now < end:
            return now, result
        self._cut(before, end)
        return end, Bad("DeadlineExceededError", f"{name(node)!r} ran out of time after")

    def _fall(self, node: Fall, value: Any, scene: Scene) -> Outcome:
        failed: list[Bad] = []
        for number, choice in enumerate(node.choices, 1):
            place = f"choice {number} of {len(node.choices)} {choice_name(choice)!r}"
            now, result = _placed(place, self._step(choice, value, scene))
            if not isinstance(result, Bad):
                return now, result
            if not result.falls_through():
                before = [
                    f"before that, {choice_name(each)!r} failed"
                    for each in node.choices[: number - 1]
                ]
                return now, replace(result, notes=result.notes | set(before))
            failed.append(result)
            scene = scene.at(now)
        told = f"{len(failed)} of {len(failed)} choices were tried and failed"
        return scene.now, Bad("AllFailedError", told, parts=tuple(failed))

    def _climb(self, node: Climb, value: Any, scene: Scene) -> Outcome:
        for number, tier in enumerate(node.tiers, 1):
            place = f"tier {number} of {len(node.tiers)} {choice_name(tier)!r}"
            now, result = _placed(place, self._step(tier, value, scene))
            scene = scene.at(now)
            if isinstance(result, Bad) or chance(node.id, result, 2):
                break
        return now, result

    def _balanced(self, node: Balanced, value: Any, scene: Scene) -> Outcome:
        return _placed("route 'only'", self._step(node.inside, value, scene))

    def _cached(self, node: Cached, value: Any, scene: Scene) -> Outcome:
        key = (node.id, flat(value))
        for event in self._events:
            is_fresh = event.when <= scene.now < event.when + node.seconds
            if event.kind == "remembered" and event.key == key and is_fresh:
                return scene.now, event.value
        before = len(self._events)
        now, result = self._step(node.inside, value, replace(scene, deadline=None))
        # A step that counts its calls in the request's data makes a result of that request's own.
        is_personal = any(event.kind == "call" for event in self._events[before:])
        if not (isinstance(result, Bad) or is_personal):
            self._events.append(Event(now, "remembered", key, result))
        return now, result

    def _cut(self, before: int, when: float) -> None:
        """Undo what was worked out to happen later than it was cut off."""
        kept = [event for event in self._events[before:] if event.when < when]
        self._events[before:] = kept


def _placed(place: str, outcome: tuple[float, Any]) -> tuple[float, Any]:
    now, result = outcome
    return now, result.at(place) if isinstance(result, Bad) else result


def _flattened(chain: Chain) -> list[Node]:
    steps: list[Node] = []
    for each in chain.steps:
        steps += _flattened(each) if isinstance(each, Chain) and each.name is None else [each]
    return steps


def _labels(branches: tuple[Node, ...], keyed: bool) -> list[str]:
    if keyed:
        return [f"k{number}" for number in range(len(branches))]
    names = [name(branch) for branch in branches]
    return [
        each + (f"#{names[: n + 1].count(each)}" if each in names[:n] else "")
        for n, each in enumerate(names)
    ]
