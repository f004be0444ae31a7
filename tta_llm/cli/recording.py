"""Records what a command does as one run in the account's file of runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, format_trace_id

from tta_llm.cli.exits import UsageError
from tta_llm.cli.output import print_text
from tta_llm.errors import TTAError
from tta_llm.observability import configured, names
from tta_llm.observability.runs.exporter import RunProcessor
from tta_llm.observability.runs.opening import store_file
from tta_llm.observability.runs.store import RunStore

__all__ = ["recorded", "recording"]


@contextmanager
def recorded(name: str) -> Iterator[None]:
    """Record the block as one run, unless it is turned off or an application records by itself.

    Where the command was wrong, nothing was run, and nothing is kept.
    """
    with recording() as run, run(name):
        yield


@contextmanager
def recording() -> Iterator[Callable[[str], AbstractContextManager[None]]]:
    """Give what records a block as a run of its own, under a name."""
    if configured() or not _has_place():
        yield lambda _: nullcontext()
        return
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(RunProcessor(warn=_warn))
    trace.set_tracer_provider(provider)
    try:
        yield partial(_run, provider)
    finally:
        provider.shutdown()


@contextmanager
def _run(provider: TracerProvider, name: str) -> Iterator[None]:
    try:
        with _span(provider.get_tracer("tta_llm"), name) as span:
            yield
    except UsageError:
        # What is under way is recorded every second, so it may be there.
        provider.force_flush()
        with suppress(TTAError, OSError):
            RunStore().forget(format_trace_id(span.get_span_context().trace_id))
        raise


def _has_place() -> bool:
    """Tell whether runs are to be recorded and can be; warn when they only can't."""
    try:
        return store_file() is not None
    except TTAError as error:
        _warn(f"this run is not recorded: {error}")
        return False


@contextmanager
def _span(tracer: trace.Tracer, name: str) -> Iterator[trace.Span]:
    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except (KeyboardInterrupt, asyncio.CancelledError):
            span.set_attribute(names.CANCELLED, value=True)
            raise
        except BaseException as error:
            kind = type(error).__qualname__
            span.set_attribute(names.ERROR_TYPE, kind)
            span.set_status(Status(StatusCode.ERROR, kind))
            raise


def _warn(message: str) -> None:
    print_text(f"tta: {message}", to_stderr=True)
