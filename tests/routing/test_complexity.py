"""Routing by how difficult a prompt is, within what is possible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.observability.recorder import Spans
from tests.routing.prompts import by_number
from tta_llm import Budget, WorkflowContext, WorkflowPrimitive
from tta_llm.core import RouterPrimitive, SequentialPrimitive
from tta_llm.errors import CannotServeError, CompositionError, ServerError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    DocumentPart,
    ImagePart,
    TextPart,
    ToolDefinition,
    collect,
    user,
)
from tta_llm.observability import names
from tta_llm.providers import ModelInfo, Price
from tta_llm.recovery import FallbackPrimitive, RetryPrimitive, health
from tta_llm.routing import (
    DEFAULT_THRESHOLDS,
    Calibration,
    ComplexityRouter,
    Outcome,
    PromptComplexity,
    RouteChoice,
    Score,
    Scorer,
    calibrate,
)
from tta_llm.testing import FakeChatModel, MockPrimitive, VirtualClock

TIERS = ("fast", "balanced", "quality")
Router = ComplexityRouter[Any, ChatResponse]


def model(name: str, **more: Any) -> FakeChatModel:
    return FakeChatModel(f"from {name}", name=name, model=name, **more)


def router(thresholds: Any = (0.3, 0.6), **models: Any) -> Router:
    routes = {tier: models.get(tier) or model(tier) for tier in TIERS}
    return ComplexityRouter(routes, by_number, thresholds=thresholds)


def lacking(*what: str) -> ModelInfo:
    return ModelInfo(lacks=frozenset(what))


# ---------------------------------------------------------------------------------- by the score


@pytest.mark.parametrize(
    ("score", "route"),
    [
        ("0", "fast"),
        ("0.29", "fast"),
        ("0.3", "balanced"),
        ("0.59", "balanced"),
        ("0.6", "quality"),
        ("1", "quality"),
    ],
)
async def test_a_harder_prompt_takes_a_dearer_route(score: str, route: str) -> None:
    answer = await router().execute(f"{score} proof", WorkflowContext())
    assert answer.text == f"from {route}"
    assert router().explain(score).route == route


@given(
    scores=st.lists(st.floats(0, 1), min_size=2), cuts=st.tuples(st.floats(0, 1), st.floats(0, 1))
)
def test_no_harder_prompt_takes_a_cheaper_route(scores: list[float], cuts: Any) -> None:
    made = router(sorted(cuts))
    places = [TIERS.index(made.explain(f"{score!r}").route) for score in sorted(scores)]
    assert places == sorted(places)


async def test_a_stream_is_the_routes_own() -> None:
    quick = model("fast", word_delay=1)
    context = WorkflowContext(clock=VirtualClock(auto_advance=True))
    events = [event async for event in router(fast=quick).stream("0 Hi", context)]
    assert len(events) == 4  # two words, usage, end
    assert (await collect(router().stream("0.9", WorkflowContext()))).text == "from quality"


async def test_it_is_a_router_over_any_steps() -> None:
    flaky = FakeChatModel([ServerError("x"), "at last"])
    routes: dict[str, Any] = {
        "fast": RetryPrimitive(flaky, wait_seconds=0.001),
        "quality": (lambda asked: f"{asked}!") >> model("quality"),
    }
    made: Any = ComplexityRouter(routes, by_number, thresholds=[0.5])
    assert isinstance(made, RouterPrimitive)
    assert (await made.execute("0", WorkflowContext())).text == "at last"
    assert (await made.execute("1", WorkflowContext())).text == "from quality"
    assert [label for label, _ in made.children()] == ["fast", "quality"]
    assert isinstance(made.routes["quality"], SequentialPrimitive)


async def test_an_error_tells_its_route() -> None:
    def broken() -> FakeChatModel:
        return FakeChatModel(ServerError("x"), name="fast")

    with pytest.raises(ServerError) as told:
        await router(fast=broken()).execute("0", WorkflowContext())
    assert told.value.__notes__ == ["in route 'fast'"]
    with pytest.raises(ServerError) as told:
        await collect(router(fast=broken()).stream("0", WorkflowContext()))
    assert told.value.__notes__ == ["in route 'fast'"]


# ------------------------------------------------------------------------------------ hard facts

IMAGE = user([TextPart("0 What is it?"), ImagePart(url="https://example.org/cat.png")])
PDF = user([TextPart("0 Sum it up."), DocumentPart(b"%PDF", "application/pdf")])


class City(BaseModel):
    name: str


LACKING: dict[str, tuple[Any, str]] = {
    "images": ([IMAGE], "fast takes no images"),
    "documents": ([PDF], "fast takes no documents"),
    "tools": (
        ChatRequest("0 Hi", tools=[ToolDefinition("t", "", {"type": "object"})]),
        "fast takes no tools",
    ),
    "response_format": (
        ChatRequest("0 Hi", response_format=City),
        "fast takes no response_format",
    ),
}


@pytest.mark.parametrize("what", LACKING)
def test_a_route_that_lacks_what_is_asked_is_never_taken(what: str) -> None:
    asked, told = LACKING[what]
    choice = router(fast=model("fast", info=lacking(what))).explain(asked)
    assert (choice.route, choice.aimed) == ("balanced", "fast")
    assert choice.impossible == {"fast": told}
    assert router(fast=model("fast", info=lacking(what))).explain("0 Hi").route == "fast"


def test_what_a_vendor_does_not_take_counts_as_well() -> None:
    class NoSeeds(FakeChatModel):
        options = FakeChatModel.options - {"seed"}

    choice = router(fast=NoSeeds(name="fast")).explain(ChatRequest("0 Hi", seed=7))
    assert choice.impossible == {"fast": "fast takes no seed"}


LONG = "0 " + "word " * 4000
SMALL = ModelInfo(context_window=4000, max_output_tokens=1000)


def test_a_window_must_hold_input_and_answer() -> None:
    made = router(fast=model("fast", info=SMALL), balanced=model("balanced", info=SMALL))
    assert made.explain(LONG).route == "quality"
    assert "holds 4,000 tokens, and this call needs about" in made.explain(LONG).impossible["fast"]
    almost = "0 " + "word " * 2600
    assert made.explain(almost).route == "fast"
    assert made.explain(ChatRequest(almost, max_tokens=900)).route == "quality"


def test_how_large_a_file_is_says_little_of_its_tokens() -> None:
    window = ModelInfo(context_window=200_000)
    made = router(fast=model("fast", info=window))
    scan = user([TextPart("0"), DocumentPart(b"x" * 5_000_000, "application/pdf")])
    pictures = [user([TextPart("0"), *[ImagePart(url="https://example.org/a.png")] * 100])]
    assert made.explain([scan]).route == made.explain(pictures).route == "fast"
    text = user([TextPart("0"), DocumentPart(b"x" * 5_000_000, "text/plain")])
    assert made.explain([text]).route == "balanced"
    assert made.explain(pictures * 2).route == "balanced"


def test_an_answer_longer_than_a_model_writes_is_impossible() -> None:
    made = router(fast=model("fast", info=SMALL))
    choice = made.explain(ChatRequest("0 Hi", max_tokens=1001))
    assert choice.impossible == {
        "fast": "fast writes 1,000 tokens at most, and 1,001 are asked for"
    }


def test_of_a_composed_route_one_model_that_can_is_enough() -> None:
    blind, seeing = model("blind", info=lacking("images")), model("seeing")
    both = RetryPrimitive(FallbackPrimitive(blind, [seeing]))
    assert router(fast=both).explain([IMAGE]).route == "fast"
    none = FallbackPrimitive(blind, [model("worse", info=lacking("images"))])
    choice = router(fast=none).explain([IMAGE])
    assert choice.impossible == {"fast": "blind takes no images; worse takes no images"}


def test_a_route_without_a_model_is_possible() -> None:
    assert router(fast=MockPrimitive("canned")).explain([IMAGE]).route == "fast"


@pytest.mark.parametrize(
    ("possible", "score", "route"),
    [
        ({"balanced", "quality"}, "0", "balanced"),
        ({"quality"}, "0", "quality"),
        ({"fast", "quality"}, "0.5", "quality"),
        ({"fast"}, "0.5", "fast"),
        ({"fast", "balanced"}, "0.9", "balanced"),
        ({"fast"}, "0.9", "fast"),
    ],
)
def test_the_nearest_better_route_is_taken_or_else_the_nearest_cheaper(
    possible: set[str], score: str, route: str
) -> None:
    blind = {tier: model(tier, info=lacking("seed")) for tier in TIERS if tier not in possible}
    assert router(**blind).explain(ChatRequest(score, seed=1)).route == route


@given(blind=st.sets(st.sampled_from(TIERS)), score=st.floats(0, 1))
def test_an_impossible_route_is_never_chosen(blind: set[str], score: float) -> None:
    made = router(**{tier: model(tier, info=lacking("seed")) for tier in blind})
    asked = ChatRequest(f"{score!r}", seed=1)
    if blind == set(TIERS):
        with pytest.raises(CannotServeError):
            made.explain(asked)
    else:
        assert made.explain(asked).route not in blind


async def test_when_none_is_possible_the_error_says_why_for_each() -> None:
    blind = {tier: model(tier, info=lacking("images")) for tier in TIERS}
    with pytest.raises(CannotServeError) as told:
        await router(**blind).execute([IMAGE], WorkflowContext())
    for tier in TIERS:
        assert f"{tier!r}: {tier} takes no images" in str(told.value)
    spare = FallbackPrimitive(router(**blind), [model("spare")])
    answer = await spare.execute([IMAGE], WorkflowContext())
    assert answer.text == "from spare"
    assert answer.failed_attempts[0].reason.startswith("CannotServeError: no route")


# ---------------------------------------------------------------------------- budget and deadline

PRICES = {"fast": Price(1, 1), "balanced": Price(10, 10), "quality": Price(100, 100)}


def priced() -> Router:
    return router(**{tier: model(tier, price=PRICES[tier], max_tokens=1000) for tier in TIERS})


@pytest.mark.parametrize(
    ("dollars", "route"), [(1, "quality"), (0.05, "balanced"), (0.005, "fast")]
)
async def test_what_is_left_of_the_budget_must_cover_the_worst_case(
    dollars: float, route: str
) -> None:
    context = WorkflowContext(budget=Budget(dollars=dollars))
    assert (await priced().execute("0.9 proof", context)).text == f"from {route}"


def test_what_others_reserved_is_not_there() -> None:
    budget = Budget(dollars=0.2)
    context = WorkflowContext(budget=budget)
    assert priced().explain("0.9", context).route == "quality"
    with budget.reserve(dollars=0.15, tokens=1):
        choice = priced().explain("0.9", context)
    assert choice.route == "balanced"
    assert choice.impossible["quality"].startswith("quality is too dear: this call may take 0.10")
    assert budget.reserved.dollars == 0


def test_when_none_can_be_afforded_nothing_is_called() -> None:
    made = priced()
    context = WorkflowContext(budget=Budget(dollars=0.000001))
    with pytest.raises(CannotServeError, match="'fast': fast is too dear"):
        made.run("0.9", context)


def test_tokens_calls_and_unknown_prices_count_too() -> None:
    thrifty = router(quality=model("quality", max_tokens=5000))
    assert thrifty.explain("0.9", WorkflowContext(budget=Budget(tokens=4500))).route == "balanced"
    assert thrifty.explain("0.9", WorkflowContext(budget=Budget(calls=1))).route == "quality"
    partly = router(balanced=model("balanced", price=Price(1, 1)))
    assert partly.explain("0.9", WorkflowContext(budget=Budget(dollars=1))).route == "balanced"
    lenient = Budget(dollars=1, unknown_price="allow")
    assert partly.explain("0.9", WorkflowContext(budget=lenient)).route == "quality"


def test_an_input_that_passes_each_bound_is_too_long_within_a_budget() -> None:
    crowded = ModelInfo(context_window=30_000)
    short_words = "0 " + "a " * 50_000
    openai = model("fast", info=crowded, provider="openai")
    choice = router(fast=openai).explain(short_words, WorkflowContext(budget=Budget(tokens=10**7)))
    assert "fast takes less: the input has" in choice.impossible["fast"]


async def test_a_route_that_was_slower_of_late_than_there_is_time_is_left_out() -> None:
    clock = VirtualClock(auto_advance=True)
    made = router(quality=model("quality", delay=8))
    await made.execute("0.9", WorkflowContext(clock=clock))

    def hurried(seconds: float) -> RouteChoice:
        return made.explain("0.9", WorkflowContext(clock=clock, timeout_seconds=seconds))

    assert hurried(9).route == "quality"
    assert hurried(7).impossible == {"quality": "it takes 8 s of late, and 7 s are left"}
    assert (hurried(7).route, hurried(0.1).route) == ("balanced", "balanced")
    await clock.advance(60)
    assert hurried(7).route == "quality", "that was long ago"


# ------------------------------------------------------------------------------ what it tells


def test_a_choice_reads_as_a_sentence() -> None:
    choice = router(fast=model("fast", info=lacking("seed"))).explain(ChatRequest("0.2", seed=1))
    assert str(choice) == (
        "'balanced': difficulty 0.20 (it says 0.2), which asks for 'fast'; but fast takes no seed"
    )
    assert str(router().explain("0.2")) == "'fast': difficulty 0.20 (it says 0.2)"
    assert str(RouteChoice("a", "a", Score(0.5), {})) == "'a': difficulty 0.50 (no reasons given)"


async def test_the_span_tells_score_reasons_and_choice(spans: Spans) -> None:
    made = router(fast=model("fast", info=lacking("seed")))
    await made.execute(ChatRequest("0.2 a secret", seed=1), WorkflowContext())
    span = spans.one("ComplexityRouter")
    told = dict(span.attributes or {})
    assert told[names.CHOICE] == "balanced"
    assert told[names.AIMED] == "fast"
    assert told[names.SCORE] == 0.2
    assert told[names.REASONS] == ("it says 0.2",)
    assert told[names.IMPOSSIBLE] == ("fast: fast takes no seed",)
    (event,) = span.events
    assert (event.name, dict(event.attributes or {})) == (
        "tta.passed_over",
        {names.TARGET: "fast", "reason": "fast takes no seed"},
    )
    assert "secret" not in span.to_json()


async def test_what_stands_on_the_span_is_bounded(spans: Spans) -> None:
    def wordy(prompt: Any) -> Score:
        return Score(0.1, tuple("x" * 5000 for _ in range(100)))

    await ComplexityRouter({"a": model("a"), "b": model("b")}, wordy, thresholds=[0.5]).execute(
        "Hi", WorkflowContext()
    )
    told: Any = dict(spans.one("ComplexityRouter").attributes or {})[names.REASONS]
    assert [len(reason) for reason in told] == [120] * 8


def test_how_its_routes_do_is_seen() -> None:
    made = router()
    assert {(row.kind, row.name) for row in health(made)} == {("load", tier) for tier in TIERS}


# -------------------------------------------------------------------------------- a failing scorer


def failing(prompt: Any) -> Score:
    raise ZeroDivisionError("a bug")


def test_an_error_of_the_scorer_is_raised_unless_there_is_a_default() -> None:
    routes = {"a": model("a"), "b": model("b")}
    with pytest.raises(ZeroDivisionError):
        ComplexityRouter(routes, failing, thresholds=[0.5]).run("Hi")
    safe = ComplexityRouter(routes, failing, thresholds=[0.5], default="b")
    assert safe.run("Hi").text == "from b"
    choice = safe.explain("Hi")
    assert (choice.score, choice.aimed) == (None, "b")
    assert str(choice) == "'b': the scorer failed, and this is the default"
    assert names.SCORE not in choice.attributes()


# ----------------------------------------------------------------------------------- calibration


def test_without_a_scorer_it_goes_by_rules() -> None:
    made = calibrated()
    assert isinstance(made.scorer, PromptComplexity)
    assert made.thresholds == DEFAULT_THRESHOLDS
    assert calibrated(scorer=PromptComplexity()).thresholds == DEFAULT_THRESHOLDS
    two = ComplexityRouter({"fast": model("fast"), "quality": model("quality")})
    assert DEFAULT_THRESHOLDS[0] < two.thresholds[0] < DEFAULT_THRESHOLDS[1]
    assert two.explain("Hello!").route == "fast"
    stricter = calibrated(thresholds=[0.01, 0.02])
    assert stricter.thresholds == (0.01, 0.02)


@dataclass
class Fitted:
    thresholds: tuple[float, ...] = (0.1, 0.2)
    tiers: tuple[str, ...] = TIERS
    scorer: Scorer = by_number


def calibrated(**arguments: Any) -> Router:
    return ComplexityRouter({tier: model(tier) for tier in TIERS}, **arguments)


def test_a_calibration_brings_scorer_and_thresholds() -> None:
    made = calibrated(calibration=Fitted())
    assert (made.thresholds, made.scorer) == ((0.1, 0.2), by_number)
    assert made.explain("0.15").route == "balanced"


def test_a_calibration_from_a_file_is_one(tmp_path: Path) -> None:
    seen = [Outcome(f"{'so ' * number}and prove it") for number in range(40)]
    path = tmp_path / "router.json"
    calibrate(seen, strong_share=0.25, tiers=["fast", "quality"]).save(path)
    routes = {"fast": model("fast"), "quality": model("quality")}
    made = ComplexityRouter(routes, calibration=Calibration.load(path))
    dear = [made.explain(each.prompt).route for each in seen].count("quality")
    assert dear == pytest.approx(10, abs=3)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"scorer": by_number}, "a scorer of your own needs thresholds="),
        ({"scorer": by_number, "thresholds": [0.5]}, "3 routes need 2 thresholds, .* there are 1"),
        ({"scorer": by_number, "thresholds": [0.6, 0.3]}, r"\[0.6, 0.3\] do not"),
        ({"scorer": by_number, "thresholds": [-1, 0.3]}, "thresholds rise from 0 to 1"),
        ({"scorer": by_number, "thresholds": [0.3, 2]}, "thresholds rise from 0 to 1"),
        ({"scorer": by_number, "thresholds": [0.3, float("nan")]}, "thresholds rise"),
        ({"scorer": by_number, "thresholds": [0.3, 0.6], "default": "best"}, "not a route"),
        ({"calibration": Fitted(), "thresholds": [0.3, 0.6]}, "give it, or thresholds="),
        ({"calibration": Fitted(), "scorer": by_number}, "give it, or scorer="),
        (
            {"calibration": Fitted(tiers=("quality", "balanced", "fast"))},
            "for the routes quality, balanced, fast, in this order, and these are fast",
        ),
    ],
)
def test_what_does_not_fit_is_refused(arguments: Any, told: str) -> None:
    with pytest.raises(CompositionError, match=told):
        calibrated(**arguments)


def test_four_routes_have_no_thresholds_by_default() -> None:
    with pytest.raises(CompositionError, match=r"4 routes need 3 thresholds, .* there are 2"):
        ComplexityRouter({tier: model(tier) for tier in "abcd"})


def test_one_route_is_no_choice() -> None:
    with pytest.raises(CompositionError, match="two routes or more"):
        ComplexityRouter({"a": model("a")}, by_number, thresholds=[])


def test_any_input_of_a_model_can_be_routed() -> None:
    made: WorkflowPrimitive[Any, ChatResponse] = router()
    for asked in ("0 Hi", [user("0 Hi")], ChatRequest("0 Hi")):
        assert made.run(asked).text == "from fast"
