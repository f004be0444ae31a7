"""Fetch one page over http or https, within limits, and from public addresses only."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from typing import NamedTuple, TypeAlias
from urllib.parse import urldefrag, urljoin

from tta_llm.errors import DocumentError
from tta_llm.rag.loading.web_address import Network, is_public
from tta_llm.rag.loading.web_target import PORTS, Target, target_of
from tta_llm.rag.loading.web_wire import Wire

__all__ = ["Fetch", "FetchLimits", "Fetched", "Resolver", "resolve_host"]

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a host and port."""

_PIECE = 65_536
_MOVED = frozenset((301, 302, 303, 307, 308))
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


class Fetch:
    """One fetch, made in a thread, which another thread may stop.

    The name of a host is looked up once for each request. All its addresses are checked, and the
    connection goes to the first of those that answers: what the name means a moment later does not
    matter.

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
        target = target_of(url)
        with closing(self._connect(target)) as wire:
            connection = http.client.HTTPConnection(target.host, target.port)
            connection.default_port = PORTS[target.scheme]
            connection.sock = Wire(wire, self.left)
            connection.request("GET", target.path, headers=_HEADERS)
            with closing(connection.getresponse()) as response:
                if response.status in _MOVED:
                    return _moved(response)
                if response.status != http.client.OK:
                    raise DocumentError(f"answers with status {response.status}")
                data = self._body(response)
        media_type, charset = _content_type(response)
        return Fetched(url, media_type, charset, data)

    def _connect(self, target: Target) -> socket.socket:
        self._socket = wire = self._reach(target)
        if target.scheme == "https":
            try:
                wire.settimeout(self.left())
                self._socket = self._tls.wrap_socket(wire, server_hostname=target.host)
            except BaseException:
                wire.close()
                raise
        return self._socket

    def _reach(self, target: Target) -> socket.socket:
        """Connect to the first address that can be reached, each with its share of the time."""
        failures: list[OSError] = []
        addresses = self._addresses(target)
        for place, address in enumerate(addresses):
            seconds = self.left() / (len(addresses) - place)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self._socket = wire = socket.socket(family, socket.SOCK_STREAM)
            try:
                wire.settimeout(seconds)
                wire.connect((address, target.port))
            except BaseException as error:
                wire.close()
                if not isinstance(error, OSError):
                    raise
                failures.append(error)
            else:
                return wire
        raise failures[-1]

    def _addresses(self, target: Target) -> Sequence[str]:
        addresses = self._resolve(target.host, target.port)
        if not addresses:
            raise DocumentError("has no address")
        for address in addresses:
            if not is_public(address, allow=self._allow):
                raise DocumentError(
                    f"leads to {address}, which is not a public address; if it is meant, "
                    "allow its network"
                )
        return addresses

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
