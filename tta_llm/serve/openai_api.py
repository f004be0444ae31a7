"""`POST /v1/chat/completions` and `GET /v1/models`, as OpenAI has them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from tta_llm.serve.asking import checked_session, context_of
from tta_llm.serve.endpoint import Endpoint
from tta_llm.serve.exchange import Exchange
from tta_llm.serve.faults import Fault, RefusedError
from tta_llm.serve.openai_chunks import Chunks, completion
from tta_llm.serve.openai_requests import read_request
from tta_llm.serve.sse import DONE, data_frame
from tta_llm.serve.workflows import ChatStep, Served

__all__ = ["Completions", "Models"]


class Completions(Endpoint):
    """`POST /v1/chat/completions`; a session may stand in the header `x-session-id`."""

    async def answer(self, exchange: Exchange, body: dict[str, Any]) -> None:
        """Ask the workflow that the request calls its model."""
        asked = read_request(body)
        chat = self._chat(asked.model)
        session_id = checked_session(exchange.headers.get("x-session-id"))
        context = context_of(exchange, asked.model, session_id)
        if not asked.stream:
            response = await chat.execute(asked.chat, context)
            await exchange.reply(completion(asked, response, context))
            return
        chunks = Chunks(asked, context, may_restart=self.settings.on_restart == "continue")
        async with aclosing(chat.stream(asked.chat, context)) as events:
            await exchange.stream(_frames(events, chunks))

    def _chat(self, model: str) -> ChatStep:
        served = self.workflows.get(model)
        if served is None or served.chat is None:
            raise RefusedError(
                404,
                "model_not_found",
                "The model does not exist: GET /v1/models lists those that do.",
                param="model",
            )
        return served.chat

    def error_frame(self, fault: Fault) -> bytes:
        """Give the event that ends a stream which failed."""
        return data_frame(fault.body())


async def _frames(events: AsyncGenerator[Any, None], chunks: Chunks) -> AsyncGenerator[bytes, None]:
    async for event in events:
        for chunk in chunks.of(event):
            yield data_frame(chunk)
    for chunk in chunks.end():
        yield data_frame(chunk)
    yield DONE


class Models:
    """`GET /v1/models`: the workflows that one can chat with."""

    def __init__(self, workflows: Mapping[str, Served], created: int) -> None:
        self._listed = [
            {"id": name, "object": "model", "created": created, "owned_by": "tta"}
            for name, each in workflows.items()
            if each.chat is not None
        ]

    async def listed(self, request: Request) -> JSONResponse:
        """List them."""
        return JSONResponse({"object": "list", "data": self._listed})

    async def one(self, request: Request) -> JSONResponse:
        """Give the one of the name in the path."""
        for each in self._listed:
            if each["id"] == request.path_params["model"]:
                return JSONResponse(each)
        raise RefusedError(404, "model_not_found", "The model does not exist.", param="model")
