"""Tell addresses that anyone may ask for from those of this machine's own network."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

__all__ = ["Network", "is_public", "networks"]

Network: TypeAlias = IPv4Network | IPv6Network

# IANA's registries of special addresses; the last is where Azure tells a machine its secrets.
_SPECIAL_V4 = """
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24
192.0.2.0/24
192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15
198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 168.63.129.16/32
"""
# Only 2000::/3 is given out, so that mapped, translated and local addresses lie outside of it.
_GIVEN_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = "2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20"


def networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Read networks such as `10.0.0.0/8`; a single address is one too.

    Raises:
        ValueError: A name is not a network.
    """
    return tuple(map(ip_network, names))


_SPECIAL = networks((*_SPECIAL_V4.split(), *_SPECIAL_V6.split()))


def is_public(address: str, *, allow: Iterable[Network] = ()) -> bool:
    """Tell whether an address leads to the open Internet, or into a network that is allowed.

    It does not where it is loopback, private, link-local, shared, multicast or reserved, and
    neither where it carries another address inside, as 6to4, Teredo and NAT64 do.

    Args:
        address: An address, not a name.
        allow: Networks that count as public.

    Example:
        ```python
        from tta_llm.rag.loading.web_address import is_public, networks

        assert is_public("8.8.8.8")
        assert not is_public("::ffff:127.0.0.1")
        assert is_public("10.0.0.7", allow=networks(["10.0.0.0/24"]))
        ```
    """
    try:
        place: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return False
    if any(place in network for network in allow):
        return True
    if isinstance(place, IPv6Address) and (place not in _GIVEN_V6 or place.scope_id):
        return False
    return not any(place in network for network in _SPECIAL)
