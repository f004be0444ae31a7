"""The context is the request: what every step of one run shares."""

from __future__ import annotations

import os
import threading
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from tta_llm.core._checks import positive
from tta_llm.core.budget import Budget
from tta_llm.core.clock import SYSTEM_CLOCK, Clock
from tta_llm.core.usage import UsageLedger

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["WorkflowContext", "require_context"]


# What is made at first use is made once, also when several threads come to it at the same time.
# Nothing is allocated under it: the garbage collector may then close a call, which asks for its
# ledger.
_MAKING = threading.Lock()


class WorkflowContext:
    """Who asks, how long it may take, what it may cost, and what the steps tell each other.

    Args:
        correlation_id: Follows the request across services; made up when missing.
        workflow_id: Names the workflow in spans and logs.
        data: The steps' own notes. What one step writes there, later steps and the caller see.
        timeout_seconds: The whole request has this long from now on.
        budget: The whole request may cost this much.
        parent_span: The OpenTelemetry span to nest the run under, when it is not the current one.
        clock: Tests pass a virtual one.

    Raises:
        ValueError: When `timeout_seconds` is zero, negative or not a number.

    Example:
        ```python
        from tta_llm import WorkflowContext

        context = WorkflowContext(data={"user_id": "user-789"}, timeout_seconds=30)
        assert context.metadata["user_id"] == "user-789"
        assert context.child(timeout_seconds=5).remaining_seconds() <= 5
        ```
    """

    __slots__ = (
        "_armed",
        "_correlation_id",
        "_data",
        "_deadline",
        "_origin",
        "_usage",
        "budget",
        "clock",
        "parent_span",
        "workflow_id",
    )

    def __init__(
        self,
        correlation_id: str | None = None,
        workflow_id: str | None = None,
        data: MutableMapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        budget: Budget | None = None,
        parent_span: Span | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._correlation_id = correlation_id
        self.workflow_id: str | None = workflow_id
        self._data: MutableMapping[str, Any] = {} if data is None else data
        self.clock: Clock = SYSTEM_CLOCK if clock is None else clock
        self.budget: Budget | None = budget
        self._usage: UsageLedger | None = None
        self._origin: WorkflowContext | None = None
        self.parent_span: Span | None = parent_span
        self._armed: float | None = None
        self._deadline: float | None = None
        if timeout_seconds is not None:
            self._deadline = self.clock.now() + positive(timeout_seconds, "timeout_seconds")

    @property
    def correlation_id(self) -> str:
        """Follows the request across services."""
        origin = self._origin or self
        made = origin._correlation_id
        return origin._make_correlation_id() if made is None else made

    def _make_correlation_id(self) -> str:
        made = os.urandom(16).hex()
        with _MAKING:
            if self._correlation_id is None:
                self._correlation_id = made
            return self._correlation_id

    @property
    def usage(self) -> UsageLedger:
        """What the models of the request used so far."""
        origin = self._origin or self
        made = origin._usage
        return origin._make_ledger() if made is None else made

    def _make_ledger(self) -> UsageLedger:
        made = UsageLedger()
        with _MAKING:
            if self._usage is None:
                self._usage = made
            return self._usage

    @property
    def data(self) -> MutableMapping[str, Any]:
        """The steps' own notes, shared by the whole request."""
        return self._data

    @property
    def metadata(self) -> MutableMapping[str, Any]:
        """The same mapping as `data`."""
        return self._data

    @property
    def deadline(self) -> float | None:
        """When the time is up, on `clock`; None for no limit."""
        return self._deadline

    def remaining_seconds(self) -> float | None:
        """Seconds until the deadline, 0.0 once it has passed; None for no limit."""
        return None if self._deadline is None else max(0.0, self._deadline - self.clock.now())

    def child(
        self, *, timeout_seconds: float | None = None, budget: Budget | None = None
    ) -> WorkflowContext:
        """Give a context for a part of the request: never more time or money than this one has.

        Everything else is shared, the data and the ledger included.

        Args:
            timeout_seconds: The part has this long from now on, or until this context's deadline.
            budget: The part may cost this much, and its cost counts here too.
        """
        child = self._copy()
        if timeout_seconds is not None:
            child._narrow(positive(timeout_seconds, "timeout_seconds"))
        if budget is not None:
            child.budget = budget.under(self.budget)
        return child

    def _copy(self) -> WorkflowContext:
        twin = object.__new__(type(self))
        # The id and the ledger are made at first use, for all copies in the one that came first.
        twin._origin = self._origin or self
        twin._data = self._data
        twin._armed, twin._deadline = self._armed, self._deadline
        twin.budget, twin.clock = self.budget, self.clock
        twin.parent_span, twin.workflow_id = self.parent_span, self.workflow_id
        return twin

    def _narrow(self, seconds: float) -> None:
        deadline = self.clock.now() + seconds
        if self._deadline is None or deadline < self._deadline:
            self._deadline = deadline

    def _with_clock_armed(self) -> WorkflowContext:
        """Say that somebody outside already stops the run at the deadline."""
        twin = self._copy()
        twin._armed = twin._deadline
        return twin

    def without_deadline(self) -> WorkflowContext:
        """For work that several requests wait for: each of them keeps its own clock."""
        twin = self._copy()
        twin._deadline = twin._armed = None
        return twin

    def shared(self, data: MutableMapping[str, Any]) -> WorkflowContext:
        """For work that other requests wait for, too: each keeps its own clock.

        What it uses counts here and also in a ledger of its own.

        Args:
            data: In place of this request's data, which it usually stands before.
        """
        twin = self.metered(data)
        twin._deadline = twin._armed = None
        return twin

    def metered(self, data: MutableMapping[str, Any]) -> WorkflowContext:
        """For a part of the request whose use counts here and also in a ledger of its own.

        Args:
            data: In place of this request's data, which it usually stands before.
        """
        twin = self.with_data(data)
        # One of its own: it has its own ledger, and its spans go under the current one.
        twin._origin, twin.parent_span = None, None
        twin._correlation_id, twin._usage = self.correlation_id, UsageLedger(under=self.usage)
        return twin

    def with_data(self, data: MutableMapping[str, Any]) -> WorkflowContext:
        """Give the same request with this in place of its data."""
        twin = self._copy()
        twin._data = data
        return twin

    def __repr__(self) -> str:
        parts = [f"correlation_id={self.correlation_id!r}"]
        if self.workflow_id is not None:
            parts.append(f"workflow_id={self.workflow_id!r}")
        if (remaining := self.remaining_seconds()) is not None:
            parts.append(f"{remaining:.3g} s left")
        if self.budget is not None:
            parts.append(repr(self.budget))
        return f"WorkflowContext({', '.join(parts)})"


def require_context(context: object) -> None:
    """Refuse anything but a WorkflowContext, and say what to pass."""
    if not isinstance(context, WorkflowContext):
        got = "None" if context is None else f"a {type(context).__name__}"
        raise TypeError(
            f"a workflow runs with a WorkflowContext, not {got}: "
            "pass WorkflowContext(), which carries the request's id, deadline and budget"
        )
