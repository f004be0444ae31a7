"""What a fallback does with each fault of its primary: OpenAI's SDK first, Anthropic's after it.

One case for each row of the table of what a fallback should do, plain and streamed as far as the
row is about both. One server answers for both vendors and counts what each was asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.wire import claude as claude_wire
from tests.wire.faults import Fault, close, hang, reset, then
from tests.wire.server import Exchange, Server, chunk, completion, hello, stream
from tta_llm.core import WorkflowContext
from tta_llm.errors import (
    ConnectionFailedError,
    ContextLengthError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
)
from tta_llm.messages import (
    ChatResponse,
    Finish,
    FinishReason,
    ResponseBuilder,
    StreamRestart,
    TextDelta,
)
from tta_llm.providers import ChatModel, ModelInfo, Timeouts
from tta_llm.recovery import FallbackPrimitive, partial_text

PRIMARY, SECOND = "openai:gpt-test", "anthropic:claude-test"
WHOLE = "Hello, world!"
SMALL, LARGE = ModelInfo(context_window=8_000), ModelInfo(context_window=200_000)


# -------------------------------------------------------------------- what the primary answers


def says(status: int, code: str | None = None, **headers: str) -> Fault:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    error = {"message": "no such model or so", "type": None, "code": code}
    return lambda exchange: exchange.reply({"error": error}, status, headers=names)


def answers(reason: str, **message: Any) -> Fault:
    """Answer in 200 with this message, which ends for this reason."""

    async def answer(exchange: Exchange) -> None:
        if exchange.seen.json.get("stream"):
            await stream(exchange, [OPENING, chunk(message), chunk({}, reason)])
        else:
            await exchange.reply(
                completion(message={"content": None} | message, finish_reason=reason)
            )

    return answer


OPENING = chunk({"role": "assistant", "content": ""})
WORDS = chunk({"content": "Hello, wo"})


def fails_inside(*chunks: Any) -> Fault:
    error = {"error": {"message": "busy", "type": "overloaded_error", "code": None}}
    return lambda exchange: stream(exchange, [*chunks, error], done=False)


async def cut_after_words(exchange: Exchange) -> None:
    await exchange.start_stream()
    await exchange.event(OPENING)
    await exchange.event(WORDS)
    exchange.close()


@dataclass
class Row:
    """One row of the table, and what it must come to."""

    name: str
    fault: Fault
    falls: bool = True
    error: type[ProviderError] | None = None
    """What is raised where it does not fall through; None where the poor answer is given."""
    told: str = ""
    """How the failed attempt on the response begins."""
    held_out: bool = False
    """Whether the next call goes to the second at once."""
    finish: FinishReason = "stop"
    windows: tuple[ModelInfo | None, ModelInfo | None] = (None, None)
    only: str = "plain streamed"
    options: dict[str, Any] = field(default_factory=dict)


def status(code: int, kind: str, *, held_out: bool = False, **headers: str) -> Row:
    name = f"{code}, with retry-after" if headers else str(code)
    return Row(name, says(code, **headers), told=f"{kind}: ", held_out=held_out)


TOO_LONG = says(400, "context_length_exceeded")
TABLE = [
    Row("400 caller's bug", says(400, "bad"), falls=False, error=InvalidRequestError),
    Row(
        "400 context too long, and the next is larger",
        TOO_LONG,
        told="ContextLengthError: ",
        windows=(SMALL, LARGE),
    ),
    Row(
        "400 context too long, and the next is no larger",
        TOO_LONG,
        falls=False,
        error=ContextLengthError,
        windows=(SMALL, SMALL),
    ),
    Row(
        "400 context too long, and the next is unknown",
        TOO_LONG,
        falls=False,
        error=ContextLengthError,
        windows=(SMALL, None),
    ),
    status(401, "AuthenticationError", held_out=True),
    status(403, "PermissionDeniedError", held_out=True),
    Row(
        "404",
        says(404, "model_not_found"),
        told="UnknownModelError: ",
        held_out=True,
    ),
    status(408, "ProviderTimeoutError"),
    status(429, "RateLimitError"),
    status(429, "RateLimitError", held_out=True, retry_after="30"),
    status(500, "ServerError"),
    status(503, "OverloadedError"),
    status(503, "OverloadedError", held_out=True, retry_after="30"),
    status(529, "OverloadedError"),
    Row(
        "timeout",
        hang,
        told="ProviderTimeoutError: ",
        options={"timeouts": Timeouts(total=0.3)},
    ),
    Row("dropped connection", reset, told="ConnectionFailedError: "),
    Row(
        "content_filter finish (200)",
        answers("content_filter"),
        told="finish_reason content_filter",
    ),
    Row(
        "content_filter finish (200), where the policy says no",
        answers("content_filter"),
        falls=False,
        finish="content_filter",
        options={"fallback_on_finish": []},
    ),
    Row(
        "refusal in a 200 (`refusal` set)",
        answers("stop", refusal="I can't."),
        told="finish_reason refusal",
    ),
    Row(
        "refusal in a 200 (`refusal` set), where the policy says no",
        answers("stop", refusal="I can't."),
        falls=False,
        finish="refusal",
        options={"fallback_on_finish": []},
    ),
    Row(
        "truncated by max tokens",
        answers("length", content="Hello"),
        falls=False,
        finish="length",
    ),
    Row(
        "truncated by max tokens, opt-in",
        answers("length", content="Hello"),
        told="finish_reason length",
        options={"fallback_on_finish": ["length"], "after_first_piece": "restart"},
    ),
    Row("stream: 429 at opening", says(429), told="RateLimitError: ", only="streamed"),
    Row("stream: 500 at opening", says(500), told="ServerError: ", only="streamed"),
    Row(
        "stream: error event after the opening event, before any text",
        fails_inside(OPENING),
        told="OverloadedError: ",
        only="streamed",
    ),
    Row(
        "stream: cut after the opening event, before any text",
        then(OPENING, reset),
        told="ConnectionFailedError: ",
        only="streamed",
    ),
    Row(
        "stream: ended after the opening event, before any text",
        then(OPENING, close),
        told="ConnectionFailedError: ",
        only="streamed",
    ),
    Row(
        "stream: error event after some text",
        fails_inside(OPENING, WORDS),
        falls=False,
        error=OverloadedError,
        only="streamed",
    ),
    Row(
        "stream: cut after some text",
        cut_after_words,
        falls=False,
        error=ConnectionFailedError,
        only="streamed",
    ),
]


# ------------------------------------------------------------------------------------ who is asked


@dataclass
class Providers:
    """Both vendors behind one address."""

    server: Server
    primary: Fault
    second: Fault = claude_wire.hello

    async def __call__(self, exchange: Exchange) -> None:
        await (self.second if "messages" in exchange.seen.path else self.primary)(exchange)

    @property
    def asked(self) -> dict[str, int]:
        posts = [seen.path for seen in self.server.seen if seen.method == "POST"]
        count = Counter("second" if "messages" in path else "primary" for path in posts)
        return {who: count[who] for who in ("primary", "second")}


@dataclass
class Outcome:
    """What the caller has in the end."""

    response: ChatResponse | None = None
    error: Exception | None = None
    events: list[Any] = field(default_factory=list)
    text: str = ""


async def call(workflow: Any, *, streamed: bool) -> Outcome:
    outcome, builder = Outcome(), ResponseBuilder()
    try:
        if not streamed:
            outcome.response = await workflow.execute("Hi", WorkflowContext())
            return outcome
        async with aclosing(workflow.stream("Hi", WorkflowContext())) as events:
            async for event in events:
                outcome.events.append(event)
                builder.add(event)
        outcome.response = builder.build()
    except Exception as error:
        outcome.error = error
    outcome.text = builder.text
    return outcome


Make = Callable[..., ChatModel]
Chain = Callable[..., FallbackPrimitive[Any, ChatResponse]]
BOTH = [(row, how == "streamed") for row in TABLE for how in row.only.split()]


@pytest.fixture
def chain(ask: Make, ask_claude: Make) -> Chain:
    def make(
        first: ModelInfo | None = None,
        second: ModelInfo | None = None,
        timeouts: Timeouts | None = None,
        **options: Any,
    ) -> FallbackPrimitive[Any, ChatResponse]:
        return FallbackPrimitive(
            ask(info=first, timeouts=timeouts), [ask_claude(info=second)], **options
        )

    return make


@pytest.mark.parametrize(
    ("row", "streamed"),
    [
        pytest.param(row, streamed, id=f"{row.name}, {'streamed' if streamed else 'plain'}")
        for row, streamed in BOTH
    ],
)
async def test_each_row_of_the_table(
    server: Server,
    chain: Chain,
    row: Row,
    *,
    streamed: bool,
) -> None:
    workflow = chain(*row.windows, **row.options)
    server.handler = hello
    await call(workflow.choices[0], streamed=True)  # makes the client, which takes its time once
    server.seen.clear()
    server.handler = providers = Providers(server, row.fault)
    outcome = await call(workflow, streamed=streamed)
    assert providers.asked == {"primary": 1, "second": int(row.falls)}
    if not row.falls and row.error is not None:
        assert type(outcome.error) is row.error
        return
    response = outcome.response
    assert response is not None, outcome.error
    assert response.finish_reason == row.finish
    if row.falls:
        assert (response.provider, response.text) == ("anthropic", WHOLE)
        ((choice, reason),) = [(each.choice, each.reason) for each in response.failed_attempts]
        assert (choice, reason.startswith(row.told)) == (PRIMARY, True)
    else:
        assert (response.provider, response.failed_attempts) == ("openai", ())
    await call(workflow, streamed=streamed)
    assert providers.asked["primary"] == (1 if row.held_out else 2)


# ------------------------------------------------------------------------- before any text, in full


@pytest.mark.parametrize(
    "row", [row for row in TABLE if "before any text" in row.name], ids=lambda row: row.name
)
async def test_before_any_text_the_reader_sees_only_the_second(
    server: Server, chain: Chain, row: Row
) -> None:
    server.handler = Providers(server, row.fault)
    outcome = await call(chain(), streamed=True)
    server.handler = claude_wire.hello
    alone = await call(chain().choices[1], streamed=True)
    assert outcome.events == alone.events


# -------------------------------------------------------------------------------- after some text

MIDWAY: list[tuple[str, Fault, type[ProviderError]]] = [
    ("error event", fails_inside(OPENING, WORDS), OverloadedError),
    ("cut", cut_after_words, ConnectionFailedError),
]
midway = pytest.mark.parametrize(
    ("fault", "error"), [each[1:] for each in MIDWAY], ids=[each[0] for each in MIDWAY]
)


@midway
async def test_after_some_text_the_error_tells_it(
    server: Server,
    chain: Chain,
    fault: Fault,
    error: type[ProviderError],
) -> None:
    server.handler = providers = Providers(server, fault)
    outcome = await call(chain(), streamed=True)
    assert type(outcome.error) is error
    assert partial_text(outcome.error) == outcome.text == "Hello, wo"
    assert providers.asked == {"primary": 1, "second": 0}


@midway
async def test_after_some_text_it_restarts_when_told_to(
    server: Server,
    chain: Chain,
    fault: Fault,
    error: type[ProviderError],
) -> None:
    server.handler = providers = Providers(server, fault)
    outcome = await call(chain(after_first_piece="restart"), streamed=True)
    before, restart, *after = outcome.events
    assert before == TextDelta("Hello, wo")
    assert isinstance(restart, StreamRestart)
    assert restart.choice == SECOND
    assert restart.reason.startswith(f"{error.__name__}: ")
    assert isinstance(after[-1], Finish)
    assert outcome.response is not None
    assert (outcome.response.text, outcome.response.provider) == (WHOLE, "anthropic")
    assert [each.choice for each in outcome.response.failed_attempts] == [PRIMARY]
    assert providers.asked == {"primary": 1, "second": 1}


@midway
async def test_after_some_text_it_goes_on_when_told_to(
    server: Server,
    chain: Chain,
    fault: Fault,
    error: type[ProviderError],
) -> None:
    rest = [claude_wire.start(), *claude_wire.text(0, "rl", "d!"), *claude_wire.end()]
    server.handler = providers = Providers(server, fault, lambda e: claude_wire.stream(e, rest))
    workflow = chain(None, ModelInfo(prefill=True), after_first_piece="continue")
    outcome = await call(workflow, streamed=True)
    assert outcome.response is not None
    assert (outcome.response.text, outcome.response.provider) == (WHOLE, "anthropic")
    assert not [each for each in outcome.events if isinstance(each, StreamRestart)]
    assert providers.asked == {"primary": 1, "second": 1}
    assert server.seen[-1].json["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello, wo"},
    ]


@midway
async def test_a_model_that_takes_no_beginning_restarts(
    server: Server,
    chain: Chain,
    fault: Fault,
    error: type[ProviderError],
) -> None:
    server.handler = Providers(server, fault)
    outcome = await call(chain(after_first_piece="continue"), streamed=True)
    assert [each.choice for each in outcome.events if isinstance(each, StreamRestart)] == [SECOND]
    assert outcome.response is not None
    assert outcome.response.text == WHOLE
    assert server.seen[-1].json["messages"] == [{"role": "user", "content": "Hi"}]
