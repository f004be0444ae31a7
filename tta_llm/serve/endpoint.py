"""What every endpoint that asks a workflow does around it."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.types import Receive, Scope, Send

from tta_llm.serve.exchange import ClientGoneError, Exchange
from tta_llm.serve.faults import Fault, RefusedError, fault_of
from tta_llm.serve.gate import Gate
from tta_llm.serve.settings import ServeSettings
from tta_llm.serve.workflows import Served

__all__ = ["Endpoint"]

_log = logging.getLogger("tta_llm.serve")


class Endpoint(ABC):
    """An ASGI application for one path: it reads a JSON object, and asks a workflow.

    Args:
        workflows: By name.
        settings: The server's limits.
        gate: Lets requests in.
    """

    def __init__(
        self, workflows: Mapping[str, Served], settings: ServeSettings, gate: Gate
    ) -> None:
        self.workflows: Mapping[str, Served] = workflows
        self.settings: ServeSettings = settings
        self.gate: Gate = gate

    @abstractmethod
    async def answer(self, exchange: Exchange, body: dict[str, Any]) -> None:
        """Answer a request."""

    @abstractmethod
    def error_frame(self, fault: Fault) -> bytes:
        """Tell of a failure in a stream that has begun."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say why not."""
        exchange = Exchange(scope, receive, send, self.settings)
        try:
            await self._answer(exchange)
        except ClientGoneError:
            scope["tta.outcome"] = "client gone"
        except Exception as error:  # the client is told of every failure, and the log says more
            with suppress(ClientGoneError):
                await self._tell(exchange, error)

    async def _answer(self, exchange: Exchange) -> None:
        with self.gate.passage() as stopped:
            body = await exchange.json()
            if not isinstance(body, dict):
                raise RefusedError(400, "invalid_request", "The body is no JSON object.")
            await exchange.unless_gone(self.answer(exchange, body), stopped)

    async def _tell(self, exchange: Exchange, error: Exception) -> None:
        fault = fault_of(error)
        exchange.scope["tta.outcome"] = fault.code
        if not isinstance(error, RefusedError):
            # What a step raised may quote what was asked, so that only its kind is told aloud.
            _log.log(
                logging.ERROR if fault.status == 500 else logging.WARNING,
                "the workflow failed: %s",
                type(error).__qualname__,
                exc_info=error if fault.status == 500 else None,
            )
        if not exchange.started:
            closing = {"connection": "close"} if fault.status in _BODY_UNREAD else {}
            await exchange.reply(fault.body(), fault.status, {**fault.headers(), **closing})
        elif exchange.streams:
            await exchange.end_stream(self.error_frame(fault))


# After these the rest of a body may still come, which would be taken for the next request.
_BODY_UNREAD = {408, 413, 415, 503}
