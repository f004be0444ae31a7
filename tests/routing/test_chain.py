"""Chains of several vendors' models."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

import pytest

from tests.conftest import CANARY
from tta_llm import WorkflowContext, WorkflowPrimitive
from tta_llm.core import RouterPrimitive
from tta_llm.errors import (
    AllFailedError,
    AuthenticationError,
    CompositionError,
    ContextLengthError,
    InvalidRequestError,
    MissingExtraError,
    OverloadedError,
    RateLimitError,
    ServerError,
)
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    DocumentPart,
    FailedAttempt,
    ImagePart,
    ToolDefinition,
    collect,
    user,
)
from tta_llm.performance import CachePrimitive
from tta_llm.providers import ModelInfo, chat_model
from tta_llm.recovery import FallbackPrimitive, health
from tta_llm.routing import TIER_MODELS, CapabilityCheck, FallbackChain
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock

Chain = WorkflowPrimitive[Any, ChatResponse]


class Caller:
    """Calls chains on one clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock(auto_advance=True)

    def __call__(self, chain: Chain, asked: Any = "Hi", **limits: Any) -> ChatResponse:
        return self.clock.run(chain.execute(asked, WorkflowContext(clock=self.clock, **limits)))

    def wait(self, seconds: float) -> None:
        self.clock.run(self.clock.advance(seconds))


@pytest.fixture
def call() -> Caller:
    return Caller()


def model(name: str, responses: Any = "an answer", **more: Any) -> FakeChatModel:
    return FakeChatModel(responses, model=name, name=name, **more)


def reasons(answer: ChatResponse) -> list[tuple[str, str]]:
    return [(each.choice, each.reason.partition(":")[0]) for each in answer.failed_attempts]


# --------------------------------------------------------------------------------- what it is


def test_it_is_a_fallback_over_guarded_models() -> None:
    chain = FallbackChain([model("first"), model("second"), lambda asked: "a canned answer"])
    assert isinstance(chain, FallbackPrimitive)
    assert repr(chain) == (
        "FallbackChain\n"
        "├─ first: CapabilityCheck\n"
        "│  └─ if it takes the request: RetryPrimitive\n"
        "│     └─ at most 3 times: CircuitBreakerPrimitive\n"
        "│        └─ unless its circuit is open: ShareOfTime\n"
        "│           └─ within half of the time that is left: RateLimitPrimitive\n"
        "│              └─ as its rate limit allows: FakeChatModel 'first'\n"
        "├─ else 1: CapabilityCheck\n"
        "│  └─ if it takes the request: RetryPrimitive\n"
        "│     └─ at most 3 times: CircuitBreakerPrimitive\n"
        "│        └─ unless its circuit is open: ShareOfTime\n"
        "│           └─ within half of the time that is left: RateLimitPrimitive\n"
        "│              └─ as its rate limit allows: FakeChatModel 'second'\n"
        "└─ else 2: Canned\n"
        "   └─ as a model's answer: FunctionStep '<lambda>'"
    )


def test_its_guards_are_seen() -> None:
    rows = {(row.kind, row.name) for row in health(FallbackChain([model("a"), model("b")]))}
    kinds = ("circuit breaker", "hold-out", "rate limit", "retry budget")
    assert rows == {(kind, name) for kind in kinds for name in ("a", "b")}


def test_names_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    for vendor in ("OPENAI", "ANTHROPIC", "GOOGLE"):
        monkeypatch.setenv(f"{vendor}_API_KEY", CANARY)
    chain = FallbackChain(["openai:gpt-4.1", "anthropic:quality", "google:fast", "ollama:llama3"])
    names = [row.name for row in health(chain) if row.kind == "rate limit"]
    assert names == [
        "openai:gpt-4.1",
        TIER_MODELS["anthropic:quality"],
        TIER_MODELS["google:fast"],
        "ollama:llama3",
    ]


def test_what_stands_for_a_tier_can_be_said() -> None:
    chain = FallbackChain(["ollama:fast", "vllm:fast"], tiers={"ollama:fast": "ollama:qwen3"})
    names = [row.name for row in health(chain) if row.kind == "rate limit"]
    assert names == ["ollama:qwen3", "vllm:fast"]


