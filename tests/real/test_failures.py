from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import aclosing

import pytest

from tests.real.conftest import chat_model
from tests.real.llama_server import Llama
from tta_llm.core import WorkflowContext
from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    ContextLengthError,
    DeadlineExceededError,
    InvalidResponseError,
)
from tta_llm.messages import ChatRequest
from tta_llm.providers import ChatModel

pytestmark = pytest.mark.real

# The server goes on when the model would stop.
LONG = ChatRequest("Tell a story.", max_tokens=3_000, extra={"ignore_eos": True})


async def until_busy(llama: Llama) -> None:
    """Wait until the server works on something."""
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(llama.busy):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_idle(llama: Llama) -> None:
    """Wait until the server works on nothing any more.

    It looks after its clients once in a second without any other request, so it is asked seldom.
    """
    async with asyncio.timeout(10):
        await asyncio.sleep(0.2)
        while await asyncio.to_thread(llama.busy):  # noqa: ASYNC110
            await asyncio.sleep(1.3)


async def test_a_wrong_key_is_an_authentication_error(
    vendor: str, own_llama: Llama, context: WorkflowContext
) -> None:
    async with chat_model(vendor, own_llama, api_key="the-wrong-key") as model:
        with pytest.raises(AuthenticationError) as caught:
            await model.execute("Hello", context)
    assert caught.value.status == 401
    assert "the-wrong-key" not in str(caught.value)
    async with chat_model(vendor, own_llama, api_key="the-right-key") as model:
        assert (await model.execute("Hello", context)).text


async def test_too_long_an_input_is_a_context_length_error(
    vendor: str, own_llama: Llama, context: WorkflowContext
) -> None:
    async with chat_model(vendor, own_llama, api_key="the-right-key") as model:
        with pytest.raises(ContextLengthError) as caught:
            await model.execute("word " * 3_000, context)
        with pytest.raises(ContextLengthError):
            await anext(model.stream("word " * 3_000, context))
    assert caught.value.status == 400


@pytest.mark.parametrize("pieces", [0, 3])
async def test_a_cancelled_call_frees_its_slot(
    pieces: int, model: ChatModel, llama: Llama, context: WorkflowContext
) -> None:
    heard = asyncio.Event()

    async def call() -> None:
        if not pieces:
            heard.set()
            await model.execute(LONG, context)
        async with aclosing(model.stream(LONG, context)) as events:
            for _ in range(pieces):
                await anext(events)
            heard.set()
            async for _ in events:
                pass

    task = asyncio.create_task(call())
    await heard.wait()
    await until_busy(llama)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_idle(llama)


async def test_a_stream_that_is_closed_early_frees_its_slot(
    model: ChatModel, llama: Llama, context: WorkflowContext
) -> None:
    async with aclosing(model.stream(LONG, context)) as events:
        await anext(events)
        await until_busy(llama)
    await until_idle(llama)


async def test_a_deadline_ends_the_call_and_frees_its_slot(model: ChatModel, llama: Llama) -> None:
    with pytest.raises(DeadlineExceededError):
        await model.execute(LONG, WorkflowContext(timeout_seconds=0.7))
    await until_idle(llama)


@pytest.mark.parametrize("plain", [True, False])
async def test_a_killed_server_is_an_error_and_never_a_short_answer(
    plain: bool, vendor: str, own_llama: Llama, context: WorkflowContext
) -> None:
    async def call(model: ChatModel) -> None:
        if plain:
            await model.execute(LONG, context)
        async with aclosing(model.stream(LONG, context)) as events:
            async for _ in events:
                pass

    async with chat_model(vendor, own_llama, api_key="the-right-key") as model:
        task = asyncio.create_task(call(model))
        await asyncio.sleep(0.7)
        assert not task.done()
        os.kill(own_llama.process.pid, signal.SIGKILL)
        killed = time.monotonic()
        with pytest.raises((ConnectionFailedError, InvalidResponseError)):
            await task
        assert time.monotonic() - killed < 1
        with pytest.raises(ConnectionFailedError):
            await model.execute("Hello", context)
