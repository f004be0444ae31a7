"""Rerank models of Cohere, and of every server that speaks its protocol."""

from __future__ import annotations

from typing import Any, Unpack

from tta_llm.messages import Usage
from tta_llm.providers._answers import count_of
from tta_llm.providers.price import Price
from tta_llm.providers.reranking import (
    RemoteRerankModel,
    RerankRequest,
    RerankServer,
    estimated_input,
)

__all__ = ["CohereRerankModel"]

# A search unit is a question with up to 100 texts of up to 500 tokens each, the question's own
# included; a longer one counts as several. https://cohere.com/pricing
_TEXTS_A_UNIT = 100
_TOKENS_A_TEXT = 500


class CohereRerankModel(RemoteRerankModel):
    """Scores texts by a rerank model of Cohere, from 0 to 1.

    A text is read up to 4,096 tokens, unless you give another limit.

    Args:
        model: The model, such as `rerank-v5.0-pro`.
        price_per_search: Dollars for a search unit; without it the cost is unknown.
        max_tokens_per_text: Where longer texts are cut.
        server: Where it is, and how it is called: `api_key=`, without which `CO_API_KEY` or
            `COHERE_API_KEY` is read, `base_url=`, `client=`, `timeouts=` and `name=`, as
            `RemoteRerankModel` has them.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When httpx2 isn't installed.

    Example:
        ```python
        from tta_llm.providers.cohere import CohereRerankModel

        model = CohereRerankModel("rerank-v5.0-pro", api_key="...", price_per_search=0.002)
        assert model.name == "cohere:rerank-v5.0-pro"
        ```
    """

    provider = "cohere"
    _home = "https://api.cohere.com"
    _path = "/v2/rerank"
    _key_variables = ("CO_API_KEY", "COHERE_API_KEY")
    _results_field = "results"

    def __init__(
        self,
        model: str,
        *,
        price_per_search: float | None = None,
        max_tokens_per_text: int | None = None,
        **server: Unpack[RerankServer],
    ) -> None:
        super().__init__(model, **server)
        self._price_per_search, self._cut_at = price_per_search, max_tokens_per_text

    def _fields(self, request: RerankRequest) -> dict[str, Any]:
        fields = {"model": self.model, "query": request.query, "documents": list(request.texts)}
        return fields if self._cut_at is None else fields | {"max_tokens_per_doc": self._cut_at}

    def _bill(
        self, request: RerankRequest, body: dict[str, Any] | None
    ) -> tuple[Usage, Price | None]:
        meta = {} if body is None else body.get("meta")
        meta = meta if isinstance(meta, dict) else {}
        tokens = _whole(meta.get("tokens"), "input_tokens")
        units = _whole(meta.get("billed_units"), "search_units")
        each, most = self._price_per_search, _most_units(request)
        price = None if each is None else _FlatPrice(each * (most if units is None else units), 0)
        return (estimated_input(request) if tokens is None else Usage(tokens)), price


class _FlatPrice(Price):
    """What a whole call costs, whatever it reads."""

    def cost(self, usage: Usage) -> float:
        return self.input

    def at_most(self, input_tokens: int, output_tokens: int, *, for_an_hour: bool = False) -> float:
        return self.input


def _most_units(request: RerankRequest) -> int:
    asked = len(request.query.encode(errors="replace"))
    # A token is a byte or more.
    sizes = (asked + len(text.encode(errors="replace")) for text in request.texts)
    return -(-sum(-(-size // _TOKENS_A_TEXT) for size in sizes) // _TEXTS_A_UNIT)


def _whole(told: Any, name: str) -> int | None:
    """Give a count, which the API may write as 1.0."""
    value = told.get(name) if isinstance(told, dict) else None
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return count_of({name: whole}, name)
