"""Functions and workflows as tools."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import threading
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from tta_llm import WorkflowContext, step
from tta_llm.agents.tools import Tool, as_tool, tool
from tta_llm.core import Budget
from tta_llm.errors import BudgetExceededError, CompositionError, DeadlineExceededError
from tta_llm.messages import ToolCall, ToolResult
from tta_llm.rag import Query
from tta_llm.testing import PrimitiveContract


class Colour(enum.Enum):
    RED = "red"


class Address(BaseModel):
    street: str
    number: int = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int


def asked(made: Tool, /, **arguments: Any) -> ToolResult:
    return made.run(ToolCall("call-1", made.name, arguments))


@tool
def greet(name: str, times: int = 1) -> str:
    """Greet a person.

    It is polite.

    Args:
        name: Whom to greet; may go on
            on a second line.
        times: How often.

    Returns:
        The greeting.
    """
    return f"Hello {name}! " * times


def test_the_model_sees_name_docstring_and_schema() -> None:
    assert (greet.name, greet.description) == ("greet", "Greet a person.\n\nIt is polite.")
    assert greet.definition.parameters == {
        "additionalProperties": False,
        "properties": {
            "name": {"description": "Whom to greet; may go on on a second line.", "type": "string"},
            "times": {"default": 1, "description": "How often.", "type": "integer"},
        },
        "required": ["name"],
        "type": "object",
    }
    assert not greet.definition.strict


def test_a_tool_is_still_the_plain_function() -> None:
    assert greet("Ada") == "Hello Ada! "


def test_a_call_gives_a_result_with_the_calls_id_and_coerces_as_pydantic_does() -> None:
    assert asked(greet, name="Ada", times="2") == ToolResult(
        "call-1", "Hello Ada! Hello Ada! ", name="greet"
    )


def test_every_kind_of_annotation_is_understood() -> None:
    @tool
    def order(  # noqa: PLR0917
        colour: Colour,
        address: Address,
        points: list[Point],
        size: Literal["s", "l"],
        count: Annotated[int, Field(ge=1, description="How many.")],
        note: str | None = None,
    ) -> Any:
        return [type(colour).__name__, type(address).__name__, type(points[0]).__name__, note]

    given = {"colour": "red", "address": {"street": "A"}, "points": [{"x": 1, "y": 2}]}
    result = asked(order, **given, size="s", count=1)
    assert result.content == '["Colour","Address","Point",null]'
    assert order.definition.parameters["properties"]["count"]["description"] == "How many."
    wrong = asked(order, **given, size="m", count=0)
    assert "- size: Input should be 's' or 'l'; given was \"m\"" in wrong.content
    assert "- count: Input should be greater than or equal to 1; given was 0" in wrong.content


def test_annotations_may_name_what_is_local() -> None:
    class Local(BaseModel):
        text: str

    @tool
    def plain(local: Local) -> str:
        return local.text

    @tool(name="other")
    def optional(local: Local) -> str:
        return local.text

    assert asked(plain, local={"text": "hi"}).content == "hi"
    assert asked(optional, local={"text": "hi"}).content == "hi"


def test_parameters_may_have_names_that_pydantic_has_itself() -> None:
    @tool
    def odd(copy: int, model_config: int, _hidden: int, schema: int, title: str) -> int:
        return copy + model_config + _hidden + schema

    assert asked(odd, copy=1, model_config=2, _hidden=3, schema=4, title="x").content == "10"
    assert set(odd.definition.parameters["properties"]) == {
        "copy", "model_config", "_hidden", "schema", "title",
    }  # fmt: skip


def test_a_tool_is_strict_where_every_provider_can_hold_to_it() -> None:
    @tool
    def plain(text: str, address: Point) -> str:
        return text

    @tool
    def limited(text: Annotated[str, Field(max_length=3)]) -> str:
        return text

    @tool
    def empty() -> str:
        return ""

    @tool
    def free(values: dict[str, int]) -> str:
        return ""

    assert plain.definition.strict
    assert plain.definition.parameters["$defs"]["Point"]["additionalProperties"] is False
    assert not limited.definition.strict
    assert empty.definition.strict
    assert empty.definition.parameters["properties"] == {}
    assert not free.definition.strict
    assert asked(free, values={"a": 1}).content == ""


def test_missing_wrong_and_unknown_arguments_are_told_so_that_a_model_can_mend_them() -> None:
    result = asked(greet, nam="Ada", times="many")
    assert result.is_error
    assert result.content == (
        "The arguments of greet are wrong; nothing was done:\n"
        "- name: it is missing\n"
        "- times: Input should be a valid integer, unable to parse string as an integer; "
        'given was "many"\n'
        "- nam: there is no such parameter; the parameters are: name, times"
    )


def test_ten_megabytes_of_wrong_arguments_give_a_short_error() -> None:
    result = asked(greet, name=["x" * 10_000_000], **{f"p{n}": n for n in range(1000)})
    assert result.is_error
    assert len(result.content) < 5_000
    assert "more" in result.content


def test_an_exception_is_told_by_class_and_message_without_keys() -> None:
    @tool
    def fail() -> str:
        raise LookupError("no order for sk-" + "x" * 20)

    result = asked(fail)
    assert result.is_error
    assert result.content == "LookupError: no order for [secret]"


def test_stop_iteration_in_a_thread_is_an_error_like_others() -> None:
    @tool
    def first() -> str:
        return next(iter(()))

    assert asked(first).content == "RuntimeError: StopIteration: "


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("half \ud800", "half ?"),
        (None, "null"),
        ({"a": Point(1, 2)}, '{"a":{"x":1,"y":2}}'),
        (Address(street="A"), '{"street":"A","number":1}'),
        (Colour.RED, '"red"'),
        (float("nan"), '"NaN"'),
    ],
)
def test_results_are_text_or_json(value: Any, text: str) -> None:
    @tool
    def give() -> Any:
        return value

    assert asked(give) == ToolResult("call-1", text, name="give")


def itself() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("value", [b"bytes", object(), itself()])
def test_results_that_cant_be_shown_are_errors(value: Any) -> None:
    @tool
    def give() -> Any:
        return value

    result = asked(give)
    assert result.is_error
    assert result.content.startswith("the tool gave")


def test_a_long_result_is_cut_and_says_so() -> None:
    @tool(max_result_chars=10)
    def give() -> str:
        return "x" * 10_000_000

    assert asked(give).content == (
        "xxxxxxxxxx\n[cut: 9,999,990 of 10,000,000 characters are left out]"
    )


def test_sync_functions_run_in_a_thread_unless_told_otherwise() -> None:
    @tool
    def apart() -> int:
        return threading.get_ident()

    @tool(thread=False)
    def here() -> int:
        return threading.get_ident()

    async def both() -> tuple[bool, bool]:
        call, context = ToolCall("1", "x", {}), WorkflowContext()
        mine = str(threading.get_ident())
        first = await apart.execute(call, context)
        second = await here.execute(call, context)
        return first.content == mine, second.content == mine

    assert asyncio.run(both()) == (False, True)


def test_async_functions_methods_and_context_work() -> None:
    class Shop:
        async def order(self, item: str, context: WorkflowContext) -> str:
            """Order an item."""
            return f"{item} for {context.data['who']}"

    made = tool(Shop().order)
    context = WorkflowContext(data={"who": "Ada"})
    assert made.run(ToolCall("1", "order", {"item": "tea"}), context).content == "tea for Ada"
    assert list(made.definition.parameters["properties"]) == ["item"]
    assert made.description == "Order an item."


def test_a_call_longer_than_its_time_is_an_error_that_the_model_reads() -> None:
    @tool(timeout_seconds=0.01)
    async def slow() -> str:
        await asyncio.sleep(30)
        return ""

    result = asked(slow)
    assert result.is_error
    assert result.content == (
        "slow took longer than its 0.01 s and was stopped; part of its work may have been done"
    )


def test_a_thread_is_waited_for_at_the_time_limit() -> None:
    ended = threading.Event()

    @tool(timeout_seconds=0.01)
    def slow() -> str:
        threading.Event().wait(0.1)
        ended.set()
        return ""

    assert asked(slow).is_error
    assert ended.is_set()


def test_the_deadline_of_the_request_passes_through() -> None:
    @tool
    async def slow() -> str:
        await asyncio.sleep(30)
        return ""

    with pytest.raises(DeadlineExceededError):
        slow.run(ToolCall("1", "slow", {}), WorkflowContext(timeout_seconds=0.01))


def test_a_time_limit_inside_the_tool_is_data() -> None:
    @tool
    def inner() -> str:
        raise DeadlineExceededError("an inner limit", deadline=1.0)

    assert asked(inner).content == "DeadlineExceededError: an inner limit"


def test_the_end_of_the_budget_passes_through_also_within_a_group() -> None:
    @tool
    def alone() -> str:
        raise BudgetExceededError("no money")

    @tool
    def grouped() -> str:
        raise ExceptionGroup("two", [ValueError(), BudgetExceededError("no money")])

    with pytest.raises(BudgetExceededError):
        asked(alone)
    with pytest.raises(ExceptionGroup):
        asked(grouped)


async def test_being_cancelled_passes_through() -> None:
    begun = asyncio.Event()

    @tool
    async def wait() -> str:
        begun.set()
        await asyncio.sleep(30)
        return ""

    work = asyncio.ensure_future(wait.execute(ToolCall("1", "wait", {}), WorkflowContext()))
    await begun.wait()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


def unannotated(text) -> str:  # type: ignore[no-untyped-def]
    return ""


def variadic(*texts: str) -> str:
    return ""


def keywords(**texts: str) -> str:
    return ""


def positional(text: str, /) -> str:
    return ""


def unresolvable(text: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    return ""


def unschemable(text: threading.Thread) -> str:
    return ""


def field_default(text: str = Field("x", max_length=3)) -> str:
    return ""


def yields(text: str) -> Iterator[str]:
    yield ""


class Shop:
    def order(self, item: str) -> str:
        return item


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (unannotated, "parameter 'text' of tool 'unannotated' has no annotation"),
        (variadic, "parameter '*texts' of tool 'variadic' stands for any number"),
        (keywords, "parameter '**texts' of tool 'keywords' stands for any number"),
        (positional, "can't be given by its name: remove the '/'"),
        (unresolvable, "can't be read (name 'Nowhere' is not defined)"),
        (unschemable, "tool 'unschemable' takes what no JSON schema can tell a model"),
        (field_default, "Annotated[type, Field(…)] = default"),
        (yields, "yields yields, but a tool gives one result"),
        (Shop.order, "as in tool(shop.order)"),
        (Shop, "a tool is made of a function"),
        (lambda: "", "'<lambda>' can't be the name of a tool"),
        (greet, "as_tool(step"),
    ],
)
def test_what_cant_be_a_tool_is_refused_when_it_is_made(function: Any, said: str) -> None:
    with pytest.raises(CompositionError) as caught:
        tool(function)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["", "ä", "a b", "x" * 65])
def test_names_that_providers_refuse_are_refused(name: str) -> None:
    with pytest.raises(CompositionError, match="can't be the name of a tool"):
        as_tool(step(lambda text: text), name=name, description="")


def test_confirmation_may_depend_on_the_arguments_and_a_failing_rule_says_yes() -> None:
    @tool(confirm=lambda arguments: arguments["amount"] > 10)
    def pay(amount: int) -> str:
        return ""

    assert [pay.must_confirm(each) for each in ({"amount": 11}, {"amount": 1}, {})] == [
        True,
        False,
        True,
    ]


def test_a_step_is_a_tool_that_shares_the_budget_and_the_ledger() -> None:
    seen: list[Any] = []

    @step
    def look(text: str, context: WorkflowContext) -> str:
        seen.append((context.budget, context.usage))
        return text

    made = as_tool(look, name="look", description="Look.")
    context = WorkflowContext(budget=Budget(calls=1))
    made.run(ToolCall("1", "look", {"input": "x"}), context)
    assert seen == [(context.budget, context.usage)]
    assert made.children() == [("", look)]


def test_a_step_that_takes_a_class_has_its_fields_for_parameters() -> None:
    @step
    def send(address: Address) -> str:
        return address.street

    @step
    def distance(point: Point) -> int:
        return point.x + point.y

    @step
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    sending = as_tool(send, name="send", description="")
    assert set(sending.definition.parameters["properties"]) == {"street", "number"}
    assert asked(sending, street="A").content == "A"
    assert "- town: there is no such parameter" in asked(sending, street="A", town="B").content
    assert asked(as_tool(distance, name="d", description=""), x=1, y=2).content == "3"
    assert asked(as_tool(total, name="t", description=""), input=[1, 2]).content == "3"


class TestLawsOfTools(PrimitiveContract):
    def primitive(self) -> Tool:
        @tool
        async def echo(text: str) -> str:
            await asyncio.sleep(0)
            return text

        return echo

    def input_data(self) -> ToolCall:
        return ToolCall("1", "echo", {"text": "hi"})


class TestLawsOfToolsInThreads(PrimitiveContract):
    def primitive(self) -> Tool:
        @tool
        def echo(text: str) -> str:
            return text

        return echo

    def input_data(self) -> ToolCall:
        return ToolCall("1", "echo", {"text": "hi"})


def test_a_step_whose_input_no_schema_can_tell_is_refused_by_name() -> None:
    @step
    def answer(query: Query) -> str:
        return query.text

    with pytest.raises(CompositionError, match="'ask'"):
        as_tool(answer, name="ask", description="Ask.")
