"""The ASGI application."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tta_llm.core import WorkflowPrimitive
from tta_llm.serve.closing import close_steps
from tta_llm.serve.faults import Fault, fault_of
from tta_llm.serve.gate import Gate
from tta_llm.serve.guards import Guards
from tta_llm.serve.health import Health
from tta_llm.serve.openai_api import Completions, Models
from tta_llm.serve.page_files import page, page_file
from tta_llm.serve.resuming import Resume
from tta_llm.serve.run import Run
from tta_llm.serve.sessions import Sessions
from tta_llm.serve.settings import ServeSettings
from tta_llm.serve.workflows import Served, named

__all__ = ["create_app"]


def create_app(
    workflow: WorkflowPrimitive[Any, Any] | Mapping[str, WorkflowPrimitive[Any, Any]],
    settings: ServeSettings | None = None,
) -> Starlette:
    """Make an ASGI application that serves a workflow, or several by name.

    When it is stopped by its own server it closes the models of its workflows; mounted in another
    application, it leaves that to whoever made them. `app.state.gate` tells what is under way.

    Args:
        workflow: What to serve. A step that one can chat with is also a model for OpenAI's clients,
            under its name.
        settings: Who may ask, and how much.

    Raises:
        ValueError: When a name won't do.
        TypeError: When something is no workflow.

    Example:
        ```python
        from starlette.testclient import TestClient

        from tta_llm.serve import create_app
        from tta_llm.testing import FakeChatModel

        app = create_app({"support": FakeChatModel("Nine hours.")})
        with TestClient(app, base_url="http://localhost") as client:
            answer = client.post("/run", json={"input": "How long is it open?"})
        assert answer.json()["output"] == "Nine hours."
        ```
    """
    settings = ServeSettings() if settings is None else settings
    workflows = named(workflow)
    gate = Gate(settings.max_concurrency)

    @asynccontextmanager
    async def closing(_: Starlette) -> AsyncIterator[None]:
        yield
        await close_steps(*(each.workflow for each in workflows.values()))

    app = Starlette(
        routes=_routes(workflows, settings, gate),
        middleware=_middleware(settings),
        exception_handlers={HTTPException: _refused, Exception: _failed},
        lifespan=closing,
    )
    app.state.gate = gate
    return app


def _routes(workflows: Mapping[str, Served], settings: ServeSettings, gate: Gate) -> list[Route]:
    health, sessions = Health(gate), Sessions(workflows)
    models = Models(workflows, int(time.time()))
    has_page = settings.page and any(each.chat for each in workflows.values())
    asked = workflows, settings, gate
    return [
        Route("/run", Run(*asked), methods=["POST"]),
        Route("/runs/{run_id}", Resume(*asked), methods=["POST"]),
        Route("/v1/chat/completions", Completions(*asked), methods=["POST"]),
        Route("/v1/models", models.listed),
        Route("/v1/models/{model:path}", models.one),
        Route("/sessions/{session_id}", sessions.read),
        Route("/sessions/{session_id}", sessions.delete, methods=["DELETE"]),
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
        *([Route("/", page), Route("/page/{name}", page_file)] if has_page else []),
    ]


def _middleware(settings: ServeSettings) -> list[Middleware]:
    guards = Middleware(Guards, settings=settings)
    if not settings.allow_origins:
        return [guards]
    # Before the guards: a browser asks without a key whether it may ask.
    cors = Middleware(
        CORSMiddleware,
        allow_origins=settings.allow_origins,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["authorization", "content-type", "x-request-id", "x-session-id"],
        expose_headers=["x-request-id", "retry-after"],
    )
    return [cors, guards]


async def _refused(_: Request, error: Exception) -> JSONResponse:
    """Say in OpenAI's form what the router refuses."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    fault = Fault(error.status_code, code, f"{error.detail}.")
    return JSONResponse(fault.body(), error.status_code, {**(error.headers or {})})


async def _failed(_: Request, error: Exception) -> JSONResponse:
    fault = fault_of(error)
    return JSONResponse(fault.body(), fault.status, fault.headers())
