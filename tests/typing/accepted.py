"""What joins and wraps, and the types that come out of it, as mypy and pyright see them.

Nothing here is run: `test_typing.py` has both checkers read it.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from functools import partial
from typing import Any, assert_type

from tta_llm import (
    BatchItem,
    ConditionalPrimitive,
    MapPrimitive,
    ParallelPrimitive,
    RouterPrimitive,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    step,
)
from tta_llm.core import FunctionStep, GeneratorStep, SystemClock
from tta_llm.performance import CachePrimitive, Match, SemanticCache
from tta_llm.recovery import (
    CircuitBreaker,
    CircuitBreakerPrimitive,
    CompensationPrimitive,
    ConcurrencyLimiter,
    ConcurrencyLimitPrimitive,
    FallbackPrimitive,
    HedgePrimitive,
    RateLimiter,
    RateLimitPrimitive,
    RetryPrimitive,
    TimeoutPrimitive,
    Uncompensated,
    uncompensated,
)
from tta_llm.testing import ChaosPrimitive, MockPrimitive, VirtualClock


class Question: ...


class Answer: ...


class Score: ...


class Report: ...


class Ask(WorkflowPrimitive[Question, Answer]):
    async def execute(self, input_data: Question, context: WorkflowContext) -> Answer:
        return Answer()


class Rate(WorkflowPrimitive[Answer, Score]):
    async def execute(self, input_data: Answer, context: WorkflowContext) -> Score:
        return Score()


class Tell(WorkflowPrimitive[Score, Report]):
    async def execute(self, input_data: Score, context: WorkflowContext) -> Report:
        return Report()


def rate(answer: Answer) -> Score:
    return Score()


def rate_in_context(answer: Answer, context: WorkflowContext) -> Score:
    return Score()


async def rate_async(answer: Answer) -> Score:
    return Score()


async def rate_async_in_context(answer: Answer, context: WorkflowContext) -> Score:
    return Score()


def rate_with_default(answer: Answer, weight: float = 1.0) -> Score:
    return Score()


def rate_with_two_defaults(answer: Answer, context: WorkflowContext | None = None) -> Score:
    return Score()


def ask(question: Question) -> Answer:
    return Answer()


def ask_in_context(question: Question, context: WorkflowContext) -> Answer:
    return Answer()


async def ask_async(question: Question) -> Answer:
    return Answer()


async def ask_async_in_context(question: Question, context: WorkflowContext) -> Answer:
    return Answer()


class Rater:
    def __call__(self, answer: Answer) -> Score:
        return Score()

    def method(self, answer: Answer) -> Score:
        return Score()

    async def async_method(self, answer: Answer, context: WorkflowContext) -> Score:
        return Score()


def primitives_in_sequence() -> None:
    assert_type(Ask() >> Rate(), SequentialPrimitive[Question, Score])
    assert_type(Ask() >> Rate() >> Tell(), SequentialPrimitive[Question, Report])
    assert_type(Ask() >> (Rate() >> Tell()), SequentialPrimitive[Question, Report])


def a_chain_is_a_primitive() -> WorkflowPrimitive[Question, Report]:
    return Ask() >> Rate() >> Tell()


def functions_on_the_right() -> None:
    assert_type(Ask() >> rate, SequentialPrimitive[Question, Score])
    assert_type(Ask() >> rate_in_context, SequentialPrimitive[Question, Score])
    assert_type(Ask() >> rate_async, SequentialPrimitive[Question, Score])
    assert_type(Ask() >> rate_async_in_context, SequentialPrimitive[Question, Score])
    assert_type(Ask() >> rate_with_default, SequentialPrimitive[Question, Score])
    assert_type(Ask() >> rate_with_two_defaults, SequentialPrimitive[Question, Score])
    assert_type(Ask() >> Rater(), SequentialPrimitive[Question, Score])
    assert_type(Ask() >> Rater().method, SequentialPrimitive[Question, Score])
    assert_type(Ask() >> Rater().async_method, SequentialPrimitive[Question, Score])
    assert_type(
        Ask() >> partial(rate_with_default, weight=2.0), SequentialPrimitive[Question, Score]
    )
    assert_type(
        Ask() >> (lambda answer: [rate(answer)]), SequentialPrimitive[Question, list[Score]]
    )
    # mypy finds two overloads that fit such a lambda, and settles for Any.
    joined: WorkflowPrimitive[Question, Score] = Ask() >> (
        lambda answer: Rater().async_method(answer, WorkflowContext())
    )
    del joined
    assert_type(Ask() >> rate >> Tell(), SequentialPrimitive[Question, Report])


def functions_on_the_left() -> None:
    assert_type(ask >> Rate(), SequentialPrimitive[Question, Score])
    assert_type(ask_in_context >> Rate(), SequentialPrimitive[Question, Score])
    assert_type(ask_async >> Rate(), SequentialPrimitive[Question, Score])
    assert_type(ask_async_in_context >> Rate(), SequentialPrimitive[Question, Score])
    assert_type(ask >> Rate() >> Tell(), SequentialPrimitive[Question, Report])


def primitives_in_parallel() -> None:
    assert_type(Rate() | Rate(), ParallelPrimitive[Answer, tuple[Score, Score]])
    three = Ask() | step(str_of) | step(length_of)
    assert_type(three, ParallelPrimitive[Question, tuple[Answer, str, int]])
    four = Ask() | step(str_of) | step(length_of) | Ask()
    assert_type(four, ParallelPrimitive[Question, tuple[Answer, str, int, Answer]])


def a_group_on_the_right_stays_a_group() -> None:
    grouped = Ask() | (step(str_of) | step(length_of))
    assert_type(grouped, ParallelPrimitive[Question, tuple[Answer, tuple[str, int]]])


def a_fan_out_is_a_primitive() -> WorkflowPrimitive[Question, tuple[Answer, str, int]]:
    return Ask() | step(str_of) | step(length_of)


def str_of(question: Question) -> str:
    return ""


def length_of(question: Question) -> int:
    return 0


async def length_async(question: Question) -> int:
    return 0


def length_in_context(question: Question, context: WorkflowContext) -> int:
    return 0


async def length_async_in_context(question: Question, context: WorkflowContext) -> int:
    return 0


def functions_in_parallel_on_the_right() -> None:
    assert_type(Ask() | length_of, ParallelPrimitive[Question, tuple[Answer, int]])
    assert_type(Ask() | length_async, ParallelPrimitive[Question, tuple[Answer, int]])
    assert_type(Ask() | length_in_context, ParallelPrimitive[Question, tuple[Answer, int]])
    assert_type(Ask() | length_async_in_context, ParallelPrimitive[Question, tuple[Answer, int]])
    three = Ask() | length_async | str_of
    assert_type(three, ParallelPrimitive[Question, tuple[Answer, int, str]])
    four = three | length_async_in_context
    assert_type(four, ParallelPrimitive[Question, tuple[Answer, int, str, int]])
    assert_type(
        three | length_in_context, ParallelPrimitive[Question, tuple[Answer, int, str, int]]
    )


def functions_in_parallel_on_the_left() -> None:
    assert_type(length_of | Ask(), ParallelPrimitive[Question, tuple[int, Answer]])
    assert_type(length_async | Ask(), ParallelPrimitive[Question, tuple[int, Answer]])
    assert_type(length_in_context | Ask(), ParallelPrimitive[Question, tuple[int, Answer]])
    assert_type(length_async_in_context | Ask(), ParallelPrimitive[Question, tuple[int, Answer]])
    three = length_of | Ask() | str_of
    assert_type(three, ParallelPrimitive[Question, tuple[int, Answer, str]])


def a_fan_out_joins_what_takes_its_tuple() -> None:
    def merge(parts: tuple[Answer, int]) -> Report:
        return Report()

    assert_type((Ask() | length_of) >> merge, SequentialPrimitive[Question, Report])
    assert_type(ask >> (Rate() | rate) >> both, SequentialPrimitive[Question, Report])


def both(scores: tuple[Score, Score]) -> Report:
    return Report()


def steps_by_decorator() -> None:
    @step
    def sync(answer: Answer) -> Score:
        return Score()

    @step
    async def asynchronous(answer: Answer) -> Score:
        return Score()

    @step
    def sync_in_context(answer: Answer, context: WorkflowContext) -> Score:
        return Score()

    @step
    async def async_in_context(answer: Answer, context: WorkflowContext) -> Score:
        return Score()

    @step(thread=True, name="blocking")
    def blocking(answer: Answer) -> Score:
        return Score()

    @step(per_piece=True)
    async def per_piece(answer: Answer) -> Score:
        return Score()

    @step(name="with context")
    async def named(answer: Answer, context: WorkflowContext) -> Score:
        return Score()

    @step()
    def with_brackets(answer: Answer) -> Score:
        return Score()

    assert_type(sync, FunctionStep[Answer, Score])
    assert_type(asynchronous, FunctionStep[Answer, Score])
    assert_type(sync_in_context, FunctionStep[Answer, Score])
    assert_type(async_in_context, FunctionStep[Answer, Score])
    assert_type(blocking, FunctionStep[Answer, Score])
    assert_type(per_piece, FunctionStep[Answer, Score])
    assert_type(named, FunctionStep[Answer, Score])
    assert_type(with_brackets, FunctionStep[Answer, Score])
    assert_type(Ask() >> asynchronous, SequentialPrimitive[Question, Score])
    assert_type(step(rate_async), FunctionStep[Answer, Score])
    assert_type(step(len)([1]), Any)


def options_of_step_in_a_call() -> None:
    assert_type(step(rate, thread=True), FunctionStep[Answer, Score])
    assert_type(step(rate_async, name="rate"), FunctionStep[Answer, Score])


def steps_that_stream() -> None:
    @step(join="".join)
    async def spell(words: list[str]) -> AsyncGenerator[str, None]:
        for word in words:
            yield word

    @step(join=list)
    async def each(words: list[str], context: WorkflowContext) -> AsyncIterator[str]:
        for word in words:
            yield word

    @step(join=len)
    async def count(words: list[str]) -> AsyncGenerator[str, None]:
        for word in words:
            yield word

    assert_type(count, GeneratorStep[list[str], int])
    assert_type(count >> str, SequentialPrimitive[list[str], str])
    joined: WorkflowPrimitive[list[str], str] = spell
    listed: WorkflowPrimitive[list[str], list[Any]] = each
    del joined, listed


def questions(text: str) -> list[Question]:
    return []


def mapped_and_batched() -> None:
    assert_type(Ask().map(), MapPrimitive[Question, Answer])
    assert_type(questions >> Ask().map(), SequentialPrimitive[str, list[Answer]])
    assert_type(step(rate).map(max_concurrency=3), MapPrimitive[Answer, Score])
    assert_type((ask >> Rate()).map(), MapPrimitive[Question, Score])


def mapped_with_errors_collected() -> None:
    collected = Ask().map(on_error="collect")
    assert_type(collected.run([]), list[Answer | Exception])


async def executed() -> None:
    workflow = Ask() >> rate
    assert_type(await workflow.execute(Question(), WorkflowContext()), Score)
    assert_type(await Ask().execute(Question(), WorkflowContext()), Answer)
    assert_type(workflow.run(Question()), Score)
    assert_type(Ask().stream(Question(), WorkflowContext()), AsyncGenerator[Any, None])
    assert_type(Ask().map().run([Question()]), list[Answer])
    assert_type((Ask() | str_of).run(Question()), tuple[Answer, str])
    async for item in workflow.batch([Question()], max_concurrency=2):
        assert_type(item, BatchItem[Score])
        assert_type(item.result(), Score)
        assert_type(item.index, int)
        assert_type(item.value, Score | None)
        assert_type(item.error, Exception | None)


def conditionals() -> None:
    primitives = ConditionalPrimitive(lambda data, context: True, Rate(), step(rate))
    assert_type(primitives, ConditionalPrimitive[Answer, Score])
    functions = ConditionalPrimitive(lambda data, context: True, rate, rate_async_in_context)
    assert_type(functions, ConditionalPrimitive[Answer, Score])
    mixed = ConditionalPrimitive(lambda data: True, Rate(), rate_async)
    assert_type(mixed, ConditionalPrimitive[Answer, Score])
    assert_type(Ask() >> mixed >> Tell(), SequentialPrimitive[Question, Report])


def shorter(text: str) -> str:
    return text[:-1]


def conditionals_that_pass_through() -> None:
    same = ConditionalPrimitive(lambda data: True, shorter)
    assert_type(same, ConditionalPrimitive[str, str])
    other = ConditionalPrimitive(lambda data: True, Rate())
    assert_type(other, ConditionalPrimitive[Answer, Answer | Score])


def conditions_of_all_kinds() -> None:
    def holds(answer: Answer) -> bool:
        return True

    async def holds_async(answer: Answer, context: WorkflowContext) -> bool:
        return True

    for_sync = ConditionalPrimitive(holds, Rate(), Rate())
    for_async = ConditionalPrimitive(holds_async, Rate(), Rate())
    assert_type(for_sync, ConditionalPrimitive[Answer, Score])
    assert_type(for_async, ConditionalPrimitive[Answer, Score])


def routers() -> None:
    primitives = RouterPrimitive({"a": Rate(), "b": Rate()}, lambda data, context: "a", default="b")
    assert_type(primitives, RouterPrimitive[Answer, Score])
    functions = RouterPrimitive({"a": rate, "b": rate}, router_fn=lambda data: "a")
    assert_type(functions, RouterPrimitive[Answer, Score])
    assert_type(Ask() >> primitives, SequentialPrimitive[Question, Score])


def tokens_of(answer: Answer) -> int:
    return 0


def embed(text: str) -> list[float]:
    return []


def apart(data: Answer) -> tuple[str, object] | None:
    return None


async def semantic_caches() -> None:
    function = SemanticCache(rate, embed, threshold=0.9, ttl_seconds=3, text=apart, details=None)
    assert_type(function, SemanticCache[Answer, Score])
    awaited = SemanticCache(rate_async_in_context, embed, threshold=1, ttl_seconds=3, vary=["a"])
    assert_type(awaited, SemanticCache[Answer, Score])
    assert_type(await awaited.lookup(Answer()), Match[Score] | None)


def wrapped_primitives() -> None:
    assert_type(RetryPrimitive(Rate(), max_retries=3), RetryPrimitive[Answer, Score])
    assert_type(TimeoutPrimitive(Rate(), timeout_seconds=3), TimeoutPrimitive[Answer, Score])
    assert_type(
        TimeoutPrimitive(Rate(), first_chunk_seconds=2, idle_seconds=3, fallback=Rate()),
        TimeoutPrimitive[Answer, Score],
    )
    assert_type(CachePrimitive(Rate(), ttl_seconds=3), CachePrimitive[Answer, Score])
    same = SemanticCache(Rate(), embed, threshold=0.9, ttl_seconds=3)
    assert_type(same, SemanticCache[Answer, Score])
    assert_type(FallbackPrimitive(Rate(), [Rate()]), FallbackPrimitive[Answer, Score])
    guarded = CircuitBreakerPrimitive(Rate(), CircuitBreaker(slow_seconds=5))
    assert_type(guarded, CircuitBreakerPrimitive[Answer, Score])
    limited = ConcurrencyLimitPrimitive(Rate(), ConcurrencyLimiter(8))
    assert_type(limited, ConcurrencyLimitPrimitive[Answer, Score])
    polite = RateLimitPrimitive(Rate(), RateLimiter(tokens_per_minute=9), tokens=tokens_of)
    assert_type(polite, RateLimitPrimitive[Answer, Score])
    assert_type(HedgePrimitive(Rate(), 0.5), HedgePrimitive[Answer, Score])
    nested = RetryPrimitive(TimeoutPrimitive(CachePrimitive(Rate(), 5), 3))
    assert_type(nested, RetryPrimitive[Answer, Score])
    assert_type(Ask() >> nested >> Tell(), SequentialPrimitive[Question, Report])
    assert_type(RetryPrimitive(Ask() >> Rate()), RetryPrimitive[Question, Score])
    assert_type(ChaosPrimitive(Rate(), latency_seconds=(1, 2)), ChaosPrimitive[Answer, Score])


def wrapped_steps() -> None:
    assert_type(RetryPrimitive(step(rate)), RetryPrimitive[Answer, Score])
    assert_type(TimeoutPrimitive(step(rate_async), 3), TimeoutPrimitive[Answer, Score])
    assert_type(CachePrimitive(step(rate_in_context), 3), CachePrimitive[Answer, Score])
    assert_type(FallbackPrimitive(step(rate), [step(rate)]), FallbackPrimitive[Answer, Score])
    assert_type(
        ConditionalPrimitive(lambda data: True, step(rate), step(rate)),
        ConditionalPrimitive[Answer, Score],
    )
    assert_type(
        RouterPrimitive({"a": step(rate)}, lambda data: "a"), RouterPrimitive[Answer, Score]
    )


def wrapped_functions() -> None:
    assert_type(RetryPrimitive(rate), RetryPrimitive[Answer, Score])
    assert_type(RetryPrimitive(rate_async), RetryPrimitive[Answer, Score])
    assert_type(RetryPrimitive(rate_in_context), RetryPrimitive[Answer, Score])
    assert_type(RetryPrimitive(rate_async_in_context), RetryPrimitive[Answer, Score])
    assert_type(TimeoutPrimitive(rate_async, 3), TimeoutPrimitive[Answer, Score])
    assert_type(TimeoutPrimitive(rate, 3, fallback=rate_async), TimeoutPrimitive[Answer, Score])
    assert_type(TimeoutPrimitive(rate_async, 3, fallback=Rate()), TimeoutPrimitive[Answer, Score])
    assert_type(CircuitBreakerPrimitive(rate_async), CircuitBreakerPrimitive[Answer, Score])
    assert_type(CircuitBreakerPrimitive(rate), CircuitBreakerPrimitive[Answer, Score])
    assert_type(CachePrimitive(rate_async_in_context, 3), CachePrimitive[Answer, Score])
    assert_type(ConcurrencyLimitPrimitive(rate, 8), ConcurrencyLimitPrimitive[Answer, Score])
    assert_type(RateLimitPrimitive(rate), RateLimitPrimitive[Answer, Score])
    assert_type(RateLimitPrimitive(rate_async), RateLimitPrimitive[Answer, Score])
    assert_type(HedgePrimitive(rate_async, idempotent=True), HedgePrimitive[Answer, Score])
    assert_type(FallbackPrimitive(rate_async, [rate]), FallbackPrimitive[Answer, Score])
    assert_type(FallbackPrimitive(rate, [rate, rate_async]), FallbackPrimitive[Answer, Score])
    assert_type(FallbackPrimitive(Rate(), [rate, Rate()]), FallbackPrimitive[Answer, Score])
    assert_type(ask >> RetryPrimitive(rate_async), SequentialPrimitive[Question, Score])
    assert_type(ChaosPrimitive(rate_async, failure_rate=0.1), ChaosPrimitive[Answer, Score])
    assert_type(ChaosPrimitive(rate, errors=[OSError]), ChaosPrimitive[Answer, Score])


def options_of_a_fallback() -> None:
    policy = FallbackPrimitive(
        Rate(),
        [rate],
        fallback_on=(KeyError, ValueError),
        raise_on=lambda error: "bug" in str(error),
        fallback_if_result=lambda score: score == Score(),
        fallback_on_finish=["length", "refusal"],
        after_first_piece="continue",
        hold_out_seconds=None,
    )
    assert_type(policy, FallbackPrimitive[Answer, Score])
    of_async = FallbackPrimitive(rate_async, [rate], fallback_on=KeyError, hold_out_seconds=5)
    assert_type(of_async, FallbackPrimitive[Answer, Score])
    of_sync = FallbackPrimitive(rate, [rate], fallback_if_result=lambda score: score == Score())
    assert_type(of_sync, FallbackPrimitive[Answer, Score])


def explicit_sequences() -> None:
    assert_type(SequentialPrimitive([Ask(), rate]), SequentialPrimitive[Any, Any])
    workflow: SequentialPrimitive[Question, Report] = SequentialPrimitive([Ask(), rate, Tell()])
    assert_type(workflow.run(Question()), Report)


def explicit_sagas() -> None:
    assert_type(CompensationPrimitive([(Ask(), rate), rate]), CompensationPrimitive[Any, Any])
    saga: CompensationPrimitive[Question, Score] = CompensationPrimitive([(Ask(), None), rate])
    assert_type(saga.run(Question()), Score)
    assert_type(saga >> Tell(), SequentialPrimitive[Question, Report])
    assert_type(uncompensated(ValueError()), tuple[Uncompensated, ...])


def explicit_fan_outs() -> None:
    listed = ParallelPrimitive([Rate(), Rate()])
    assert_type(listed, ParallelPrimitive[Answer, tuple[Score, ...]])
    mapped = ParallelPrimitive({"a": Rate(), "b": Rate()})
    assert_type(mapped, ParallelPrimitive[Answer, dict[str, Score]])
    collected = ParallelPrimitive([Rate(), Rate()], on_error="collect", max_concurrency=1)
    assert_type(collected, ParallelPrimitive[Answer, tuple[Score | Exception, ...]])
    both = ParallelPrimitive({"a": Rate(), "b": Rate()}, on_error="collect")
    assert_type(both, ParallelPrimitive[Answer, dict[str, Score | Exception]])


def branches_of_several_types() -> None:
    assert_type(ParallelPrimitive([Ask(), str_of]), ParallelPrimitive[Any, Any])
    assert_type(ParallelPrimitive({"a": Ask(), "b": str_of}), ParallelPrimitive[Any, Any])
    stated: ParallelPrimitive[Question, tuple[Any, ...]] = ParallelPrimitive([Ask(), str_of])
    assert_type(stated.run(Question()), tuple[Any, ...])


class TakesSequence(WorkflowPrimitive[Sequence[object], int]):
    async def execute(self, input_data: Sequence[object], context: WorkflowContext) -> int:
        return len(input_data)


class GivesList(WorkflowPrimitive[str, list[str]]):
    async def execute(self, input_data: str, context: WorkflowContext) -> list[str]:
        return input_data.split()


class TakesObject(WorkflowPrimitive[object, int]):
    async def execute(self, input_data: object, context: WorkflowContext) -> int:
        return id(input_data)


def a_step_takes_what_is_narrower_than_it_asks_for() -> None:
    assert_type(GivesList() >> TakesSequence(), SequentialPrimitive[str, int])
    narrower: WorkflowPrimitive[list[str], object] = TakesSequence()
    del narrower


def branches_meet_in_the_narrower_input() -> None:
    assert_type(GivesList() | TakesObject(), ParallelPrimitive[str, tuple[list[str], int]])
    assert_type(TakesObject() | GivesList(), ParallelPrimitive[str, tuple[int, list[str]]])
    assert_type(
        GivesList() | TakesObject() | TakesObject(),
        ParallelPrimitive[str, tuple[list[str], int, int]],
    )


def built_in_functions() -> None:
    assert_type(GivesList() >> len, SequentialPrimitive[str, int])
    assert_type(str.strip >> GivesList(), SequentialPrimitive[str, list[str]])
    assert_type(GivesList() >> len >> str, SequentialPrimitive[str, str])


def a_clock_fits_a_context() -> None:
    WorkflowContext(clock=SystemClock())
    WorkflowContext(clock=VirtualClock())


def a_mock_fits_anywhere() -> None:
    assert_type(Ask() >> MockPrimitive(return_value=1), SequentialPrimitive[Question, Any])
    assert_type(MockPrimitive() >> Tell(), SequentialPrimitive[Any, Report])


def a_step_that_gives_a_function_of_its_own() -> None:
    def doubler(answer: Answer) -> Awaitable[Score]:
        return rate_async(answer)

    assert_type(Ask() >> doubler, SequentialPrimitive[Question, Score])
