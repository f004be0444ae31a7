"""Conditionals and routers."""

from __future__ import annotations

from typing import Any

import pytest

from tta_llm import ConditionalPrimitive, RouterPrimitive, WorkflowContext, step
from tta_llm.errors import CompositionError, UnknownRouteError
from tta_llm.testing import MockPrimitive

LONG, SHORT = MockPrimitive(return_value="long"), MockPrimitive(return_value="short")


async def is_long(data: str) -> bool:
    return len(data) > 3


class Kind:
    async def __call__(self, data: str, context: WorkflowContext) -> bool:
        return len(data) > 3


CONDITIONS: dict[str, Any] = {
    "sync": lambda data: len(data) > 3,
    "sync with context": lambda data, context: len(data) > 3,
    "async": is_long,
    "async object": Kind(),
    "lambda that gives a coroutine": lambda data: is_long(data),  # noqa: PLW0108  # on purpose
    "merely true": lambda data: data[3:],
}


@pytest.mark.parametrize("kind", CONDITIONS)
async def test_a_condition_chooses(kind: str) -> None:
    workflow = ConditionalPrimitive(CONDITIONS[kind], LONG, SHORT)
    assert await workflow.execute("abcd", WorkflowContext()) == "long"
    assert await workflow.execute("a", WorkflowContext()) == "short"


async def test_only_the_choice_runs() -> None:
    then, other = MockPrimitive(return_value=1), MockPrimitive(return_value=2)
    await ConditionalPrimitive(lambda data: True, then, other).execute("x", WorkflowContext())
    assert (then.call_count, other.call_count) == (1, 0)


async def test_without_an_else_the_input_passes_through() -> None:
    data = {"text": "x"}
    workflow = ConditionalPrimitive(lambda data: False, LONG)
    assert await workflow.execute(data, WorkflowContext()) is data


async def test_the_condition_sees_the_context() -> None:
    workflow = ConditionalPrimitive(
        condition=lambda data, context: context.data.get("premium"),
        then_primitive=LONG,
        else_primitive=SHORT,
    )
    assert await workflow.execute("x", WorkflowContext(data={"premium": True})) == "long"
    assert await workflow.execute("x", WorkflowContext()) == "short"


@pytest.mark.parametrize(("holds", "place"), [(True, "then 'bad'"), (False, "else 'bad'")])
async def test_an_error_tells_which_choice_it_was(holds: bool, place: str) -> None:
    bad = MockPrimitive(raises=LookupError("x"), name="bad")
    workflow = ConditionalPrimitive(lambda data: holds, bad, bad)
    with pytest.raises(LookupError) as told:
        await workflow.execute("x", WorkflowContext())
    assert told.value.__notes__ == [f"in {place}"]


async def test_an_error_of_the_condition_is_raised_as_it_is() -> None:
    workflow = ConditionalPrimitive(lambda data: data["missing"], LONG, SHORT)
    with pytest.raises(KeyError, match="missing"):
        await workflow.execute({}, WorkflowContext())


def test_a_condition_that_can_not_be_called_is_refused() -> None:
    with pytest.raises(CompositionError, match="a bool is not a step"):
        ConditionalPrimitive(True, LONG, SHORT)  # type: ignore[call-overload]


# ------------------------------------------------------------------------------------------- router


ROUTES = {
    "fast": MockPrimitive(return_value="a quick answer"),
    "quality": MockPrimitive(return_value="a good answer"),
}


async def pick_async(data: str) -> str:
    return "quality"


@pytest.mark.parametrize(
    "router_fn",
    [
        lambda data: "quality",
        lambda data, ctx: "quality",
        pick_async,
        lambda data: pick_async(data),  # noqa: PLW0108  # on purpose
    ],
)
async def test_a_router_takes_the_route_whose_name_it_is_given(router_fn: Any) -> None:
    workflow = RouterPrimitive(ROUTES, router_fn)
    assert await workflow.execute("x", WorkflowContext()) == "a good answer"


async def test_functions_are_routes() -> None:
    workflow: RouterPrimitive[str, Any] = RouterPrimitive(
        {"upper": str.upper, "length": len}, router_fn=lambda data: "length"
    )
    assert await workflow.execute("abc", WorkflowContext()) == 3


async def test_an_unknown_route_takes_the_default() -> None:
    workflow = RouterPrimitive(ROUTES, lambda data: "cheap", default="fast")
    assert await workflow.execute("x", WorkflowContext()) == "a quick answer"


@pytest.mark.parametrize("route", ["cheap", None, 3, ["unhashable"]])
async def test_an_unknown_route_without_default_names_the_routes_there_are(route: Any) -> None:
    workflow = RouterPrimitive(ROUTES, lambda data: route)
    with pytest.raises(UnknownRouteError) as told:
        await workflow.execute("x", WorkflowContext())
    assert f"there is no route {route!r}; the routes are 'fast', 'quality'" in str(told.value)
    assert told.value.routes == ("fast", "quality")
    assert isinstance(told.value, LookupError)


async def test_an_error_tells_which_route_it_was() -> None:
    workflow = RouterPrimitive({"a": MockPrimitive(raises=KeyError("x"))}, lambda data: "a")
    with pytest.raises(KeyError) as told:
        await workflow.execute("x", WorkflowContext())
    assert told.value.__notes__ == ["in route 'a'"]


def test_a_default_that_is_no_route_is_refused_when_it_is_made() -> None:
    with pytest.raises(
        CompositionError, match="'best' is not a route; the routes are 'fast', 'qua"
    ):
        RouterPrimitive(ROUTES, lambda data: "fast", default="best")


def test_a_router_without_routes_is_refused() -> None:
    with pytest.raises(CompositionError, match="at least one route"):
        RouterPrimitive({}, lambda data: "fast")


def test_a_route_that_is_no_step_is_refused() -> None:
    with pytest.raises(CompositionError, match="a str is not a step"):
        RouterPrimitive({"fast": "gpt"}, lambda data: "fast")  # type: ignore[arg-type]


def test_changing_the_mapping_afterwards_changes_no_router() -> None:
    routes = dict(ROUTES)
    workflow = RouterPrimitive(routes, lambda data: "fast")
    routes.clear()
    assert workflow.run("x") == "a quick answer"


# -------------------------------------------------------------------------------------------- joins


def gives_number(text: str) -> int:
    return len(text)


def takes_number(number: int) -> str:
    return str(number)


def takes_text(text: str) -> str:
    return text


@pytest.mark.parametrize(
    "choice",
    [
        ConditionalPrimitive(lambda data: True, takes_text, takes_text),
        RouterPrimitive({"a": takes_text}, lambda data: "a"),
    ],
)
def test_a_wrong_join_to_a_choice_fails_when_composed(choice: Any) -> None:
    with pytest.raises(CompositionError, match="cannot join 'gives_number'"):
        step(gives_number) >> choice
    with pytest.raises(CompositionError, match="cannot join"):
        choice >> takes_number


def test_choices_that_differ_are_not_judged() -> None:
    mixed: Any = ConditionalPrimitive(lambda data: True, takes_text, gives_number)
    assert (mixed >> takes_number).run("abc") == "abc"
