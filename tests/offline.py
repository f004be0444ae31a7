"""Forbid this process every connection that leaves the machine.

As a script it runs another one that way: `python -m tests.offline examples/first.py`. An
audit hook sees each socket that Python opens, whichever library opens it, and nothing is patched.
"""

from __future__ import annotations

import ipaddress
import runpy
import sys

GUARDED = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo"}


class NetworkForbiddenError(AssertionError):
    """A test tried to leave the machine."""


def is_local(host: object) -> bool:
    """Tell whether a host is this machine; no host at all means it too."""
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(event: str, args: tuple[object, ...]) -> object:
    """Find the host among an audit event's arguments; a Unix socket has none."""
    if event == "socket.getaddrinfo":
        return args[0]
    address = args[1]
    return address[0] if isinstance(address, tuple) else None


def refuse_the_network(event: str, args: tuple[object, ...]) -> None:
    """Raise where an audit event is a connection to another machine."""
    if event in GUARDED and not is_local(host := host_of(event, args)):
        raise NetworkForbiddenError(
            f"This test opened a connection to {host!r}. Tests run offline: pass in a fake."
        )


def forbid_network() -> None:
    """Refuse the network from now on; there is no way back in this process."""
    sys.addaudithook(refuse_the_network)


if __name__ == "__main__":
    forbid_network()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
