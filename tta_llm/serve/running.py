"""Running the application on a socket, and stopping it without losing an answer."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from tta_llm.serve.gate import Gate
from tta_llm.serve.guards import is_loopback
from tta_llm.serve.settings import ServeSettings

__all__ = ["check_host", "listen", "serve"]

_BACKLOG = 2048
_LAST_SECONDS = 5
"""After the grace: so long may what was ended take to say so."""
_AT_ONCE_SECONDS = 1


async def serve(
    app: Starlette,
    listening: socket.socket,
    *,
    grace_seconds: float = 30.0,
    on_start: Callable[[], None] = lambda: None,
) -> None:
    """Serve an application of `create_app` until SIGTERM or Ctrl-C, then let answers finish.

    From the first signal on new requests are refused; what was begun has the time of grace, and is
    then ended with an error. A second signal ends everything at once.

    Args:
        app: What `create_app` gave.
        listening: A socket that listens; see `listen`.
        grace_seconds: How long begun answers may take to finish.
        on_start: Called when requests are taken.
    """
    config = uvicorn.Config(
        app,
        # Its parser bounds headers and addresses, at 64 KiB; the faster one has no such limit.
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        lifespan="on",
        timeout_graceful_shutdown=_LAST_SECONDS,
    )
    gate: Gate = app.state.gate
    server = _Server(config, gate, grace_seconds, on_start)
    await server.serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Goes on listening while answers finish, so that who comes meanwhile is told to go away."""

    def __init__(
        self, config: uvicorn.Config, gate: Gate, grace_seconds: float, on_start: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._gate, self._grace, self._on_start = gate, grace_seconds, on_start
        self._draining: asyncio.Task[None] | None = None
        self._asked_to_stop, self._loop = asyncio.Event(), asyncio.get_running_loop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._draining = asyncio.create_task(self._drain())
        self._on_start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at the second signal, stop."""
        if self._gate.draining or self._asked_to_stop.is_set():
            self.should_exit, self.config.timeout_graceful_shutdown = True, _AT_ONCE_SECONDS
            # A third one finds the system's own handler, should something not listen.
            signal.signal(sig, signal.SIG_DFL)
        self._loop.call_soon_threadsafe(self._asked_to_stop.set)

    async def _drain(self) -> None:
        await self._asked_to_stop.wait()
        await self._gate.drain(self._grace)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gate.stop()
        if self._draining is not None:
            self._draining.cancel()
            with suppress(asyncio.CancelledError):
                await self._draining
        await super().shutdown(sockets=sockets)


def listen(host: str, port: int) -> socket.socket:
    """Open the socket; port 0 takes any that is free.

    Raises:
        OSError: When the address is taken, or not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; give another --port"
        ) from error
    _give_up_on_silent_clients(listening)
    return listening


def _give_up_on_silent_clients(listening: socket.socket, seconds: float = 60.0) -> None:
    """Have the system drop who takes nothing for so long; connections inherit it from here."""
    option: Any = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listening.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))


def check_host(host: str, settings: ServeSettings) -> None:
    """Refuse an address that others reach, unless they need a key.

    Raises:
        ValueError: When there are no keys, and it was not asked for.
    """
    if not (is_loopback(host) or len(settings.keys) or settings.insecure):
        raise ValueError(
            f"{host} can be reached from other machines, and there are no keys: set "
            "TTA_SERVE_KEYS=name:key, give --key-file, or say --insecure"
        )
