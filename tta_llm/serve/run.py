"""`POST /run`: any workflow, its answer whole or as events."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from tta_llm.core import WorkflowContext
from tta_llm.messages import ChatInput
from tta_llm.serve.asking import CORRELATION_ID, checked_session, context_of
from tta_llm.serve.endpoint import Endpoint
from tta_llm.serve.exchange import Exchange
from tta_llm.serve.faults import Fault, RefusedError
from tta_llm.serve.figures import cost
from tta_llm.serve.openai_messages import messages_of
from tta_llm.serve.run_events import Telling, told
from tta_llm.serve.sse import frame
from tta_llm.serve.workflows import ChatStep, Served

__all__ = ["Run"]


class Run(Endpoint):
    """`POST /run` with `{"input": …, "session_id": …, "workflow": …}`; the last two may be missing.

    A step that one can chat with takes a text, or `{"messages": […]}` as in OpenAI's API; any other
    workflow takes what its input's type is in JSON.
    """

    async def answer(self, exchange: Exchange, body: dict[str, Any]) -> None:
        """Run the workflow that is asked for."""
        served = self._asked(body)
        if "input" not in body:
            raise RefusedError(422, "missing_input", "The body has no input.", param="input")
        if served.chat is not None:
            await self._chat(exchange, body, served, body["input"])
            return
        context, start = _begun(exchange, body, served)
        data = _data(served, body["input"])
        if exchange.wants_events:
            await exchange.stream(_frames(served, data, context, start))
        else:
            await exchange.reply(await _answer(served, data, context, start))

    async def _chat(
        self, exchange: Exchange, body: dict[str, Any], served: Served, said: Any
    ) -> None:
        assert served.chat is not None
        (context, start), value = _begun(exchange, body, served), _chat_input(said)
        if exchange.wants_events:
            await exchange.stream(_chat_frames(served.chat, value, context, start))
        else:
            await exchange.reply(await _chat_answer(served.chat, value, context, start))

    def _asked(self, body: dict[str, Any]) -> Served:
        name = body.get("workflow")
        if name is None:
            return next(iter(self.workflows.values()))
        if isinstance(name, str) and name in self.workflows:
            return self.workflows[name]
        known = ", ".join(self.workflows)
        raise RefusedError(
            404,
            "unknown_workflow",
            f"There is no such workflow: there is {known}.",
            param="workflow",
        )

    def error_frame(self, fault: Fault) -> bytes:
        """Give the event that ends a stream which failed."""
        told = {"type": fault.code, "message": fault.message, "status": fault.status}
        return frame("error", {**told, "retryable": fault.retryable})


def _begun(
    exchange: Exchange, body: dict[str, Any], served: Served
) -> tuple[WorkflowContext, dict[str, Any]]:
    """Give the request's context, and what the client is told at once."""
    session_id = checked_session(body.get("session_id"))
    start = {"session_id": session_id, "correlation_id": exchange.scope.get(CORRELATION_ID)}
    return context_of(exchange, served.name, session_id), start


def _chat_input(value: Any) -> ChatInput:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, dict) and value.keys() == {"messages"}:
        return messages_of(value["messages"])
    raise RefusedError(
        422, "invalid_input", 'The input is a text, or {"messages": […]}.', param="input"
    )


async def _chat_answer(
    chat: ChatStep, value: ChatInput, context: WorkflowContext, start: dict[str, Any]
) -> dict[str, Any]:
    begun = time.perf_counter()
    response = await chat.execute(value, context)
    return {"output": response.text, **start, **told(response, context, _since(begun))}


async def _chat_frames(
    chat: ChatStep, value: ChatInput, context: WorkflowContext, start: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    begun, telling = time.perf_counter(), Telling(context)
    yield frame("start", start)
    async with aclosing(chat.stream(value, context)) as events:
        async for event in events:
            if (piece := telling.frame(event)) is not None:
                yield piece
    yield telling.done(_since(begun))


# ----------------------------------------------------------------------- any other workflow


def _data(served: Served, value: Any) -> Any:
    """Read the input as the type that the workflow takes."""
    try:
        adapter = TypeAdapter(served.workflow.input_type)
    except PydanticUserError:  # of a type that no JSON can be read as
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_context=False, include_url=False)
        places = {".".join(map(str, each["loc"])) or "the whole": each["msg"] for each in problems}
        said = "; ".join(f"{place}: {problem}" for place, problem in list(places.items())[:5])
    raise RefusedError(422, "invalid_input", f"The input does not fit: {said}", param="input")


async def _answer(
    served: Served, data: Any, context: WorkflowContext, start: dict[str, Any]
) -> dict[str, Any]:
    begun = time.perf_counter()
    output = await served.workflow.execute(data, context)
    return {"output": _as_json(output), **start, **_figures(context, begun)}


async def _frames(
    served: Served, data: Any, context: WorkflowContext, start: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    begun = time.perf_counter()
    yield frame("start", start)
    async with aclosing(served.workflow.stream(data, context)) as pieces:
        async for piece in pieces:
            if isinstance(piece, str):
                yield frame("text", {"text": piece})
            else:
                yield frame("piece", {"value": _as_json(piece)})
    yield frame("done", _figures(context, begun))


def _figures(context: WorkflowContext, begun: float) -> dict[str, Any]:
    ledger = context.usage
    tokens = {"input_tokens": ledger.input_tokens, "output_tokens": ledger.output_tokens}
    return {"cost_usd": cost(context), "usage": tokens, "seconds": _since(begun)}


def _as_json(value: Any) -> Any:
    # What has no form in JSON is told by its kind: its repr might show contents.
    return to_jsonable_python(
        value, bytes_mode="base64", inf_nan_mode="null", fallback=lambda each: type(each).__name__
    )


def _since(begun: float) -> float:
    return round(time.perf_counter() - begun, 3)
