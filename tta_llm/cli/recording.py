"""Records what a command does as one run in the account's file of runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

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

__all__ = ["recorded"]


@contextmanager
def recorded(name: str) -> Iterator[None]:
    """Record the block as one run, unless it is turned off or an application records by itself.

    Where the command was wrong, nothing was run, and nothing is kept.
    """
    if configured() or not _has_place():
        yield
        return
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(RunProcessor(warn=_warn))
    trace.set_tracer_provider(provider)
    try:
        with _span(provider.get_tracer("tta_llm"), name) as span:
            yield
    except UsageError:
        provider.shutdown()
        # What is under way is recorded every second, so it may be there.
        with suppress(TTAError, OSError):
            RunStore().forget(format_trace_id(span.get_span_context().trace_id))
        raise
    finally:
        provider.shutdown()


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
        except KeyboardInterrupt:
            span.set_attribute(names.CANCELLED, value=True)
            raise
        except BaseException as error:
            kind = type(error).__qualname__
            span.set_attribute(names.ERROR_TYPE, kind)
            span.set_status(Status(StatusCode.ERROR, kind))
            raise


def _warn(message: str) -> None:
    print_text(f"tta: {message}", to_stderr=True)
