"""What makes a fallback go on to the next choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tta_llm import Budget, WorkflowContext, WorkflowPrimitive, errors, step
from tta_llm.core import RouterPrimitive
from tta_llm.errors import (
    AgentLimitError,
    AgentRunError,
    AllFailedError,
    AnswerRejectedError,
    AuthenticationError,
    BudgetExceededError,
    CallRefusedError,
    CannotServeError,
    CircuitOpenError,
    CompositionError,
    ConcurrencyLimitError,
    ConnectionFailedError,
    ContentFilterError,
    ContextLengthError,
    DeadlineExceededError,
    DocumentError,
    IndexMismatchError,
    InvalidRequestError,
    InvalidResponseError,
    MissingExtraError,
    OverloadedError,
    PermissionDeniedError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RateLimitExceededError,
    ServerError,
    TTAError,
    UnkeyableError,
    UnknownModelError,
    UnknownRouteError,
)
from tta_llm.messages import ChatRequest, ChatResponse, FailedAttempt, Usage, assistant
from tta_llm.providers import ModelInfo, Price
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock, cancel_at_every_await

AnyStep = WorkflowPrimitive[Any, Any]


def give(value: Any = "another", name: str = "other") -> MockPrimitive:
    return MockPrimitive(return_value=value, name=name)


def fail(error: Any, name: str = "first") -> MockPrimitive:
    return MockPrimitive(raises=error, name=name)


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", []))


class SdkError(Exception):
    """As vendors' SDKs do it."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers})


def answer(reason: Any, text: str = "a poor answer") -> ChatResponse:
    return ChatResponse(
        message=assistant(text), finish_reason=reason, usage=Usage(1, 1), model="m", provider="p"
    )


def told_once(error: ProviderError) -> ProviderError:
    """A provider's error that asks not to be tried again: `x-should-retry: false`."""
    error.transient = False
    return error


# ------------------------------------------------------------------------------- which errors do

ELSEWHERE: list[Exception] = [
    RateLimitError("slow down"),
    told_once(RateLimitError("slow down, and don't come back")),
    OverloadedError("busy"),
    ServerError("oops"),
    ConnectionFailedError("reset"),
    ProviderTimeoutError("late"),
    InvalidResponseError("half a JSON"),
    AuthenticationError("bad key"),
    PermissionDeniedError("not with this key"),
    UnknownModelError("no such model"),
    ContextLengthError("too long"),
    ContentFilterError("not such words"),
    BudgetExceededError("too dear"),
    AgentLimitError("too many steps", "steps"),
    AnswerRejectedError("none passed"),
    CallRefusedError("no"),
    CannotServeError("no images"),
    CircuitOpenError("open"),
    RateLimitExceededError("full"),
    ConcurrencyLimitError("full"),
    DeadlineExceededError("a limit inside"),
    ConnectionError("reset"),
    TimeoutError(),
    *map(SdkError, (401, 403, 408, 429, 500, 502, 503, 504, 529)),
    SdkError(429, **{"x-should-retry": "false"}),
    AllFailedError("all", [ServerError("a"), KeyError("what the inner one let through")]),
    ExceptionGroup("both", [ServerError("a"), AuthenticationError("b")]),
]
AT_ONCE: list[Exception] = [
    InvalidRequestError("the caller's own 400"),
    AgentRunError("under way elsewhere"),
    TTAError("who knows"),
    ProviderError("who knows"),
    UnknownRouteError("x", ["a"]),
    CompositionError("wrong"),
    UnkeyableError("no key"),
    MissingExtraError("a store", "chroma"),
    DocumentError("broken"),
    IndexMismatchError("another embedder"),
    TypeError("a bug"),
    NameError("a bug"),
    KeyError("a bug"),
    ValueError("a bug"),
    FileNotFoundError("no such file"),
    *map(SdkError, (400, 404, 409, 413, 422)),
    ExceptionGroup("one of them a bug", [ServerError("a"), TypeError("a bug")]),
    ExceptionGroup("one of them a 400", [ServerError("a"), InvalidRequestError("b")]),
    AllFailedError("all", [KeyError("a"), ValueError("b")]),
]


