"""Arms of an experiment, by a stable hash."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.observability.recorder import Spans
from tta_llm import WorkflowContext
from tta_llm.errors import CompositionError
from tta_llm.messages import collect
from tta_llm.observability import names
from tta_llm.routing import Split
from tta_llm.testing import FakeChatModel, MockPrimitive

ARMS = {name: MockPrimitive(name) for name in ("control", "new")}


def split(**options: Any) -> Split[Any, Any]:
    return Split(ARMS, **({"key": "user_id"} | options))


def user(key: Any) -> WorkflowContext:
    return WorkflowContext(data={"user_id": key})


async def arms(made: Split[Any, Any], keys: Any) -> dict[Any, str]:
    return {key: await made.arm_of("x", user(key)) for key in keys}


async def test_a_user_stays_in_an_arm() -> None:
    made = split()
    for key in range(50):
        arm = await made.arm_of("x", user(key))
        assert {await made.execute(text, user(key)) for text in ("a", "b")} == {arm}


EXPECTED = ["control", "control", "control", "new", "new"]


def test_the_arm_is_the_same_in_each_process() -> None:
    """These were drawn once; another result would move every user of a running experiment."""
    keys = ["ada", "grace", "alan", 7, uuid.UUID(int=7)]
    assert [*asyncio.run(arms(split(salt="s"), keys)).values()] == EXPECTED
    script = (
        "import asyncio\n"
        "from tests.routing.test_split import arms, split\n"
        "print(*asyncio.run(arms(split(salt='s'), ['ada', 'grace', 'alan', 7])).values())"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == EXPECTED[:4]


async def test_arms_get_their_share() -> None:
    found = await arms(split(weights={"control": 3, "new": 1}), range(4000))
    share = Counter(found.values())["new"] / 4000
    assert share == pytest.approx(0.25, abs=0.03)  # some four standard deviations


async def test_another_salt_draws_anew() -> None:
    one, other = (
        await arms(split(salt="one"), range(400)),
        await arms(split(salt="two"), range(400)),
    )
    same = sum(one[key] == other[key] for key in one)
    assert 140 < same < 260


@given(
    before=st.floats(0, 1),
    grown=st.floats(0, 10),
    keys=st.lists(st.text(), min_size=1, max_size=30, unique=True),
)
async def test_keys_move_only_into_an_arm_that_grows(
    before: float, grown: float, keys: list[str]
) -> None:
    three = {name: MockPrimitive(name) for name in "abc"}
    small = Split(three, "user_id", weights={"a": before, "b": 1, "c": 2})
    large = Split(three, "user_id", weights={"a": before + grown, "b": 1, "c": 2})
    then, now = await arms(small, keys), await arms(large, keys)
    assert all(now[key] in (then[key], "a") for key in keys)


async def test_a_weight_of_0_gets_nothing() -> None:
    found = await arms(split(weights={"control": 1, "new": 0}), range(200))
    assert set(found.values()) == {"control"}


async def test_the_key_may_be_a_function() -> None:
    async def tenant(asked: str, context: WorkflowContext) -> str:
        return f"{asked.partition(':')[0]} {context.data['region']}"

    by_input = split(key=lambda asked: asked[:1])
    both = split(key=tenant)
    context = WorkflowContext(data={"region": "eu"})
    assert await by_input.arm_of("abc", context) == await by_input.arm_of("axy", context)
    assert await both.arm_of("t1:x", context) == await both.arm_of("t1:y", context)


async def test_a_request_without_a_key_goes_to_the_default_or_is_refused() -> None:
    assert await split(default="control").execute("x", WorkflowContext()) == "control"
    with pytest.raises(LookupError, match=r"'Split' can't choose an arm, .*no 'user_id' in its"):
        await split().execute("x", WorkflowContext())
    with pytest.raises(LookupError, match="the request has no key"):
        await split(key=lambda asked: None).arm_of("x", WorkflowContext())


@pytest.mark.parametrize("key", [object(), 1.5, True, b"x", ["x"]])
async def test_a_key_that_may_differ_elsewhere_is_refused(key: Any) -> None:
    with pytest.raises(TypeError, match="a key is a text, a whole number or a UUID"):
        await split().execute("x", user(key))


async def test_the_arm_stands_on_the_span(spans: Spans) -> None:
    made = split()
    await made.execute("x", user("ada"))
    told = dict(spans.one("Split").attributes or {})
    assert told[names.CHOICE] == await made.arm_of("x", user("ada"))


async def test_an_arm_is_streamed() -> None:
    made: Any = Split({"a": FakeChatModel("one two")}, "user_id")
    assert (await collect(made.stream("Hi", user(1)))).text == "one two"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weights": {"control": 1}}, "weights are for 'control', 'new', each of them"),
        ({"weights": {"control": 1, "new": 1, "x": 1}}, "and not for 'control', 'new', 'x'"),
        ({"weights": {"control": -1, "new": 1}}, "the weight of 'control' is a number from 0"),
        ({"weights": {"control": float("inf"), "new": 1}}, "not inf"),
        ({"weights": {"control": 0, "new": 0}}, "all weights are 0"),
        ({"default": "old"}, "'old' is not a route"),
        ({"key": 3}, "a int is not a step"),
    ],
)
def test_what_makes_no_split_is_refused(options: Any, told: str) -> None:
    with pytest.raises(CompositionError, match=told):
        split(**options)


def test_an_experiment_needs_an_arm() -> None:
    with pytest.raises(CompositionError, match="at least one route"):
        Split({}, "user_id")
