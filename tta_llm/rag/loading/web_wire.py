"""A socket for http.client that keeps to a time limit over all that it does."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from typing import Any

__all__ = ["Wire"]


class Wire:
    """What http.client needs of a socket, each step of it within the time that is left."""

    def __init__(self, wire: socket.socket, left: Callable[[], float]) -> None:
        self._wire, self._left = wire, left

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._wire.settimeout(self._left())
        self._wire.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        """Give what comes in as a file."""
        return io.BufferedReader(_Incoming(self._wire, self._left))

    def close(self) -> None:
        """Close the socket."""
        self._wire.close()


class _Incoming(io.RawIOBase):
    """The bytes that come in; a server that trickles does not get more time by each."""

    def __init__(self, wire: socket.socket, left: Callable[[], float]) -> None:
        self._wire, self._left = wire, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._wire.settimeout(self._left())
        return self._wire.recv_into(buffer)