def test_every_error_of_the_package_has_its_place_here() -> None:
    placed = {type(error).__name__ for error in (*ELSEWHERE, *AT_ONCE)}
    assert set(errors.__all__) <= placed


def by_name(error: Exception) -> str:
    return f"{type(error).__name__} {error}"


@pytest.mark.parametrize("error", ELSEWHERE, ids=by_name)
def test_what_another_choice_can_mend_falls_through(error: Exception) -> None:
    first, second = fail(error), give()
    assert FallbackPrimitive(first, [second]).run("x") == "another"
    assert (first.call_count, second.call_count) == (1, 1)


@pytest.mark.parametrize("error", AT_ONCE, ids=by_name)
def test_all_else_is_raised_at_once(error: Exception) -> None:
    second = give()
    with pytest.raises(type(error)) as told:
        FallbackPrimitive(fail(error), [second]).run("x")
    assert told.value is error
    assert second.call_count == 0


def test_an_error_raised_at_once_tells_what_failed_before() -> None:
    workflow = FallbackPrimitive(
        fail(ServerError("oops"), "a"), [fail(ConnectionError(), "b"), fail(TypeError("bug"), "c")]
    )
    with pytest.raises(TypeError, match="bug") as told:
        workflow.run("x")
    assert notes(told.value).splitlines() == [
        "in choice 3 of 3 'c'",
        "before that, 'a' failed: ServerError: oops",
        "before that, 'b' failed: ConnectionError",
    ]


# ------------------------------------------------------------------------- what the user says of it


@pytest.mark.parametrize(
    ("more", "less", "error", "falls"),
    [
        (KeyError, None, KeyError("x"), True),
        ((KeyError, ValueError), None, ValueError("x"), True),
        (lambda error: "soft" in str(error), None, ValueError("soft"), True),
        (lambda error: "soft" in str(error), None, ValueError("hard"), False),
        (KeyError, None, ServerError("still by default"), True),
        (InvalidRequestError, None, InvalidRequestError("x"), True),
        (None, AuthenticationError, AuthenticationError("x"), False),
        (None, (RateLimitError, ServerError), ServerError("x"), False),
        (None, lambda error: error.status == 503, OverloadedError("x", status=503), False),
        (None, lambda error: error.status == 503, OverloadedError("x", status=529), True),
        (Exception, RateLimitError, RateLimitError("what must not is stronger"), False),
        (Exception, RateLimitError, TypeError("x"), True),
    ],
)
def test_the_user_adds_and_takes_away(
    more: Any, less: Any, error: Exception, *, falls: bool
) -> None:
    second = give()
    workflow = FallbackPrimitive(fail(error), [second], fallback_on=more, raise_on=less)
    if falls:
        assert workflow.run("x") == "another"
    else:
        with pytest.raises(type(error)):
            workflow.run("x")
    assert second.call_count == int(falls)


@pytest.mark.parametrize("option", ["fallback_on", "raise_on"])
@pytest.mark.parametrize("wrong", [KeyboardInterrupt, (KeyError, "x"), 3])
def test_what_is_no_kind_of_error_is_refused(option: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match="exception type"):
        FallbackPrimitive(give(), [give()], **{option: wrong})


