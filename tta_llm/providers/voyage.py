"""Rerank models of Voyage AI."""

from __future__ import annotations

from typing import Any, Unpack

from tta_llm.messages import Usage
from tta_llm.providers._answers import count_of
from tta_llm.providers.list_price import list_price
from tta_llm.providers.price import Price
from tta_llm.providers.reranking import (
    RemoteRerankModel,
    RerankRequest,
    RerankServer,
    estimated_input,
)

__all__ = ["VoyageRerankModel"]


class VoyageRerankModel(RemoteRerankModel):
    """Scores texts by a rerank model of Voyage AI, from 0 to 1.

    A text that is longer than the model's window is cut, unless you forbid it. Keys made in
    MongoDB Atlas need `base_url="https://ai.mongodb.com/v1"`.

    Args:
        model: The model, such as `rerank-2.5` or `rerank-2.5-lite`.
        price: What the tokens cost; the list price when missing, if there is one.
        truncation: Whether what is too long is cut; otherwise it is an error.
        server: Where it is, and how it is called: `api_key=`, without which `VOYAGE_API_KEY` is
            read, `base_url=` up to `/v1`, `client=`, `timeouts=` and `name=`, as
            `RemoteRerankModel` has them.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When httpx2 isn't installed.

    Example:
        ```python
        from tta_llm.providers.voyage import VoyageRerankModel

        model = VoyageRerankModel("rerank-2.5-lite", api_key="...")
        assert model.name == "voyageai:rerank-2.5-lite"
        ```
    """

    provider = "voyageai"
    _home = "https://api.voyageai.com/v1"
    _path = "/rerank"
    _key_variables = ("VOYAGE_API_KEY",)
    _results_field = "data"

    def __init__(
        self,
        model: str,
        *,
        price: Price | None = None,
        truncation: bool = True,
        **server: Unpack[RerankServer],
    ) -> None:
        super().__init__(model, **server)
        self._truncation, self._price = truncation, price

    def _fields(self, request: RerankRequest) -> dict[str, Any]:
        return {
            "model": self.model,
            "query": request.query,
            "documents": list(request.texts),
            "truncation": self._truncation,
        }

    def _bill(
        self, request: RerankRequest, body: dict[str, Any] | None
    ) -> tuple[Usage, Price | None]:
        price = self._price or list_price(
            self.provider, self.model, base_url=self._base_url, writes=False
        )
        tokens = None if body is None else count_of(body.get("usage"), "total_tokens")
        return (estimated_input(request) if tokens is None else Usage(tokens)), price
