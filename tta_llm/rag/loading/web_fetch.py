"""Fetch one page over http or https, within limits, and from public addresses only."""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import SplitResult, quote, urldefrag, urljoin, urlsplit

from tta_llm.errors import DocumentError
from tta_llm.rag.loading.web_address import Network, is_public

__all__ = ["Fetch", "FetchLimits", "Fetched", "Resolver", "resolve_host", "shown"]

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a host and port."""

_PIECE = 65_536
_PLAIN = "/%:@!$&'()*+,;=~?"
_MOVED = frozenset((301, 302, 303, 307, 308))
_PORTS = {"http": 80, "https": 443}
_HEADERS = {
    "Accept": "text/html, text/markdown, text/plain;q=0.9, application/pdf;q=0.9, */*;q=0.5",
    "Accept-Encoding": "gzip",
    "Connection": "close",
    "User-Agent": "tta-llm",
}


class FetchLimits(NamedTuple):
    """What a fetch may take at most, all its redirects together."""

    max_bytes: int
    timeout_seconds: float
    max_redirects: int


class Fetched(NamedTuple):
    """What came back, unpacked, and from where."""

    url: str
    media_type: str
    charset: str | None
    data: bytes


def resolve_host(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def shown(url: str) -> str:
    """Give an address for a message: without its query and user, which may be secret."""
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.hostname:
            return f"{parts.scheme}://{parts.hostname}{parts.path}"
    return "the address"


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str


class Fetch:
    """One fetch, made in a thread, which another thread may stop.

    The name of a host is looked up once for each request. All its addresses are checked, and the
    connection goes to one of those: what the name means a moment later does not matter.

    Args:
        url: The page.
        limits: What it may take.
        allow: Networks that count as public.
        resolve: How a host's addresses are found.
        tls: How certificates are verified.
    """

    def __init__(
        self,
        url: str,
        limits: FetchLimits,
        *,
        allow: Sequence[Network],
        resolve: Resolver,
        tls: ssl.SSLContext,
    ) -> None:
        self._url, self._limits = url, limits
        self._allow, self._resolve, self._tls = allow, resolve, tls
        self._deadline = time.monotonic() + limits.timeout_seconds
        self._socket: socket.socket | None = None

    def run(self) -> Fetched:
        """Fetch the page, through its redirects.

        Raises:
            DocumentError: It can't be had; the message is a reason to be put behind the address.
        """
        try:
            return self._follow()
        except TimeoutError:
            seconds = self._limits.timeout_seconds
            raise DocumentError(f"takes more than {seconds:g} s to be read") from None
        except http.client.HTTPException as error:
            raise DocumentError(f"gives no valid answer ({type(error).__name__})") from error
        except OSError as error:
            raise DocumentError(f"can't be reached ({error.strerror or error})") from error

    def stop(self) -> None:
        """Make `run` fail at once."""
        self._deadline = 0.0
        if self._socket is not None:
            # Not a TLS socket's own method, which is not made for two threads.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def left(self) -> float:
        """The seconds that are left.

        Raises:
            TimeoutError: None are.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _follow(self) -> Fetched:
        url = urldefrag(self._url).url
        for _ in range(self._limits.max_redirects + 1):
            answer = self._get(url)
            if isinstance(answer, Fetched):
                return answer
            url = urldefrag(urljoin(url, answer)).url
        raise DocumentError(f"redirects more than {self._limits.max_redirects} times")

    def _get(self, url: str) -> Fetched | str:
        """Make one request; give what came, or where it is instead."""
        target = _target(url)
        with closing(self._connect(target)) as wire:
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.default_port = _PORTS[target.scheme]
            connection.sock = _Wire(wire, self)
            connection.request("GET", target.path, headers=_HEADERS)
            with closing(connection.getresponse()) as response:
                if response.status in _MOVED:
                    return _moved(response)
                if response.status != http.client.OK:
                    raise DocumentError(f"answers with status {response.status}")
                data = self._body(response)
        media_type, charset = _content_type(response)
        return Fetched(url, media_type, charset, data)

    def _connect(self, target: _Target) -> socket.socket:
        address = self._address(target)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(self.left())
            self._socket.connect((address, target.port))
            if target.scheme == "https":
                self._socket.settimeout(self.left())
                self._socket = self._tls.wrap_socket(self._socket, server_hostname=target.host)
        except BaseException:
            self._socket.close()
            raise
        return self._socket

    def _address(self, target: _Target) -> str:
        addresses = self._resolve(target.host, target.port)
        if not addresses:
            raise DocumentError("has no address")
        for address in addresses:
            if not is_public(address, allow=self._allow):
                raise DocumentError(
                    f"leads to {address}, which is not a public address; if it is meant, "
                    "allow its network"
                )
        return addresses[0]

    def _body(self, response: http.client.HTTPResponse) -> bytes:
        limit = self._limits.max_bytes
        data = bytearray()
        for piece in _unpacked(response, limit):
            data += piece
            if len(data) > limit:
                raise DocumentError(f"is larger than {limit / 1e6:g} MB")
        if response.length:
            raise DocumentError("breaks off before its end")
        if not data:
            raise DocumentError("is empty")
        return bytes(data)


class _Wire:
    """What http.client needs of a socket, each step of it within the time that is left."""

    def __init__(self, wire: socket.socket, fetch: Fetch) -> None:
        self._wire, self._fetch = wire, fetch

    def sendall(self, data: bytes) -> None:
        self._wire.settimeout(self._fetch.left())
        self._wire.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._wire, self._fetch))

    def close(self) -> None:
        self._wire.close()


class _Incoming(io.RawIOBase):
    """The bytes that come in; a server that trickles does not get more time by each."""

    def __init__(self, wire: socket.socket, fetch: Fetch) -> None:
        self._wire, self._fetch = wire, fetch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._wire.settimeout(self._fetch.left())
        return self._wire.recv_into(buffer)


def _target(url: str) -> _Target:
    if any(letter < " " or letter == "\x7f" for letter in url):
        raise DocumentError("holds a control character")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DocumentError(f"is not a valid address ({error})") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise DocumentError("is no http or https address")
    if "@" in parts.netloc:
        raise DocumentError("holds a user name; an address must not")
    return _Target(parts.scheme, _host(parts.hostname), port or _PORTS[parts.scheme], _path(parts))


def _host(name: str) -> str:
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise DocumentError("has a host name that is not valid") from None


def _path(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_PLAIN)
    return f"{path}?{quote(parts.query, safe=_PLAIN)}" if parts.query else path


def _moved(response: http.client.HTTPResponse) -> str:
    place = response.getheader("Location")
    if not place:
        raise DocumentError("redirects to nowhere")
    return place


def _content_type(response: http.client.HTTPResponse) -> tuple[str, str | None]:
    if response.getheader("Content-Type") is None:
        return "", None
    return response.headers.get_content_type(), response.headers.get_content_charset()


def _unpacked(response: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
    """Yield the body in pieces, each no longer than the limit, though it may unpack to more."""
    pieces = iter(lambda: response.read(_PIECE), b"")
    packing = response.getheader("Content-Encoding", "identity").strip().lower()
    if packing == "identity":
        yield from pieces
    elif packing in ("gzip", "x-gzip", "deflate"):
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        try:
            for piece in pieces:
                yield unpacker.decompress(piece, limit + 1)
            if not unpacker.eof:
                raise DocumentError("is packed wrongly (it breaks off)")
        except zlib.error as error:
            raise DocumentError(f"is packed wrongly ({error})") from None
    else:
        raise DocumentError(f"is packed in a way that is not read ({packing[:40]})")