@pytest.mark.parametrize(
    ("option", "wrong", "told"),
    [
        ("fallback_on_finish", "length", r"write \['length'\]"),
        ("fallback_on_finish", ["lenght"], "'length'.*not 'lenght'"),
        ("after_first_piece", "retry", "'restart' or 'continue', not 'retry'"),
        ("hold_out_seconds", 0, "above 0, not 0"),
        ("hold_out_seconds", float("inf"), "above 0, not inf"),
    ],
)
def test_a_wrong_option_is_refused_with_the_remedy(option: str, wrong: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        FallbackPrimitive(give(), [give()], **{option: wrong})


# --------------------------------------------------------------------------- answers that won't do


@pytest.mark.parametrize(
    ("reasons", "reason", "falls"),
    [
        (None, "content_filter", True),
        (None, "refusal", True),
        (None, "length", False),
        (None, "stop", False),
        (None, "tool_calls", False),
        (None, "other", False),
        (["length"], "length", True),
        (["length"], "refusal", False),
        ([], "refusal", False),
        ([], "content_filter", False),
    ],
)
def test_how_an_answer_ended_decides(reasons: Any, reason: str, *, falls: bool) -> None:
    first, second = FakeChatModel(answer(reason)), FakeChatModel("a good answer")
    options = {} if reasons is None else {"fallback_on_finish": reasons}
    got = FallbackPrimitive(first, [second], **options).run("x")
    assert got.text == ("a good answer" if falls else "a poor answer")
    reasons_told = [each.reason for each in got.failed_attempts]
    assert reasons_told == ([f"finish_reason {reason}"] if falls else [])


def test_a_content_filters_error_is_raised_where_its_finish_counts_for_an_answer() -> None:
    workflow = FallbackPrimitive(fail(ContentFilterError("no")), [give()], fallback_on_finish=[])
    with pytest.raises(ContentFilterError):
        workflow.run("x")


def test_when_all_refuse_the_first_refusal_is_the_answer() -> None:
    first = FakeChatModel(answer("refusal", "I will not"), name="first")
    second = FakeChatModel(answer("content_filter", ""), name="second")
    got = FallbackPrimitive(first, [second, fail(ServerError("oops"), "third")]).run("x")
    assert (got.text, got.finish_reason) == ("I will not", "refusal")
    assert got.failed_attempts == (
        FailedAttempt("first", "finish_reason refusal"),
        FailedAttempt("second", "finish_reason content_filter"),
        FailedAttempt("third", "ServerError: oops"),
    )


def test_a_refusal_after_errors_is_better_than_the_errors() -> None:
    workflow = FallbackPrimitive(fail(ServerError("oops")), [FakeChatModel(answer("refusal"))])
    assert workflow.run("x").finish_reason == "refusal"


def test_a_bug_is_raised_although_there_is_a_refused_answer() -> None:
    with pytest.raises(TypeError):
        FallbackPrimitive(FakeChatModel(answer("refusal")), [fail(TypeError("bug"))]).run("x")


def test_the_user_judges_results() -> None:
    workflow = FallbackPrimitive(
        give([], "first"),
        [give([], "second"), give([1], "third")],
        fallback_if_result=lambda r: not r,
    )
    assert workflow.run("x") == [1]
    assert FallbackPrimitive(give(0), [give("")], fallback_if_result=lambda r: not r).run("x") == 0


def test_only_a_models_answer_has_a_finish_reason() -> None:
    class Own:
        finish_reason = "refusal"

    own = Own()
    assert FallbackPrimitive(give(own), [give()]).run("x") is own


# ----------------------------------------------------------------------- an input that is too long


def sized(window: int | None, answer: Any = "it fits", name: str = "sized") -> FakeChatModel:
    info = None if window is None else ModelInfo(context_window=window)
    return FakeChatModel(answer, model=name, info=info, name=name)


def too_long(window: int | None, name: str = "small") -> FakeChatModel:
    return sized(window, ContextLengthError("too long"), name)


def wrapped(model: AnyStep) -> AnyStep:
    return RetryPrimitive(TimeoutPrimitive(model, 10))


def prompted(model: AnyStep) -> AnyStep:
    return step(ChatRequest.of) >> model


WRAPPINGS: list[Callable[[AnyStep], AnyStep]] = [lambda model: model, wrapped, prompted]


@pytest.mark.parametrize("around_second", WRAPPINGS)
@pytest.mark.parametrize("around_first", WRAPPINGS)
@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        (8_000, 128_000, True),
        (8_000, 8_000, False),
        (8_000, 4_000, False),
        (8_000, None, False),
        (None, None, False),
        (None, 4_000, True),  # nobody knows how long it was; this one at least tells
    ],
)
def test_an_input_too_long_goes_only_where_the_window_is_known_to_be_larger(
    first: int | None,
    second: int | None,
    around_first: Callable[[AnyStep], AnyStep],
    around_second: Callable[[AnyStep], AnyStep],
    *,
    fits: bool,
) -> None:
    model = sized(second)
    workflow = FallbackPrimitive(around_first(too_long(first)), [around_second(model)])
    if fits:
        assert workflow.run("x").text == "it fits"
    else:
        with pytest.raises(ContextLengthError) as told:
            workflow.run("x")
        window = "unknown" if second is None else f"{second} tokens"
        assert f"was passed over: its window ({window}) is not known" in notes(told.value)
        assert model.call_count == 0