@pytest.mark.parametrize("name", TIER_MODELS.values())
def test_limits_of_the_models_of_each_tier_are_known(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{name.partition(':')[0].upper()}_API_KEY", CANARY)
    assert chat_model(name).info is not None


# ----------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("choices", "error", "told"),
    [
        (["opnai:gpt-4.1", "an answer"], ValueError, "did you mean 'openai'"),
        (["gpt-4.1", "an answer"], ValueError, "write vendor:model"),
        ([model("a")], CompositionError, "two choices or more, and there are 1"),
        ([], CompositionError, "two choices or more, and there are 0"),
        (["Sorry, no.", model("a")], CompositionError, "choice 1 is a text, which always answers"),
        ("openai:gpt-4.1", CompositionError, "put it in a list"),
        ([model("a"), 3], CompositionError, "a int is not a step"),
    ],
)
def test_what_makes_no_chain_is_refused(choices: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        FallbackChain(choices)


@pytest.mark.filterwarnings("ignore:google-generativeai has reached its end of life")
def test_a_vendor_whose_sdk_is_missing_is_refused_at_once() -> None:
    if find_spec("google.generativeai") is not None:
        pytest.skip("it is installed here")
    with pytest.raises(MissingExtraError, match=r'pip install "tta-llm\[google-generativeai\]"'):
        FallbackChain([model("first"), "google-generativeai:gemini"])


# ---------------------------------------------------------------------------------------- keys


async def test_a_missing_key_is_logged_and_the_next_model_answers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chain = FallbackChain(["openai:gpt-4.1", model("second")])
    (told,) = [each for each in caplog.records if each.name == "tta_llm.routing"]
    assert (told.levelno, "OPENAI_API_KEY" in told.getMessage()) == (logging.WARNING, True)
    answer = await chain.execute("Hi", WorkflowContext())
    assert answer.model == "second"
    assert reasons(answer) == [("openai:gpt-4.1", "AuthenticationError")]
    assert (await collect(chain.stream("Hi", WorkflowContext()))).model == "second"


def test_when_all_keys_are_missing_the_chain_cannot_be_made() -> None:
    with pytest.raises(AuthenticationError, match=r"OPENAI_API_KEY.*ANTHROPIC_API_KEY"):
        FallbackChain(["openai:gpt-4.1", "anthropic:claude-opus-5-5", "a canned answer"])


def test_a_key_that_turns_up_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = FallbackChain(["groq:llama", model("second")])
    monkeypatch.setenv("GROQ_API_KEY", CANARY)
    inner: Any = chain.choices[0]
    while hasattr(inner, "primitive"):
        inner = inner.primitive
    assert inner._found() is inner._found()
    assert inner._found().name == "groq:llama"


# ------------------------------------------------------------------------- who answers, and when


def test_a_failure_is_tried_again_before_the_next_is_asked(call: Caller) -> None:
    flaky, second = model("flaky", [ServerError("oops"), "at last"]), model("second")
    answer = call(FallbackChain([flaky, second]))
    assert (answer.text, answer.failed_attempts, second.call_count) == ("at last", (), 0)


def test_one_that_hangs_leaves_half_of_the_time(call: Caller) -> None:
    hanging, second = model("hanging", delay=1000), model("second", delay=1)
    answer = call(FallbackChain([hanging, second]), timeout_seconds=4)
    assert (answer.model, call.clock.now()) == ("second", 3)
    (attempt,) = answer.failed_attempts
    assert attempt.reason.startswith("DeadlineExceededError: 'hanging' ran out of time after 2 s")
    assert hanging.call_count == 1


def test_the_last_model_has_all_the_time_there_is(call: Caller) -> None:
    slow = model("slow", delay=9)
    answer = call(FallbackChain([model("down", ServerError("x")), slow], max_retries=0), "Hi")
    assert answer.model == "slow"
    chain = FallbackChain([model("down", ServerError("x")), slow], max_retries=0)
    assert call(chain, timeout_seconds=10).model == "slow"


def test_a_stream_has_half_of_the_time_for_its_first_piece_only(call: Caller) -> None:
    long = model("long", "one two three four five six", word_delay=1.5)
    hanging = model("hanging", delay=1000)

    async def read(chain: Chain) -> ChatResponse:
        context = WorkflowContext(clock=call.clock, timeout_seconds=10)
        return await collect(chain.stream("Hi", context))

    answer = call.clock.run(read(FallbackChain([long, model("second")])))
    assert (answer.model, answer.failed_attempts) == ("long", ())
    assert call.clock.run(read(FallbackChain([hanging, model("second")]))).model == "second"


def test_the_primary_is_asked_again_when_its_circuit_has_cooled_down(call: Caller) -> None:
    state = {"down": True}
    first = model("first", lambda asked: ServerError("down") if state["down"] else "I am back")
    chain = FallbackChain([first, model("second")], max_retries=0)
    answers = [call(chain) for _ in range(15)]
    assert {answer.model for answer in answers} == {"second"}
    assert first.call_count == 10
    assert reasons(answers[-1]) == [("first", "CircuitOpenError")]
    state["down"] = False
    call.wait(29)
    assert call(chain).model == "second"
    call.wait(1)
    assert call(chain).model == "first"
    assert call(chain).failed_attempts == ()


def test_the_primary_is_asked_again_when_the_time_it_asked_for_is_over(call: Caller) -> None:
    first = model("first", [RateLimitError("slow down", retry_after=40.0), "I am back"])
    chain = FallbackChain([first, model("second")], max_retries=0)
    assert call(chain).model == call(chain).model == "second"
    assert first.call_count == 1
    call.wait(40)
    assert call(chain).text == "I am back"


def test_who_asks_for_a_long_wait_is_not_waited_for(call: Caller) -> None:
    first = model("first", [RateLimitError("slow down", retry_after=40.0), "x"])
    assert call(FallbackChain([first, model("second")])).model == "second"
    assert call.clock.now() == 0
    patient = model("patient", [RateLimitError("slow down", retry_after=4.0), "x"])
    assert call(FallbackChain([patient, model("second")])).model == "patient"


def test_nobody_stands_in_a_long_line_while_another_is_free(call: Caller) -> None:
    first = model("first", RateLimitError("too many"))
    chain = FallbackChain([first, model("second")], max_retries=0)
    for _ in range(5):  # it is paused for 1 second, 2, 4, 8
        began = call.clock.now()
        assert call(chain).model == "second"
        assert call.clock.now() - began <= 5
    assert reasons(call(chain)) == [("first", "RateLimitExceededError")]


def test_a_bug_of_the_caller_is_not_hidden(call: Caller) -> None:
    second = model("second")
    with pytest.raises(InvalidRequestError, match="no such parameter"):
        call(FallbackChain([model("first", InvalidRequestError("no such parameter")), second]))
    assert second.call_count == 0


def test_when_all_fail_the_error_has_every_reason(call: Caller) -> None:
    chain = FallbackChain(
        [model("a", ServerError("one")), model("b", OverloadedError("two"))], max_retries=0
    )
    with pytest.raises(AllFailedError) as told:
        call(chain)
    assert [type(each) for each in told.value.exceptions] == [ServerError, OverloadedError]


# -------------------------------------------------------------------------------- what they take

BLIND = ModelInfo(lacks=frozenset({"images", "tools"}), context_window=1000)
PICTURE = [user([ImagePart(url="https://example.org/cat.png")])]
TOOL = ToolDefinition("search", "Finds.", {"type": "object"})
REQUESTS: dict[str, tuple[Any, str]] = {
    "an image": (PICTURE, "a takes no images: ask another model, or ask for less"),
    "a tool": (ChatRequest("Hi", tools=[TOOL]), "a takes no tools"),
    "a long text": ("word " * 4000, "a holds 1,000 tokens, and this call needs about 5,516"),
}


@pytest.mark.parametrize("what", REQUESTS)
def test_a_model_that_cannot_serve_the_request_is_not_asked(call: Caller, what: str) -> None:
    asked, told = REQUESTS[what]
    blind, able = model("a", info=BLIND), model("b")
    answer = call(FallbackChain([blind, able]), asked)
    assert (answer.model, blind.call_count) == ("b", 0)
    (attempt,) = answer.failed_attempts
    assert attempt.choice == "a"
    assert attempt.reason.startswith(f"CannotServeError: {told}")


def test_a_step_of_several_models_is_asked_when_one_of_them_can(call: Caller) -> None:
    routes = {"blind": model("a", info=BLIND), "able": model("b")}
    both = RouterPrimitive(routes, lambda data, context: "able")
    check = CapabilityCheck(both)
    assert call(check, PICTURE).model == "b"
    unknown: Any = call(CapabilityCheck(MockPrimitive("no model")), PICTURE)
    assert unknown == "no model"


async def test_a_stream_is_checked_as_well() -> None:
    chain = FallbackChain([model("a", info=BLIND), model("b")])
    answer = await collect(chain.stream(PICTURE, WorkflowContext()))
    assert (answer.model, reasons(answer)) == ("b", [("a", "CannotServeError")])


def test_an_input_too_long_for_all_tells_of_each(call: Caller) -> None:
    small = ModelInfo(context_window=10)
    chain = FallbackChain([model("a", info=small), model("b", info=small)])
    with pytest.raises(AllFailedError) as told:
        call(chain, "word " * 100)
    assert "b holds 10 tokens" in str(told.value.exceptions[1])


def test_a_document_of_plain_text_is_for_everybody(call: Caller) -> None:
    info = ModelInfo(lacks=frozenset({"documents"}))
    text = [user([DocumentPart(b"plain", "text/plain")])]
    chain = FallbackChain([model("a", info=info), model("b")])
    assert call(chain, text).model == "a"
    assert call(chain, [user([DocumentPart(b"%PDF", "application/pdf")])]).model == "b"


def test_one_that_outgrew_the_window_goes_on_to_a_larger_one_only(call: Caller) -> None:
    first = model("first", ContextLengthError("too long"), info=ModelInfo(context_window=9000))
    same = model("same", info=ModelInfo(context_window=9000))
    large = model("large", info=ModelInfo(context_window=90_000))
    assert call(FallbackChain([first, same, large])).model == "large"


# ------------------------------------------------------------------------------- the last answer

LAST: dict[str, tuple[Any, str]] = {
    "a text": ("Please ask again later.", "canned"),
    "a function": (lambda asked: f"no answer to {asked!r}", "canned"),
    "a function that gives a response": (lambda asked: model("kept").run(asked), "fake"),
    "a model": (model("last"), "fake"),
    "a cache": (CachePrimitive(model("cached"), 60), "fake"),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("what", LAST)
async def test_any_step_may_be_the_last(what: str, *, streamed: bool) -> None:
    last, provider = LAST[what]
    chain = FallbackChain([model("down", ServerError("x")), last], max_retries=0)
    context = WorkflowContext()
    if streamed:
        answer = await collect(chain.stream("Hi", context))
    else:
        answer = await chain.execute("Hi", context)
    assert answer.provider == provider
    assert answer.failed_attempts == (FailedAttempt("down", "ServerError: x"),)
