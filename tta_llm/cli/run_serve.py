"""What `tta serve` does: it loads the workflows, listens, and tells where."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.loading import Workflow, load_workflow
from tta_llm.cli.output import print_text
from tta_llm.observability import JsonFormatter
from tta_llm.serve import KeyRing, ServeSettings, create_app, serve
from tta_llm.serve.metrics import measuring
from tta_llm.serve.running import check_host, listen

__all__ = ["ServeOptions", "run_serve"]

_KEYS = "TTA_SERVE_KEYS"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What the command line said."""

    workflows: list[str]
    host: str
    port: int
    key_file: Path | None
    insecure: bool
    allow_origins: tuple[str, ...]
    timeout: float
    max_concurrency: int
    max_body: int
    max_cost: float | None
    max_tokens: int | None
    max_calls: int | None
    grace: float
    continue_restarts: bool
    page: bool
    log_json: bool


def run_serve(options: ServeOptions) -> int:
    """Serve until it is stopped.

    Raises:
        UsageError: The options can't be carried out.
        OSError: The port is taken, or the file of keys can't be read.
    """
    try:
        settings = _settings(options)
        check_host(options.host, settings)
    except ValueError as error:
        raise UsageError(str(error)) from None
    with listen(options.host, options.port) as listening:
        asyncio.run(_serve(options, settings, listening))
    return Exit.ANSWERED


def _settings(options: ServeOptions) -> ServeSettings:
    keys = KeyRing.read(os.environ.get(_KEYS, ""))
    if options.key_file is not None:
        keys = keys.joined(KeyRing.read_file(options.key_file))
    return ServeSettings(
        keys=keys,
        insecure=options.insecure,
        allow_origins=options.allow_origins,
        timeout_seconds=options.timeout,
        max_concurrency=options.max_concurrency,
        max_body_bytes=options.max_body,
        max_cost_usd=options.max_cost,
        max_tokens=options.max_tokens,
        max_calls=options.max_calls,
        on_restart="continue" if options.continue_restarts else "error",
        page=options.page,
    )


async def _serve(options: ServeOptions, settings: ServeSettings, listening: socket.socket) -> None:
    async with AsyncExitStack() as opened:
        workflows: dict[str, Workflow] = {}
        for each in options.workflows:
            name, equals, where = each.rpartition("=")
            workflow = await opened.enter_async_context(load_workflow(where))
            name = name if equals else workflow.name
            if name in workflows:
                raise UsageError(f"two workflows are called {name!r}: write NAME=MODULE:WORKFLOW")
            workflows[name] = workflow
        app = create_app(workflows, settings)
        told = f"Serving {', '.join(workflows)} at {_address(listening)} (Ctrl-C to stop)"
        _log(as_json=options.log_json)
        with measuring():
            await serve(
                app,
                listening,
                grace_seconds=options.grace,
                on_start=lambda: print_text(told, to_stderr=True),
            )


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _log(*, as_json: bool) -> None:
    """Write what the server tells to the standard error output, one line a request."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if as_json else _Plain())
    root = logging.getLogger("tta_llm.serve")
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    uvicorns = logging.getLogger("uvicorn.error")
    uvicorns.setLevel(logging.WARNING)
    uvicorns.addHandler(handler)


class _Plain(logging.Formatter):
    """One line for people: when, what, and of a request its figures."""

    _TOLD = "method path status duration_ms tenant outcome correlation_id".split()

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        own = vars(record)
        told = (f"{name}={own[name]}" for name in self._TOLD if own.get(name) not in (None, ""))
        return " ".join((super().format(record), *told))
