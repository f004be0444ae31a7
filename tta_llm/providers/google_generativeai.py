"""Models of Google by google-generativeai, which has reached its end of life."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from tta_llm.core import WorkflowContext
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidRequestError,
    InvalidResponseError,
    MissingExtraError,
    ProviderError,
    ProviderTimeoutError,
)
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Message,
    ReasoningPart,
    StreamEvent,
    ToolCall,
    ToolResult,
    fold,
)
from tta_llm.providers.chat import ChatModel
from tta_llm.providers.faults import classify
from tta_llm.providers.google_answer import ChunkReader, fault_of
from tta_llm.providers.google_request import arguments
from tta_llm.providers.price import Price
from tta_llm.providers.secret import Secret
from tta_llm.providers.timeouts import Timeouts

__all__ = ["GoogleGenerativeAIChatModel", "is_installed"]

JSON: TypeAlias = dict[str, Any]
T = TypeVar("T")

_HOME = "generativelanguage.googleapis.com"
_KEY_NAMES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
_INSTRUCTION = "system_instruction"


class GoogleGenerativeAIChatModel(ChatModel):
    """A model of Google, asked the old way: for applications that can't leave google-generativeai.

    Use `GoogleChatModel` if you can. This one sends text, images and documents, plain and streamed;
    tools, structured answers, seeds and reasoning are refused. It speaks REST in threads, which
    can't be stopped: a cancelled call ends when the server has answered, or its time is over.

    Args:
        model: The model, as Google names it.
        api_key: The key; `GOOGLE_API_KEY` or `GEMINI_API_KEY` when missing.
        base_url: Where the server is; Google when missing.
        price: What the tokens cost; the provider's list price when missing.
        timeouts: How long it may take.
        max_tokens: The longest answer, for requests that don't say.
        name: What spans, metrics and drawings call it.

    Raises:
        AuthenticationError: When there is no key.
        MissingExtraError: When the SDK isn't installed.
    """

    options: frozenset[str] = frozenset({"temperature", "top_p", "stop"})

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        price: Price | None = None,
        timeouts: Timeouts | None = None,
        max_tokens: int | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(
            model,
            provider="google",
            price=price,
            timeouts=timeouts,
            max_tokens=max_tokens,
            name=name,
        )
        warnings.warn(
            "google-generativeai has reached its end of life: install tta-llm[google] and use "
            f"GoogleChatModel, or the name 'google:{model}'",
            DeprecationWarning,
            stacklevel=2,
        )
        if not is_installed():
            raise MissingExtraError("GoogleGenerativeAIChatModel", "google-generativeai")
        self._key, self._base_url = _find_key(api_key), base_url
        self._service: Any = None

    async def aclose(self) -> None:
        """Close the connections; the model can be used again afterwards."""
        service, self._service = self._service, None
        if service is not None:
            service.transport.close()

    def _served_at(self) -> str | None:
        return self._base_url

    async def _complete(self, request: ChatRequest, context: WorkflowContext) -> ChatResponse:
        asked, options = self._asked(request, context, self.timeouts.total)
        answer = await self._in_thread(self._service.generate_content, asked, options)
        body, reader = _json(answer), self._reader()
        return fold((*reader.read(body), *reader.end()), raw=body)

    async def _stream(
        self, request: ChatRequest, context: WorkflowContext
    ) -> AsyncGenerator[StreamEvent, None]:
        asked, options = self._asked(request, context, self.timeouts.gap)
        chunks = await self._in_thread(self._service.stream_generate_content, asked, options)
        reader = self._reader()
        try:
            while (chunk := await self._in_thread(_next, chunks)) is not None:
                for event in reader.read(_json(chunk)):
                    yield event
        finally:
            chunks.cancel()
        for event in reader.end():
            yield event

    def _reader(self) -> ChunkReader:
        return ChunkReader(self.provider, self.model, None)

    def _asked(self, request: ChatRequest, context: WorkflowContext, wait: float) -> Any:
        """Give the request as the service takes it, and its options."""
        if self._service is None:
            self._service = _make_service(self._key.reveal(), self._base_url)
        left = context.remaining_seconds()
        seconds = wait if left is None else max(0.001, min(wait, left))
        return _payload(request, self.model), {"retry": None, "timeout": seconds}

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        with self._our_errors():
            done: T = await finish_in_thread(_called, call, *arguments)
            return done

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        try:
            yield
        except ProviderError:
            raise
        except Exception as error:
            self._key.mask_error(error)
            ours = self._ours(error)
            if ours is None:
                raise
            raise ours from error

    def _ours(self, error: Exception) -> ProviderError | None:
        """Give our error for one of the SDK or of requests; None for a bug."""
        import requests  # noqa: PLC0415  # comes with the SDK
        from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415
        from google.protobuf.json_format import ParseError  # noqa: PLC0415

        if isinstance(error, GoogleAPICallError):
            fault = fault_of(*_told(error))
            return classify(fault, provider=self.provider, model=self.model)
        if isinstance(error, requests.Timeout):
            return ProviderTimeoutError("google did not answer in time: try again")
        if isinstance(error, requests.TooManyRedirects):
            return InvalidRequestError("google redirects, which is not followed: correct base_url")
        if isinstance(error, (ParseError, ValueError, requests.exceptions.ContentDecodingError)):
            return InvalidResponseError("the server's answer is broken, or none of Google's")
        if isinstance(error, requests.RequestException):
            return ConnectionFailedError("google broke the connection: try again")
        return None


def is_installed() -> bool:
    """Tell whether the SDK is there, without importing it."""
    try:
        return importlib.util.find_spec("google.generativeai") is not None
    except ModuleNotFoundError:
        return False  # nor any other package of Google's


def _find_key(api_key: str | None) -> Secret:
    if api_key is not None:
        return Secret(api_key, "api_key")
    for name in _KEY_NAMES:
        if key := os.environ.get(name):
            return Secret(key, name)
    raise AuthenticationError(
        f"there is no key for Google: set {' or '.join(_KEY_NAMES)}, or pass api_key=",
        provider="google",
    )


def _make_service(key: str, base_url: str | None) -> Any:
    """Make what the SDK itself speaks through; its own models share one key in a global."""
    with warnings.catch_warnings():
        # The packages say of themselves and of Python's version that they are old.
        warnings.simplefilter("ignore")
        from google.ai import generativelanguage  # noqa: PLC0415  # comes with the SDK

        service = generativelanguage.GenerativeServiceClient(
            transport="rest",
            client_options={"api_key": key, "api_endpoint": base_url or _HOME},
        )
    # Redirects would carry the key along, and a refused key would be sent three times. There is no
    # public way to say so.
    session = service.transport._session  # noqa: SLF001
    session.max_redirects = session._max_refresh_attempts = 0  # noqa: SLF001
    return service


def _payload(request: ChatRequest, model: str) -> JSON:
    asked = arguments(ChatRequest([_spoken(each) for each in request.messages]), model)
    settings: JSON = {
        "max_output_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop_sequences": list(request.stop) or None,
    }
    payload: JSON = {
        "model": model if "/" in model else f"models/{model}",
        "contents": asked["contents"],
        "generation_config": {k: value for k, value in settings.items() if value is not None},
    }
    if _INSTRUCTION in asked["config"]:
        payload[_INSTRUCTION] = asked["config"][_INSTRUCTION]
    return payload | dict(request.extra)


def _spoken(message: Message) -> Message:
    """Give a message without its reasoning, which this protocol does not know."""
    parts = [part for part in message.parts if not isinstance(part, ReasoningPart)]
    if any(isinstance(part, ToolCall | ToolResult) for part in parts):
        raise InvalidRequestError(
            "google-generativeai takes no calls of tools, nor results: use GoogleChatModel"
        )
    return Message(message.role, parts)


def _called(call: Callable[..., T], asked: Any, options: JSON | None = None) -> T:
    return call(asked) if options is None else call(asked, **options)


def _next(chunks: Iterator[T]) -> T | None:
    return next(chunks, None)


def _json(answer: Any) -> JSON:
    """Give an answer as it was on the wire."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415  # comes with the SDK

    told: JSON = MessageToDict(type(answer).pb(answer))
    return told


def _told(error: Any) -> tuple[Any, int | None, dict[str, str]]:
    """Give the body, the status and the headers of an error's response."""
    response = error.response
    headers = {name.lower(): value for name, value in response.headers.items()} if response else {}
    status = None if error.code is None else int(error.code)
    try:
        return response.json(), status, headers
    except (AttributeError, ValueError):
        return error.message, status, headers