def test_a_step_without_a_model_takes_any_input() -> None:
    workflow: AnyStep = FallbackPrimitive(
        too_long(8_000), [lambda _: "Please shorten your question."]
    )
    assert workflow.run("x") == "Please shorten your question."


def test_of_several_windows_the_largest_that_was_too_small_counts() -> None:
    small = sized(100_000, name="small")
    workflow = FallbackPrimitive(
        too_long(8_000), [too_long(128_000), small, sized(200_000, name="large")]
    )
    got = workflow.run("x")
    assert [each.choice for each in got.failed_attempts] == ["small", "small", "small"]
    assert small.call_count == 0
    assert got.model == "large"


@pytest.mark.parametrize("of", [None, "an alias"])
def test_an_overflow_of_nobody_knows_which_model_counts_for_all_of_a_step(of: str | None) -> None:
    error = ContextLengthError("too long", model=of)
    first = step(ChatRequest.of) >> sized(128_000) >> fail(error)
    with pytest.raises(ContextLengthError):
        FallbackPrimitive(first, [sized(100_000)]).run("x")


def test_a_step_without_a_model_that_overflows_makes_nothing_fit_that_did_not() -> None:
    small = sized(4_000, name="small")
    own = fail(ContextLengthError("too long for this one too"))
    with pytest.raises(AllFailedError) as told:
        FallbackPrimitive(too_long(8_000), [own, small]).run("x")
    assert "'small' was passed over" in notes(told.value)
    assert small.call_count == 0


def test_which_of_several_models_it_was_too_long_for_is_told_by_the_error() -> None:
    routes = {"small": too_long(8_000, "small"), "large": sized(128_000, name="large")}
    routed = RouterPrimitive(routes, lambda _: "small")
    assert FallbackPrimitive(routed, [sized(100_000)]).run("x").text == "it fits"


@pytest.mark.parametrize(("window", "fits"), [(64_000, False), (200_000, True)])
def test_a_fallback_inside_tells_of_its_windows_too(window: int, *, fits: bool) -> None:
    inner = FallbackPrimitive(too_long(8_000, "a"), [too_long(128_000, "b")])
    workflow = FallbackPrimitive(inner, [sized(window)])
    if fits:
        assert workflow.run("x").text == "it fits"
    else:
        with pytest.raises(AllFailedError, match="2 of 2") as told:
            workflow.run("x")
        assert "passed over" in notes(told.value)


def test_what_was_passed_over_stands_among_the_failed_attempts() -> None:
    workflow = FallbackPrimitive(
        too_long(8_000, "a"), [sized(4_000, name="b"), give(answer("stop"))]
    )
    attempts = workflow.run("x").failed_attempts
    assert attempts == (
        FailedAttempt("a", "ContextLengthError: too long"),
        FailedAttempt("b", "passed over: its window (4000 tokens) is not known to be larger"),
    )


# ------------------------------------------------------------------------------- money and guards


def priced(dollars_per_million: float, name: str) -> FakeChatModel:
    price = Price(dollars_per_million, dollars_per_million)
    return FakeChatModel(f"from {name}", price=price, max_tokens=1_000, name=name)


