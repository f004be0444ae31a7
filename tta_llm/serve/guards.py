"""What stands before every endpoint: ids and the log, origins, keys, headers of safety."""

from __future__ import annotations

import ipaddress
import logging
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tta_llm.serve.asking import CORRELATION_ID, TENANT
from tta_llm.serve.faults import RefusedError
from tta_llm.serve.settings import ServeSettings

__all__ = ["Guards", "is_loopback"]

_access = logging.getLogger("tta_llm.serve.access")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_OPEN = ("/healthz", "/readyz", "/", "/page/")
"""Paths that ask for no key: they tell nothing of anybody's requests."""
_SAFE = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class Guards:
    """Lets a request through to the application, or says why not.

    Args:
        app: What is behind.
        settings: Who may ask.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scope[CORRELATION_ID] = _correlation_id(headers)
        sent = _Sent(scope, send)
        try:
            self._check_origin(scope, headers)
            scope[TENANT] = self._tenant(scope, headers)
            await self._app(scope, receive, sent)
        except RefusedError as error:
            fault = error.fault
            reply = JSONResponse(
                fault.body(), fault.status, {**fault.headers(), "connection": "close"}
            )
            await reply(scope, receive, sent)
        finally:
            sent.log()

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not len(self._settings.keys) and not self._settings.insecure:
            _check_here(scope, host)
        if origin is None or origin in self._settings.allow_origins:
            return
        # By the host alone: behind a proxy that speaks TLS the scheme is another.
        if origin.partition("://")[2].lower() != host.lower():
            raise RefusedError(
                403, "origin_not_allowed", "Pages of this origin may not ask this server."
            )

    def _tenant(self, scope: Scope, headers: Headers) -> str:
        keys, path = self._settings.keys, _path(scope)
        if not len(keys) or path in _OPEN or path.startswith("/page/"):
            return ""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        who = keys.who(key.strip()) if scheme.lower() == "bearer" else None
        if who is None:
            raise RefusedError(
                401, "invalid_api_key", "A key is needed, in the header authorization: Bearer KEY"
            )
        return who


class _Sent:
    """Passes an answer on with the headers that all have, and notes what becomes of it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send = scope, send
        self._begun = time.perf_counter()
        self._status, self._bytes = 0, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _SAFE.items():
                headers.setdefault(name, value)
            headers.setdefault("cache-control", "no-store")
            headers["x-request-id"] = self._scope[CORRELATION_ID]
        else:
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def log(self) -> None:
        """Tell of the request, without what anybody said or who may be found by it."""
        told = {
            "correlation_id": self._scope[CORRELATION_ID],
            "method": self._scope["method"],
            "path": _route(self._scope),
            "status": self._status,
            "tenant": self._scope.get(TENANT, ""),
            "duration_ms": round((time.perf_counter() - self._begun) * 1e3, 3),
            "bytes": self._bytes,
            "outcome": self._scope.get("tta.outcome", "answered" if self._status else "gone"),
        }
        _access.info("request", extra=told)


def _correlation_id(headers: Mapping[str, str]) -> str:
    given = headers.get("x-request-id", "")
    return given if _ID.fullmatch(given) else secrets.token_hex(16)


def _path(scope: Scope) -> str:
    """Give the path under the place where the application is mounted."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path.removeprefix(root) or "/"


def _route(scope: Scope) -> str:
    """Give the path without what it says of one request, such as a session."""
    path = _path(scope)
    for secret in ("/sessions/", "/runs/"):
        if path.startswith(secret):
            return f"{secret}{{id}}"
    return path[:100]


def _check_here(scope: Scope, host: str) -> None:
    """Refuse who is not on this machine, and pages that pretend to be by a name of their own."""
    client = scope.get("client")
    if not is_loopback(_hostname(host)) or (client and not _may_be_here(client)):
        raise RefusedError(
            403,
            "only_here",
            "This server has no keys, so it answers only on its own machine, as localhost.",
        )


def _may_be_here(client: Any) -> bool:
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:  # a Unix socket, or a test's client
        return True


def _hostname(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] or host


def is_loopback(host: str) -> bool:
    """Tell whether a name or an address means this machine alone."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
