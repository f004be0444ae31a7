"""The assistant takes a route by difficulty and by what is left of the request's budget."""

from __future__ import annotations

import pytest

from tests.examples.loading import example
from tta_llm import Budget, WorkflowContext
from tta_llm.errors import TTAError

tiered = example("tiered_assistant")


def request(dollars: float) -> WorkflowContext:
    return WorkflowContext(data={"session_id": "s"}, budget=Budget(dollars=dollars))


async def test_the_route_goes_by_difficulty_within_one_conversation() -> None:
    async with tiered.workflow() as bot:
        taken = [(await bot.execute(each, request(0.05))).model for each in tiered.PROMPTS]
        assert taken == ["fast", "fast", "balanced", "quality"]
        turns = await bot.history("s")
    assert [turn.messages[0].text for turn in turns] == tiered.PROMPTS


async def test_a_route_that_can_not_be_paid_is_not_taken() -> None:
    async with tiered.workflow() as bot:
        context = request(0.005)
        response = await bot.execute(tiered.PROMPTS[-1], context)
        assert response.model == "balanced"
        assert 0 < context.usage.cost_usd <= 0.005


async def test_without_money_for_any_route_nothing_is_spent() -> None:
    async with tiered.workflow() as bot:
        context = request(0.0000001)
        with pytest.raises(TTAError):
            await bot.execute(tiered.PROMPTS[0], context)
        assert context.usage.calls == 0
