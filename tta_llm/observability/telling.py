"""What steps tell of themselves while they run: on the current span, in metrics and in the log."""

from __future__ import annotations

from opentelemetry import trace

from tta_llm.observability import names
from tta_llm.observability.harmless import harmless
from tta_llm.observability.logs import log_event
from tta_llm.observability.outline import tidy
from tta_llm.observability.scopes import current_step
from tta_llm.observability.telemetry import configured, telemetry

__all__ = ["tell", "tell_cache", "tell_choice", "tell_route_saving", "tell_wait"]


@harmless
def tell(event: str, target: str, **attributes: str | float) -> None:
    """Put an event on the current span, count it and log it, if anybody listens.

    Args:
        event: What happened, such as `retry`.
        target: The name of the step that it is about.
        attributes: More about it for the span; the counter knows event and target only.
    """
    if not configured():
        return
    current = telemetry()
    current.events.add(1, {names.EVENT: event, **current.about(names.TARGET, target)})
    span, step = trace.get_current_span(), current_step()
    span.add_event(f"tta.{event}", {names.TARGET: target, **attributes})
    if step is not None and event == "retry":
        step.retries += 1
    log_event(event, step, {names.TARGET: target, **attributes})


@harmless
def tell_cache(
    event: str, target: str, seconds: float, dollars: float, score: float | None = None
) -> None:
    """Count what a cache did, and say on the current span how it answered, if anybody listens.

    Args:
        event: What happened, such as `hit`.
        target: The cache's name.
        seconds: How much time it saved.
        dollars: How much money it saved.
        score: How near the nearest question that it remembers comes.
    """
    if not configured():
        return
    instruments = telemetry()
    about = instruments.about(names.TARGET, target)
    instruments.cache_events.add(1, {names.EVENT: event, **about})
    if seconds:
        instruments.cache_seconds.add(seconds, about)
    if dollars:
        instruments.cache_dollars.add(dollars, about)
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(_cache_attributes(event, seconds, dollars, score))


def _cache_attributes(
    event: str, seconds: float, dollars: float, score: float | None
) -> dict[str, str | float]:
    told: dict[str, str | float] = {}
    if event in names.CACHE_ANSWERS:
        told[names.CACHE] = event
    if score is not None:
        told[names.CACHE_SCORE] = score
    if seconds:
        told[names.SAVED_SECONDS] = seconds
    if dollars:
        told[names.SAVED_USD] = dollars
    return told


@harmless
def tell_choice(router: str, route: str) -> None:
    """Say on the current span which route is taken, and count it, if anybody listens."""
    if not configured():
        return
    route = tidy(route)
    trace.get_current_span().set_attribute(names.CHOICE, route)
    current = telemetry()
    about = {**current.about(names.TARGET, router), **current.about(names.ROUTE, route)}
    current.choices.add(1, about)


@harmless
def tell_route_saving(router: str, dollars: float) -> None:
    """Say on the current span, and count, what taking a cheaper route saved.

    Args:
        router: The router's name.
        dollars: What the dearest one would have cost besides.
    """
    trace.get_current_span().set_attribute(names.ROUTE_SAVED_USD, dollars)
    current = telemetry()
    current.route_dollars.add(dollars, current.about(names.TARGET, router))


@harmless
def tell_wait(target: str, limiter: str, seconds: float) -> None:
    """Measure how long a call waited for its turn, if anybody listens.

    Args:
        target: What it waited for.
        limiter: What made it wait: `rate` or `concurrency`.
        seconds: On the clock of its context.
    """
    if configured():
        current = telemetry()
        current.waits.record(
            seconds, {names.LIMITER: limiter, **current.about(names.TARGET, target)}
        )
