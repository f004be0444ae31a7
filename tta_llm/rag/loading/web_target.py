"""The parts of a page's address that a request needs, checked."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from tta_llm.errors import DocumentError

__all__ = ["PORTS", "Target", "shown", "target_of"]

PORTS = {"http": 80, "https": 443}
"""The schemes that are fetched, and the port of each."""

_PLAIN = "/%:@!$&'()*+,;=~?"


def shown(url: str) -> str:
    """Give an address for a message: without its query and user, which may be secret."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname:
            return f"{parts.scheme}://{parts.hostname}{parts.path}"
    return "the address"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes."""

    scheme: str
    host: str
    port: int
    path: str


def target_of(url: str) -> Target:
    """Take an address apart.

    Raises:
        DocumentError: It is not one that may be fetched.
    """
    if any(letter < " " or letter == "\x7f" for letter in url):
        raise DocumentError("holds a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DocumentError(f"is not a valid address ({error})") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise DocumentError("is no http or https address")
    if "@" in parts.netloc:
        raise DocumentError("holds a user name; an address must not")
    return Target(parts.scheme, _host(parts.hostname), port or PORTS[parts.scheme], _path(parts))


def _host(name: str) -> str:
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise DocumentError("has a host name that is not valid") from None


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_PLAIN)
    return f"{path}?{quote(parts.query, safe=_PLAIN)}" if parts.query else path