def test_what_is_too_dear_goes_to_a_cheaper_model() -> None:
    dear, cheap = priced(100, "dear"), priced(1, "cheap")
    budget = Budget(dollars=0.01)
    got = FallbackPrimitive(dear, [cheap]).run("x", WorkflowContext(budget=budget))
    assert got.text == "from cheap"
    assert (dear.call_count, budget.spent.calls) == (0, 1)
    assert got.failed_attempts[0].reason.startswith("BudgetExceededError: ")


def test_when_all_are_too_dear_it_is_the_budget_that_is_told() -> None:
    context = WorkflowContext(budget=Budget(dollars=0.000001))
    with pytest.raises(BudgetExceededError) as told:
        FallbackPrimitive(priced(100, "dear"), [priced(1, "cheap")]).run("x", context)
    assert "choice 1 of 2 'dear'" in notes(told.value)


def test_too_dear_and_down_is_both_told() -> None:
    context = WorkflowContext(budget=Budget(dollars=0.000001))
    with pytest.raises(AllFailedError) as told:
        FallbackPrimitive(priced(100, "dear"), [fail(ServerError("oops"))]).run("x", context)
    assert [type(each) for each in told.value.exceptions] == [BudgetExceededError, ServerError]


def test_each_attempt_counts_in_budget_and_ledger() -> None:
    broken = FakeChatModel(InvalidResponseError("half a JSON"), model="broken")
    refusing = FakeChatModel(answer("refusal"), model="refusing")
    context = WorkflowContext(budget=Budget(calls=5))
    FallbackPrimitive(broken, [refusing, FakeChatModel(model="good")]).run("x", context)
    assert context.budget is not None
    assert context.budget.spent.calls == 3
    assert context.usage.calls == 3


def test_a_guards_refusal_goes_on_at_once_and_holds_nothing_out() -> None:
    clock = VirtualClock()
    refused = fail(CircuitOpenError("open", retry_after=30))
    workflow = FallbackPrimitive(RetryPrimitive(refused), [give()])
    for _ in range(2):
        assert clock.run(workflow.execute("x", WorkflowContext(clock=clock))) == "another"
    assert (clock.now(), refused.call_count) == (0, 2)


# ----------------------------------------------------------------------------------- time


def test_no_choice_is_begun_when_the_time_is_over() -> None:
    clock, second = VirtualClock(), give()

    @step
    async def stubborn(data: str, context: WorkflowContext) -> None:
        """Make a failure of the cancellation, as some code does."""
        try:
            await context.clock.sleep(60)
        except BaseException:
            raise ServerError("closed") from None

    context = WorkflowContext(clock=clock, timeout_seconds=5)
    with pytest.raises(DeadlineExceededError) as told:
        clock.run(FallbackPrimitive(stubborn, [second]).execute("x", context))
    assert second.call_count == 0
    assert clock.now() == 5
    assert "'other' was passed over: no time is left" in notes(told.value.__cause__)  # type: ignore[arg-type]


def test_a_limit_inside_a_choice_leaves_time_for_the_next() -> None:
    clock = VirtualClock()
    slow = TimeoutPrimitive(MockPrimitive(delay_seconds=60, name="slow"), timeout_seconds=3)
    context = WorkflowContext(clock=clock, timeout_seconds=5)
    assert clock.run(FallbackPrimitive(slow, [give()]).execute("x", context)) == "another"
    assert clock.now() == 3


async def test_cancelled_at_any_point_it_ends_and_holds_nothing() -> None:
    clock = VirtualClock(auto_advance=True)
    budget = Budget(calls=1_000)
    slow = FakeChatModel(ServerError("oops"), delay=1)
    last = FakeChatModel(delay=1, name="last")
    workflow = FallbackPrimitive(slow, [TimeoutPrimitive(FakeChatModel(delay=9), 1), last])

    def nothing_is_held() -> None:
        assert budget.reserved.calls == 0

    points = await cancel_at_every_await(
        lambda: workflow.execute("x", WorkflowContext(clock=clock, budget=budget)), nothing_is_held
    )
    assert points >= 3
