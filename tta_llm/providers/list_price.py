"""What a provider's own list says its models cost, from the package genai-prices, offline."""

from __future__ import annotations

import ipaddress
import logging
import time
from decimal import Decimal
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from tta_llm.providers.price import Price

__all__ = ["list_price", "why_unpriced"]

_Rates: TypeAlias = tuple[float, float, float | None, float | None, float | None]

_LOG = logging.getLogger(__name__)

# Some prices depend on the date, or on the time of day; these change on the quarter of an hour.
_SECONDS = 900

# The list doesn't know the address that Together documents today.
_OTHER_NAMES = {"api.together.ai": "api.together.xyz"}


def list_price(
    provider: str, model: str, *, base_url: str | None = None, writes: bool = True
) -> Price | None:
    """Give the price that the provider's list has for a model; None when it has none.

    The list is that of the package genai-prices (`pip install "tta-llm[prices]"`), as it was when
    that package was released: it is loaded at the first question, in about a second, and nothing is
    fetched. It has the standard service's prices: what a batch or a priority tier costs is not in
    them.

    Args:
        provider: Who answers, such as `openai`, `anthropic`, `google`, `azure`.
        model: The model, as the provider names it.
        base_url: Where it is asked, when that isn't the provider's usual address. It then decides
            who the provider is. A server of your own has no price, nor has one on Azure, where the
            name of a deployment doesn't tell its model.
        writes: Whether the model writes tokens; an embedder doesn't.

    Example:
        ```python
        from tta_llm.providers import list_price

        assert list_price("openai", "my-own", base_url="http://127.0.0.1:8080/v1") is None
        ```
    """
    if base_url is not None and _has_no_list(urlsplit(base_url).hostname or ""):
        return None
    return _listed(provider, model, base_url, writes, int(time.time() // _SECONDS))


def why_unpriced(provider: str, model: str) -> str:
    """Say why a model has no price, and what to do."""
    if find_spec("genai_prices") is None:
        return (
            f"no price is known for {provider}:{model}: give it price=, or install the list of "
            'prices with pip install "tta-llm[prices]"'
        )
    return f"no price is known for {provider}:{model}: give it price="


@lru_cache(maxsize=512)
def _listed(
    provider: str,
    model: str,
    base_url: str | None,
    writes: bool,  # noqa: FBT001  # a cache's key has no names
    period: int,  # noqa: ARG001  # the same question has another answer later
) -> Price | None:
    found = _look_up(provider, model.removeprefix("models/"), base_url)
    price = None if found is None else _price(found, writes=writes)
    if price is None:
        _LOG.info("%s; until then its cost is None", why_unpriced(provider, model))
    return price


def _look_up(provider: str, model: str, base_url: str | None) -> Any:
    try:
        from genai_prices import Usage, calc_price  # noqa: PLC0415  # an optional package
    except ImportError:
        return None
    try:
        if base_url is None:
            return calc_price(Usage(), model, provider_id=provider).model_price
        return calc_price(Usage(), model, provider_api_url=_known(base_url)).model_price
    except LookupError:
        return None


def _known(base_url: str) -> str:
    for ours, listed in _OTHER_NAMES.items():
        base_url = base_url.replace(ours, listed)
    return base_url


def _price(listed: Any, *, writes: bool) -> Price | None:
    """Turn an entry of the list into a price; an entry without a price for a direction is none."""
    if listed.input_mtok is None or (writes and listed.output_mtok is None):
        return None
    parts = (
        listed.input_mtok,
        listed.output_mtok,
        listed.cache_read_mtok,
        listed.cache_write_mtok,
        listed.cache_write_1h_mtok,
    )
    starts = sorted({tier.start for part in parts for tier in getattr(part, "tiers", ())})
    above = tuple((start, Price(*_for(parts, start + 1))) for start in starts)
    return Price(*_for(parts, 0), above)


def _for(parts: tuple[Any, ...], tokens: int) -> _Rates:
    """Give input, output, cached input and cache writes as a request of this size pays them."""
    read, written, cached, cache_write, for_an_hour = (_at(part, tokens) for part in parts)
    return read or 0.0, written or 0.0, cached, cache_write, for_an_hour


def _at(part: Any, tokens: int) -> float | None:
    if part is None or isinstance(part, Decimal):
        return None if part is None else float(part)
    reached = [tier.price for tier in part.tiers if tokens > tier.start]
    return float(reached[-1] if reached else part.base)


def _has_no_list(host: str) -> bool:
    if host.endswith((".azure.com", ".azure-api.net")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host
