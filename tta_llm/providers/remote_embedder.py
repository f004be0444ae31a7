"""What the embedders of vendors share: groups that a call takes, time, budget, ledger, errors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike

from tta_llm.core import WorkflowContext
from tta_llm.errors import InvalidRequestError, ProviderError
from tta_llm.messages import ChatRequest, Usage, user
from tta_llm.observability.conventions import EMBEDDINGS
from tta_llm.providers._account import Account
from tta_llm.providers.embedder import Embedder, Vectors
from tta_llm.providers.list_price import list_price
from tta_llm.providers.price import Price
from tta_llm.providers.timeouts import Timeouts, in_time
from tta_llm.providers.tokens import estimated_tokens

__all__ = ["RemoteEmbedder"]


class RemoteEmbedder(Embedder):
    """An embedder of a vendor: override `_ask`.

    Args:
        model: The model, as the vendor names it.
        provider: Who computes.
        dimensions: How many numbers a vector has; the model's own when missing.
        price: What the tokens cost; the vendor's list price when missing.
        timeouts: How long one call may take.
        batch_size: At most this many texts go into one call.
        name: What spans, metrics and drawings call it.
    """

    _sizes: ClassVar[dict[str, int]] = {}
    """How many dimensions the vendor's models have."""

    _most_bytes: ClassVar[int] = 300_000
    """The most text in one call, which is also the most tokens it can have."""

    def __init__(
        self,
        model: str,
        *,
        provider: str,
        dimensions: int | None,
        price: Price | None,
        timeouts: Timeouts | None,
        batch_size: int,
        name: str | None,
    ) -> None:
        size = dimensions or self._sizes.get(model)
        if size is None:
            raise ValueError(
                f"nobody knows how many dimensions {model!r} has: give dimensions=, "
                f"or one of {', '.join(self._sizes) or 'another model'}"
            )
        super().__init__(
            model=model,
            dimensions=size,
            batch_size=batch_size,
            name=name or f"{provider}:{model}",
        )
        self.provider: str = provider
        self._price = price
        self.timeouts: Timeouts = Timeouts() if timeouts is None else timeouts

    @property
    def price(self) -> Price | None:
        """What the tokens cost; None when that is unknown."""
        if self._price is not None:
            return self._price
        where = self._served_at()
        return list_price(self.provider, self.model, base_url=where, writes=False)

    @abstractmethod
    async def _ask(
        self, texts: Sequence[str], context: WorkflowContext
    ) -> tuple[ArrayLike, int | None]:
        """Embed a group in one call; give the vectors in order, and the tokens if told."""

    async def _embed(self, texts: Sequence[str], context: WorkflowContext) -> Vectors:
        for number, text in enumerate(texts):
            if not text:
                raise InvalidRequestError(
                    f"text {number + 1} of {len(texts)} is empty, and {self.provider} embeds none "
                    "such: leave it out",
                    provider=self.provider,
                    model=self.model,
                )
        groups = [await self._one_call(each, context) for each in self._groups(texts)]
        return np.concatenate(groups)

    def _groups(self, texts: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        size = 0
        for text in texts:
            more = len(text.encode(errors="replace"))
            if group and size + more > self._most_bytes:
                yield group
                group, size = [], 0
            group.append(text)
            size += more
        yield group

    async def _one_call(self, texts: list[str], context: WorkflowContext) -> Vectors:
        request = ChatRequest([user(text) for text in texts])
        try:
            with Account(self, request, context, EMBEDDINGS) as account:
                async with in_time(self.timeouts, context, self.provider):
                    answer, tokens = await self._ask(texts, context)
                vectors = self._units(answer, len(texts))
                account.book(_usage(texts, tokens))
        except ProviderError as error:
            error.provider = error.provider or self.provider
            error.model = error.model or self.model
            raise
        return vectors

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _usage(texts: list[str], tokens: int | None) -> Usage:
    if tokens is not None:
        return Usage(tokens)
    return Usage(sum(map(estimated_tokens, texts)), estimated=True)
