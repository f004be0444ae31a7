"""What must not join, wrap or call, as mypy and pyright see it.

Each marked line is an error for both: they complain about a `type: ignore` that hides none. Nothing
here is run.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from tta_llm import (
    ConditionalPrimitive,
    MapPrimitive,
    ParallelPrimitive,
    RouterPrimitive,
    SequentialPrimitive,
    WorkflowContext,
    WorkflowPrimitive,
    step,
)
from tta_llm.performance import CachePrimitive, SemanticCache
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, TimeoutPrimitive


class Question: ...


class Answer: ...


class Score: ...


class Ask(WorkflowPrimitive[Question, Answer]):
    async def execute(self, input_data: Question, context: WorkflowContext) -> Answer:
        return Answer()


class Rate(WorkflowPrimitive[Answer, Score]):
    async def execute(self, input_data: Answer, context: WorkflowContext) -> Score:
        return Score()


class GivesSequence(WorkflowPrimitive[str, Sequence[str]]):
    async def execute(self, input_data: str, context: WorkflowContext) -> Sequence[str]:
        return input_data.split()


class TakesList(WorkflowPrimitive[list[str], int]):
    async def execute(self, input_data: list[str], context: WorkflowContext) -> int:
        return len(input_data)


class TakesOptional(WorkflowPrimitive[str | None, str]):
    async def execute(self, input_data: str | None, context: WorkflowContext) -> str:
        return input_data or ""


class GivesOptional(WorkflowPrimitive[str, str | None]):
    async def execute(self, input_data: str, context: WorkflowContext) -> str | None:
        return input_data or None


def ask(question: Question) -> Answer:
    return Answer()


def rate(answer: Answer) -> Score:
    return Score()


async def rate_async(answer: Answer) -> Score:
    return Score()


def rate_in_context(answer: Answer, context: WorkflowContext) -> Score:
    return Score()


async def rate_async_in_context(answer: Answer, context: WorkflowContext) -> Score:
    return Score()


def rate_twice(answer: Answer, factor: int) -> Score:
    return Score()


def rate_thrice(answer: Answer, context: WorkflowContext, factor: int) -> Score:
    return Score()


@step
def rate_step(answer: Answer) -> Score:
    return Score()


def what_a_step_gives_is_what_the_next_one_takes() -> None:
    Rate() >> Ask()  # type: ignore[operator]
    Ask() >> Ask()  # type: ignore[operator]
    Ask() >> Rate() >> Rate()  # type: ignore[operator]
    Ask() >> (Rate() >> Ask())  # type: ignore[operator]
    Rate() >> rate  # type: ignore[operator]
    Rate() >> rate_async  # type: ignore[operator]
    Rate() >> rate_in_context  # type: ignore[operator]
    Rate() >> rate_async_in_context  # type: ignore[operator]
    Rate() >> rate_step  # type: ignore[operator]
    rate >> Rate()  # type: ignore[operator]
    rate_async >> Rate()  # type: ignore[operator]
    rate_in_context >> Rate()  # type: ignore[operator]
    rate_async_in_context >> Rate()  # type: ignore[operator]


def a_step_may_not_get_less_than_it_asks_for() -> None:
    GivesSequence() >> TakesList()  # type: ignore[operator]
    GivesOptional() >> GivesOptional()  # type: ignore[operator]
    assert_type(GivesOptional() >> TakesOptional(), SequentialPrimitive[str, str])


def branches_take_the_same() -> None:
    Ask() | Rate()  # type: ignore[operator]
    Ask() | rate  # type: ignore[operator]
    Ask() | rate_async  # type: ignore[operator]
    Ask() | rate_in_context  # type: ignore[operator]
    Ask() | rate_step  # type: ignore[operator]
    Ask() | Ask() | rate_async_in_context  # type: ignore[operator]
    rate | Ask()  # type: ignore[operator]
    Ask() | (Rate() | Rate())  # type: ignore[operator]


def a_fan_out_gives_a_tuple() -> None:
    (Rate() | Rate()) >> rate  # type: ignore[operator]
    (ask >> Rate().map())  # type: ignore[operator]


def what_cannot_be_a_step() -> None:
    Ask() >> 3  # type: ignore[operator]
    Ask() >> "rate"  # type: ignore[operator]
    Ask() >> None  # type: ignore[operator]
    Ask() >> rate_async(Answer())  # type: ignore[operator]
    Ask() >> rate_twice  # type: ignore[operator]
    Ask() >> rate_thrice  # type: ignore[operator]
    Ask() | 3  # type: ignore[operator]
    3 >> Ask()  # type: ignore[operator]


def wrappers_keep_what_is_inside() -> None:
    retried = RetryPrimitive(Ask())
    limited = TimeoutPrimitive(rate_async, 3)
    cached = CachePrimitive(rate_step, 3)
    Ask() >> retried  # type: ignore[operator]
    Rate() >> limited  # type: ignore[operator]
    Rate() >> cached  # type: ignore[operator]
    SemanticCache(rate_step, rate_step, threshold=1, ttl_seconds=3)  # type: ignore[arg-type]
    SemanticCache(Ask(), ask, ttl_seconds=3)  # type: ignore[call-overload]
    # mypy finds a fallback that takes nothing at all, and refuses to give it a question.
    FallbackPrimitive(Ask(), [Rate()]).run(Question())  # type: ignore[arg-type]
    FallbackPrimitive(ask, [Rate()])  # type: ignore[arg-type]
    FallbackPrimitive(Ask(), [Ask()], after_first_piece="again")  # type: ignore[call-overload]
    FallbackPrimitive(Ask(), [Ask()], fallback_on_finish=["lenght"])  # type: ignore[list-item]
    TimeoutPrimitive(ask, 3, fallback=Rate())  # type: ignore[arg-type]
    RouterPrimitive({"a": Ask(), "b": Rate()}, lambda data: "a")  # type: ignore[arg-type]
    ConditionalPrimitive(lambda data: True, Ask(), Rate()).run(Question())  # type: ignore[arg-type]


async def inputs_and_contexts_are_checked() -> None:
    await Ask().execute(Answer(), WorkflowContext())  # type: ignore[arg-type]
    await Ask().execute(Question(), None)  # type: ignore[arg-type]
    await Ask().execute(Question())  # type: ignore[call-arg]
    Ask().stream(Answer(), WorkflowContext())  # type: ignore[arg-type]
    Ask().stream(Question(), None)  # type: ignore[arg-type]
    Ask().run(Answer())  # type: ignore[arg-type]
    Ask().map().run(Question())  # type: ignore[arg-type]
    async for _ in Ask().batch([Answer()]):  # type: ignore[list-item]
        pass


def options_are_checked() -> None:
    MapPrimitive(Ask(), on_error="ignore")  # type: ignore[call-overload]
    ParallelPrimitive([Ask()], on_error="ignore")  # type: ignore[call-overload]
    RetryPrimitive(Ask(), max_retries="3")  # type: ignore[call-overload]


class Unfinished(WorkflowPrimitive[Question, Answer]): ...


class Misfit(WorkflowPrimitive[Question, Answer]):
    async def execute(self, input_data: Answer, context: WorkflowContext) -> Answer:  # type: ignore[override]
        return Answer()


def a_primitive_needs_execute() -> None:
    Unfinished()  # type: ignore[abstract]
