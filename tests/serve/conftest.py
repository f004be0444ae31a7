from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from tests.serve.live import Live, live
from tta_llm.serve import ServeSettings, create_app


@pytest.fixture
async def served() -> AsyncIterator[Callable[..., Any]]:
    """Serve workflows on a socket of this process, and stop when the test ends."""
    async with AsyncExitStack() as running:

        async def start(workflow: Any, grace_seconds: float = 5.0, **settings: Any) -> Live:
            app = create_app(workflow, ServeSettings(**settings))
            return await running.enter_async_context(live(app, grace_seconds))

        yield start


@pytest.fixture
async def client() -> AsyncIterator[Callable[..., Any]]:
    """Ask an application without a socket."""
    async with AsyncExitStack() as opened:

        async def make(workflow: Any, **settings: Any) -> httpx.AsyncClient:
            app = create_app(workflow, ServeSettings(**settings))
            transport = httpx.ASGITransport(app)
            made = httpx.AsyncClient(transport=transport, base_url="http://localhost")
            return await opened.enter_async_context(made)

        yield make
