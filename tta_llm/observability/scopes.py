"""A step under way: its span, and what the steps inside need to know of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import Token
from typing import Protocol

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from tta_llm.observability import names
from tta_llm.observability.harmless import harmless
from tta_llm.observability.logs import RunRecord, log_end
from tta_llm.observability.redaction import redacted

__all__ = ["Request", "StepScope", "current_step"]

_STEP = otel_context.create_key("tta-llm-step")
# On an error: the step that it comes to next on its way out, if that has it from a step inside.
_COMES_TO = "_tta_comes_to"
_DEEPEST = 50
_LONGEST = 8_000

_numbers = itertools.count(1)


class Request(Protocol):
    """What is told of the request that a step works for: the context that came first."""

    @property
    def correlation_id(self) -> str: ...  # noqa: D102  # as the context documents it
    @property
    def workflow_id(self) -> str | None: ...  # noqa: D102


class StepScope:
    """A step under way, current between `enter` and `leave`, over at `end`."""

    __slots__ = (
        "_may_tell",
        "_token",
        "around",
        "begun",
        "context",
        "error_type",
        "has_inner",
        "is_cancelled",
        "is_dropped",
        "is_silent",
        "name",
        "number",
        "request",
        "retries",
        "run",
        "span",
    )

    def __init__(
        self,
        name: str,
        span: Span,
        outer: Context,
        *,
        request: Request,
        around: StepScope | None,
        run: RunRecord | None,
        may_tell: bool,
    ) -> None:
        self.name: str = name
        self.span: Span = span
        self.request: Request = request
        self.around: StepScope | None = around
        self.run: RunRecord | None = run
        self._may_tell = may_tell
        self.is_dropped: bool = not span.is_recording()
        """Whether nobody keeps its span."""
        self.is_silent: bool = self.is_dropped and run is None
        """Whether nobody learns of it at all."""
        self.has_inner: bool = False
        self.is_cancelled: bool = False
        self.error_type: str | None = None
        self.retries: int = 0
        """How often a step inside was tried again so far."""
        self.number: int = next(_numbers)
        self.context: Context | None = otel_context.set_value(_STEP, self, outer)
        self._token: Token[Context] | None = None
        if around is not None:
            around.has_inner = True
        if run is not None:
            self.begun: float = time.perf_counter()

    @property
    def is_first(self) -> bool:
        """Whether the run began with it."""
        return self.around is None

    @property
    def path(self) -> str:
        """The names of the steps that it is in, and its own, from the outermost on."""
        inwards = list(itertools.islice(self._outwards(), _DEEPEST + 1))[::-1]
        if len(inwards) > _DEEPEST:
            inwards[0] = "…"
        return "/".join(inwards)

    def _outwards(self) -> Iterator[str]:
        step: StepScope | None = self
        while step is not None:
            yield step.name
            step = step.around

    def enter(self) -> None:
        """Make it the current step, and its span the current one."""
        if self.context is not None:
            self._token = otel_context.attach(self.context)

    def leave(self) -> None:
        """Make those before it current again."""
        if self._token is not None:
            try:  # noqa: SIM105 - which is slower, at each step
                otel_context._RUNTIME_CONTEXT.detach(self._token)  # noqa: SLF001
            except (ValueError, RuntimeError):
                # It is left in another context, as when the loop was closed while the step waited.
                # The public function would log that as an error.
                pass
            self._token = None

    @harmless
    def fail(
        self, error: BaseException, places: str, left: Callable[[], Mapping[str, AttributeValue]]
    ) -> None:
        """Mark the span with the kind of error.

        Its text may hold contents: it is told where the application asks for these.

        Args:
            error: What the step raised.
            places: Where inside the step it arose.
            left: Gives what is left of the request's limits, as attributes.
        """
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            self.is_cancelled = True
            self.span.set_attribute(names.CANCELLED, value=True)
            return
        self.error_type = kind = type(error).__qualname__
        if not self.is_dropped:
            path = "/".join(filter(None, (self.path, places)))[:_LONGEST]
            self.span.set_attributes({names.ERROR_TYPE: kind, names.PATH: path, **left()})
            self.span.set_status(Status(StatusCode.ERROR, kind))
            self._record_where_it_arose(error)

    def _record_where_it_arose(self, error: BaseException) -> None:
        """Put the exception on the span of the step that raised it, and on no other."""
        passed = vars(error)
        if passed.get(_COMES_TO) != self.number:
            told = _told(error)
            if self._may_tell:
                told[names.EXCEPTION_MESSAGE] = redacted(_text_of(error))[:_LONGEST]
            self.span.add_event(names.EXCEPTION, told)
        passed[_COMES_TO] = None if self.around is None else self.around.number

    @harmless
    def end(self) -> None:
        """Close the span."""
        self.context = None  # it holds this scope, and what goes in circles is collected late
        self.span.end()
        if self.run is not None:
            log_end(self, self.run)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as why:  # an exception may fail to tell its text
        return f"[no text: {type(why).__qualname__}]"


def _told(error: BaseException) -> dict[str, AttributeValue]:
    """Tell the kind of an error and the line that raised it."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    told: dict[str, AttributeValue] = {names.EXCEPTION_TYPE: module + kind.__qualname__}
    line = error.__traceback__
    while line is not None and line.tb_next is not None:
        line = line.tb_next
    if line is not None:
        frame = line.tb_frame
        where = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"
        told |= {names.CODE_FUNCTION: where, names.CODE_LINE: line.tb_lineno}
    return told


def current_step(context: Context | None = None) -> StepScope | None:
    """Give the step that is under way in a context of OpenTelemetry's, the current one if missing.

    While nobody listens there is none.
    """
    here = otel_context.get_current() if context is None else context
    step: StepScope | None = here.get(_STEP)  # type: ignore[assignment]  # nobody else has the key
    return step
