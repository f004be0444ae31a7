"""What every command does around its work: it is recorded, and leaves with its exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from tta_llm.cli.exits import Exit
from tta_llm.cli.output import print_error, print_text
from tta_llm.errors import TTAError
from tta_llm.observability import configured, names

__all__ = ["leave"]


def leave(run: Callable[[], int], *, as_json: bool, recorded_as: str | None = None) -> NoReturn:
    """Do it and exit with its code, or say that it was interrupted.

    Args:
        run: The work.
        as_json: Whether a script waits for an object.
        recorded_as: What the run is called in the account's file of runs. Without it: none is
            recorded.
    """
    try:
        with _recorded(recorded_as):
            code = run()
        raise typer.Exit(code)
    except KeyboardInterrupt:  # typer would leave without a word
        print_error("interrupted", "KeyboardInterrupt", Exit.INTERRUPTED, as_json=as_json)
        raise typer.Exit(Exit.INTERRUPTED) from None


@contextmanager
def _recorded(name: str | None) -> Iterator[None]:
    """Record the block as one run, unless it is turned off or an application records by itself."""
    if name is None or configured() or not _has_place():
        yield
        return
    # Imported here, because the commands that read runs don't need it, nor `tta --version`.
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    from tta_llm.observability.runs.exporter import RunProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(RunProcessor(warn=_warn))
    trace.set_tracer_provider(provider)
    try:
        with _span(provider.get_tracer("tta_llm"), name):
            yield
    finally:
        provider.shutdown()


def _has_place() -> bool:
    """Tell whether runs are to be recorded and can be; warn when they only can't."""
    from tta_llm.observability.runs.opening import store_file  # noqa: PLC0415 - as above

    try:
        return store_file() is not None
    except TTAError as error:
        _warn(f"this run is not recorded: {error}")
        return False


@contextmanager
def _span(tracer: trace.Tracer, name: str) -> Iterator[None]:
    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield
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
