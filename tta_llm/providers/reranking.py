"""Models that tell how well texts answer a question, and what those behind an API share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypedDict

from tta_llm.core import WorkflowContext, WorkflowPrimitive
from tta_llm.errors import InvalidRequestError, InvalidResponseError, ProviderError
from tta_llm.messages import ChatRequest, Usage, user
from tta_llm.observability.conventions import RERANK
from tta_llm.providers._account import Account
from tta_llm.providers._json_server import JsonServer, find_key
from tta_llm.providers.price import Price
from tta_llm.providers.timeouts import Timeouts, in_time
from tta_llm.providers.tokens import estimated_tokens

if TYPE_CHECKING:
    from httpx2 import AsyncClient

__all__ = ["RemoteRerankModel", "RerankModel", "RerankRequest", "RerankServer"]

_MOST_TEXTS = 1000


@dataclass(frozen=True, slots=True, repr=False)
class RerankRequest:
    """A question, and the texts that may answer it; its repr shows neither."""

    query: str
    texts: tuple[str, ...]

    def __repr__(self) -> str:
        return f"RerankRequest({len(self.texts)} texts)"


RerankModel: TypeAlias = WorkflowPrimitive[RerankRequest, Sequence[float]]
"""Any step that gives each text of a request a score, in their order; higher is better."""


class RerankServer(TypedDict, total=False):
    """What every vendor's rerank model takes by name; `RemoteRerankModel` says what each is."""

    api_key: str | None
    base_url: str | None
    client: AsyncClient | None
    timeouts: Timeouts | None
    name: str | None


class RemoteRerankModel(WorkflowPrimitive[RerankRequest, Sequence[float]]):
    """A rerank model behind an API; a vendor's file says what it sends and how it reads the answer.

    Args:
        model: The model, as the vendor names it.
        api_key: The key; the vendor's environment variable when missing. A server at a `base_url`
            may need none.
        base_url: Where the server is; the vendor when missing.
        client: An `httpx2.AsyncClient` of yours, used as it is and never closed.
        timeouts: How long one call may take.
        name: What spans, metrics and drawings call it.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When httpx2 isn't installed.
    """

    idempotent = True

    provider: ClassVar[str]
    _home: ClassVar[str]
    _path: ClassVar[str]
    _key_variables: ClassVar[tuple[str, ...]]
    _results_field: ClassVar[str]

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: AsyncClient | None = None,
        timeouts: Timeouts | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name or f"{self.provider}:{model}")
        self.model = model
        self.timeouts: Timeouts = Timeouts() if timeouts is None else timeouts
        self._base_url = base_url
        needed = base_url is None and client is None
        self._server = JsonServer(
            type(self).__name__,
            provider=self.provider,
            model=model,
            key=find_key(self.provider, api_key, self._key_variables, needed=needed),
            base_url=base_url or self._home,
            client=client,
            timeouts=self.timeouts,
        )

    @property
    def cache_identity(self) -> tuple[object, ...]:
        """What tells its scores from another's, where caches share a store."""
        return self.provider, self.model

    def estimate_tokens(self, input_data: RerankRequest) -> int:
        """Estimate the tokens of a call, which a rate limit takes before it."""
        return estimated_input(input_data).input_tokens

    @abstractmethod
    def _fields(self, request: RerankRequest) -> dict[str, Any]:
        """Give what is sent."""

    @abstractmethod
    def _bill(
        self, request: RerankRequest, body: dict[str, Any] | None
    ) -> tuple[Usage, Price | None]:
        """Give the tokens and the price by an answer, or at worst while there is none."""

    async def execute(self, input_data: RerankRequest, context: WorkflowContext) -> Sequence[float]:
        """Score each text; more than a thousand go in several calls.

        Raises:
            InvalidRequestError: When the question is empty.
            ProviderError: When the vendor fails.
        """
        if not input_data.query.strip():
            raise InvalidRequestError(
                f"the question is empty, and {self.provider} scores nothing against it: ask one",
                provider=self.provider,
                model=self.model,
            )
        scores: list[float] = []
        for start in range(0, len(input_data.texts), _MOST_TEXTS):
            texts = input_data.texts[start : start + _MOST_TEXTS]
            scores += await self._one_call(RerankRequest(input_data.query, texts), context)
        return tuple(scores)

    async def _one_call(self, request: RerankRequest, context: WorkflowContext) -> list[float]:
        priced = _Priced(self.provider, self.model, self._bill(request, None)[1])
        # A vendor reads the question once for each text.
        read = ChatRequest([user(f"{request.query}\n{text}") for text in request.texts])
        try:
            with Account(priced, read, context, RERANK) as account:
                async with in_time(self.timeouts, context, self.provider):
                    body = await self._server.post(self._path, self._fields(request))
                scores = _in_order(body.get(self._results_field), len(request.texts))
                usage, priced.price = self._bill(request, body)
                account.book(usage)
        except ProviderError as error:
            error.provider, error.model = self.provider, self.model
            raise
        return scores

    async def aclose(self) -> None:
        """Close the connections of the running loop; the model can be used again afterwards."""
        await self._server.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


@dataclass(slots=True)
class _Priced:
    provider: str
    model: str
    price: Price | None

    def _served_at(self) -> None:
        return None


def estimated_input(request: RerankRequest) -> Usage:
    """Estimate what a vendor reads that doesn't tell."""
    query = estimated_tokens(request.query)
    return Usage(sum(query + estimated_tokens(text) for text in request.texts), estimated=True)


def _in_order(results: Any, count: int) -> list[float]:
    """Give the scores by the index of their text: they come the best first."""
    scores: dict[int, float] = {}
    for each in results if isinstance(results, list) else []:
        told = each if isinstance(each, dict) else {}
        index, score = told.get("index"), told.get("relevance_score")
        if isinstance(index, int) and isinstance(score, (int, float)) and math.isfinite(score):
            scores[index] = float(score)
    if sorted(scores) != list(range(count)) or len(results) != count:
        raise InvalidResponseError(
            f"{count} texts were sent, and the scores that came back do not match them"
        )
    return [scores[number] for number in range(count)]
