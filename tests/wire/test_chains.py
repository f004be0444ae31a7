"""Chains over three vendors' real SDKs: each fault of each first vendor, and each vendor down."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from tests.wire import claude, gemini, test_anthropic_faults, test_google_faults, test_openai_faults
from tests.wire.faults import Fault, hang, page, reset
from tests.wire.server import Exchange, Server, hello
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.core import RouterPrimitive
from tta_llm.errors import ContextLengthError, InvalidRequestError, ProviderError
from tta_llm.messages import ChatInput, ChatResponse, collect
from tta_llm.providers import AnthropicChatModel, ChatModel, OpenAIChatModel
from tta_llm.recovery import FallbackPrimitive, TimeoutPrimitive
from tta_llm.routing import FallbackChain

pytest.importorskip("google.genai", reason="google-genai is not installed")

Chain = WorkflowPrimitive[ChatInput, ChatResponse]

VENDORS = ("openai", "anthropic", "google")
MATRIX = {
    "openai": test_openai_faults.MATRIX,
    "anthropic": test_anthropic_faults.MATRIX,
    "google": test_google_faults.MATRIX,
}
HELLO: dict[str, Fault] = {"openai": hello, "anthropic": claude.hello, "google": gemini.hello}


def asked_for(exchange: Exchange) -> str:
    path = exchange.seen.path
    if "chat/completions" in path:
        return "openai"
    return "anthropic" if path.endswith("/messages") else "google"


@dataclass
class Vendors:
    """Three models behind one address, and what each answers."""

    server: Server
    models: dict[str, ChatModel]
    faults: dict[str, Fault]

    async def __call__(self, exchange: Exchange) -> None:
        vendor = asked_for(exchange)
        fault = self.faults.get(vendor) if exchange.seen.method == "POST" else None
        await (fault or HELLO[vendor])(exchange)

    def in_turn(self, first: str) -> list[ChatModel]:
        """The models, from this vendor's on, with guards that know nothing yet."""
        begin = VENDORS.index(first)
        order = (*VENDORS[begin:], *VENDORS[:begin])
        return [copy.copy(self.models[vendor]) for vendor in order]


@pytest.fixture
async def vendors(
    server: Server,
    ask: Callable[..., OpenAIChatModel],
    ask_claude: Callable[..., AnthropicChatModel],
) -> AsyncIterator[Vendors]:
    async with AsyncExitStack() as stack:
        make_gemini = await stack.enter_async_context(gemini.models(server))
        models: dict[str, ChatModel] = {
            "openai": ask(),
            "anthropic": ask_claude(),
            "google": make_gemini(),
        }
        server.handler = vendors = Vendors(server, models, {})
        for model in models.values():  # makes the clients, which takes their time once
            await model.execute("Hi", WorkflowContext())
        server.seen.clear()
        yield vendors


def as_a_chain(models: list[ChatModel]) -> Chain:
    return FallbackChain(models, max_retries=0, after_first_piece="restart")


def as_the_specification_has_it(models: list[ChatModel]) -> Chain:
    first, *others = models
    # By hand, it is a limit that leaves time for the others.
    limited = TimeoutPrimitive(first, 2)
    router = RouterPrimitive(
        routes={"fast": limited, "quality": limited}, router_fn=lambda data, context: "fast"
    )
    return FallbackPrimitive(primary=router, fallbacks=others, after_first_piece="restart")


FORMS = [as_a_chain, as_the_specification_has_it]
forms = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
each_first = pytest.mark.parametrize("first", VENDORS)


async def answer_of(chain: Chain, context: WorkflowContext, *, streamed: bool) -> ChatResponse:
    if streamed:
        return await collect(chain.stream("Hi", context))
    return await chain.execute("Hi", context)


def falls(error: type[ProviderError]) -> bool:
    """What another vendor may mend; of its window nothing is known here."""
    return not issubclass(error, InvalidRequestError)


async def what_came_of(
    chain: Chain, error: type[ProviderError], second: str, *, streamed: bool
) -> str | None:
    """Say what is wrong; None when nothing is."""
    context = WorkflowContext(timeout_seconds=20)
    try:
        answer = await answer_of(chain, context, streamed=streamed)
    except ProviderError as raised:
        return f"raised {raised!r}" if falls(error) or type(raised) is not error else None
    if not falls(error):
        return "a request that is wrong was answered"
    reasons = [each.reason.partition(":")[0] for each in answer.failed_attempts]
    found = (answer.provider, answer.text, reasons)
    expected = (second, "Hello, world!", [error.__name__])
    return None if found == expected else f"{found} in place of {expected}"


@pytest.mark.slow
@pytest.mark.timeout(300)
@forms
@each_first
async def test_each_fault_of_the_first_is_answered_by_the_second(
    vendors: Vendors, first: str, form: Callable[[list[ChatModel]], Chain]
) -> None:
    wrong = []
    for name, fault, error, streamed in MATRIX[first]:
        vendors.faults = {first: fault}
        models = vendors.in_turn(first)
        told = await what_came_of(form(models), error, models[1].provider, streamed=streamed)
        if told is not None:
            wrong.append(f"{name}, {'streamed' if streamed else 'plain'}: {told}")
    assert not wrong, "\n".join(wrong)
    assert ContextLengthError in {error for _, _, error, _ in MATRIX[first]}


OUTAGES: dict[str, Fault] = {"unreachable": reset, "overloaded": page(503), "hangs": hang}


@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("outage", OUTAGES)
@forms
@each_first
async def test_when_a_vendor_is_down_the_next_one_answers_in_time(
    vendors: Vendors,
    first: str,
    form: Callable[[list[ChatModel]], Chain],
    outage: str,
    *,
    streamed: bool,
) -> None:
    vendors.faults = {first: OUTAGES[outage]}
    models = vendors.in_turn(first)
    context = WorkflowContext(timeout_seconds=4)
    answer = await answer_of(form(models), context, streamed=streamed)
    assert answer.provider == models[1].provider
    (attempt,) = answer.failed_attempts
    assert attempt.reason
    assert (context.remaining_seconds() or 0) > 0


@pytest.mark.slow
@pytest.mark.parametrize(("outage", "asked"), [("overloaded", 2), ("hangs", 1)])
async def test_one_that_fails_is_tried_again_and_one_that_hangs_is_not(
    vendors: Vendors, outage: str, asked: int
) -> None:
    vendors.faults = {"openai": OUTAGES[outage]}
    chain = FallbackChain(vendors.in_turn("openai"), max_retries=1)
    answer = await chain.execute("Hi", WorkflowContext(timeout_seconds=4))
    assert (answer.provider, answer.failed_attempts[0].choice) == ("anthropic", "openai:gpt-test")
    paths = [seen.path for seen in vendors.server.seen]
    assert sum("chat/completions" in path for path in paths) == asked


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_when_all_are_down_the_last_answer_is_the_canned_one(
    vendors: Vendors, *, streamed: bool
) -> None:
    vendors.faults = dict.fromkeys(VENDORS, page(503))
    chain = FallbackChain([*vendors.in_turn("openai"), "Please try again."], max_retries=0)
    answer = await answer_of(chain, WorkflowContext(timeout_seconds=10), streamed=streamed)
    assert (answer.text, answer.provider, answer.cost_usd) == ("Please try again.", "canned", 0)
    assert [each.choice.partition(":")[0] for each in answer.failed_attempts] == [*VENDORS]
