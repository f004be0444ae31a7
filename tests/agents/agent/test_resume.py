"""A run that stopped is taken up, and nothing that was done is done again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.agents.agent.helping import results
from tta_llm import WorkflowContext
from tta_llm.agents import Agent, AgentLimits, tool
from tta_llm.errors import AgentLimitError, AgentRunError
from tta_llm.messages import (
    ChatRequest,
    ChatResponse,
    Message,
    ToolCall,
    Usage,
    assistant,
    collect,
)
from tta_llm.performance import CacheStore, MemoryStore, RedisStore, SQLiteStore
from tta_llm.testing import FakeChatModel, cancel_at_every_await


def a_step(request: ChatRequest) -> Message | str:
    if not results(request):
        return assistant(
            [ToolCall("n", "note", {"text": "a"}), ToolCall("p", "pay", {"amount": 5})]
        )
    return "Done: " + ", ".join(result.content for result in results(request))


class Shop:
    """An agent, its model, and what its tools did."""

    def __init__(self, store: CacheStore | None, answers: Any = None, **options: Any) -> None:
        self.done: list[str] = []
        self.hangs = False
        self.began = asyncio.Event()

        @tool
        def note(text: str) -> str:
            """Note something."""
            self.done.append(f"noted {text}")
            return f"noted {text}"

        @tool(confirm=True)
        async def pay(amount: int) -> str:
            """Pay."""
            self.done.append(f"paid {amount}")
            if self.hangs:
                self.began.set()
                await asyncio.Event().wait()
            return f"paid {amount}"

        self.model = FakeChatModel(answers or a_step)
        options.setdefault("lease_seconds", 0.3)
        tools = options.pop("tools", [note, pay])
        self.agent = Agent(self.model, tools, checkpoints=store, **options)


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "redis":
        return RedisStore(request.getfixturevalue("redis_server").url, timeout_seconds=10)
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "runs.db")


async def test_a_confirmed_run_goes_on_where_it_stopped(store: CacheStore) -> None:
    first = Shop(store)
    stopped = await first.agent.execute("Pay", WorkflowContext())
    assert stopped.stopped_by == "confirmation" and first.done == ["noted a"]
    assert stopped.run_id is not None
    later = Shop(store)
    response = await later.agent.resume(stopped.run_id, WorkflowContext(), decisions={"p": True})
    assert response.text == "Done: noted a, paid 5" and later.done == ["paid 5"]
    assert later.model.call_count == 1
    assert (response.steps, response.tool_calls_made) == (2, 2)
    again = Shop(store)
    assert await again.agent.resume(stopped.run_id, WorkflowContext()) == response
    assert not again.done and not again.model.call_count
    await store.aclose()


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (False, "a person said no"),
        ("ask me tomorrow", "ask me tomorrow"),
        ({"amount": 2}, "paid 2"),
    ],
)
async def test_a_decision_may_be_a_no_or_other_arguments(word: Any, text: str) -> None:
    shop = Shop(MemoryStore())
    run_id = (await shop.agent.execute("Pay", WorkflowContext())).run_id or ""
    response = await shop.agent.resume(run_id, WorkflowContext(), decisions={"p": word})
    assert text in response.text


async def test_without_a_decision_it_waits_on(store: CacheStore) -> None:
    shop = Shop(store)
    run_id = (await shop.agent.execute("Pay", WorkflowContext())).run_id or ""
    response = await shop.agent.resume(run_id, WorkflowContext())
    assert response.stopped_by == "confirmation" and shop.model.call_count == 1
    await store.aclose()


async def test_a_yes_counts_for_one_step_whatever_ids_come_later() -> None:
    def again(request: ChatRequest) -> Message:
        return assistant([ToolCall("p", "pay", {"amount": len(request.messages)})])

    shop = Shop(MemoryStore(), again)
    run_id = (await shop.agent.execute("Pay", WorkflowContext())).run_id or ""
    response = await shop.agent.resume(run_id, WorkflowContext(), decisions={"p": True})
    assert response.stopped_by == "confirmation" and shop.done == ["paid 1"]


async def test_wherever_a_run_is_cancelled_it_goes_on_and_nothing_is_done_twice(
    store: CacheStore,
) -> None:
    shops: list[Shop] = []
    seen: set[str] = set()

    def work() -> Any:
        shops.append(Shop(store, confirm=lambda *_: True))
        data = {"run_id": str(len(shops))}
        return shops[-1].agent.execute("Pay", WorkflowContext(data=data))

    async def look() -> None:
        shop = shops[-1]
        try:
            response = await shop.agent.resume(str(len(shops)), WorkflowContext())
        except AgentRunError:  # it was cancelled before it was written down
            assert not shop.done
            return
        seen.add(response.text)
        assert sorted(shop.done) in (["noted a", "paid 5"], ["noted a"], ["paid 5"], [])
        for each in ("noted a", "paid 5"):
            assert each in shop.done or each not in response.text

    assert await cancel_at_every_await(work, look) > 5
    assert "Done: noted a, paid 5" in seen
    await store.aclose()


async def test_a_resumed_run_streams() -> None:
    shop = Shop(MemoryStore())
    run_id = (await shop.agent.execute("Pay", WorkflowContext())).run_id or ""
    events = shop.agent.stream_resumed(run_id, WorkflowContext(), decisions={"p": True})
    assert (await collect(events)).text == "Done: noted a, paid 5"


async def break_off(shop: Shop) -> None:
    """Cancel the run `mine` while it pays."""
    shop.hangs = True
    context = WorkflowContext(data={"run_id": "mine"})
    task = asyncio.create_task(shop.agent.execute("Pay", context))
    await shop.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    shop.hangs = False


async def test_a_call_that_was_broken_off_is_not_made_again(store: CacheStore) -> None:
    shop = Shop(store, confirm=lambda *_: True)
    await break_off(shop)
    response = await shop.agent.resume("mine", WorkflowContext())
    # The other call may have been broken off as well.
    assert shop.done in (["noted a", "paid 5"], ["paid 5"])
    assert "Nobody knows whether this was carried out" in response.text
    await store.aclose()


async def test_a_person_may_have_a_broken_off_call_made_again() -> None:
    shop = Shop(MemoryStore(), confirm=lambda *_: True)
    await break_off(shop)
    response = await shop.agent.resume("mine", WorkflowContext(), decisions={"p": True})
    assert shop.done == ["noted a", "paid 5", "paid 5"] and response.tool_calls_made == 2


async def test_of_two_who_resume_at_once_one_works_and_both_get_the_answer(
    store: CacheStore,
) -> None:
    shop = Shop(store)
    run_id = (await shop.agent.execute("Pay", WorkflowContext())).run_id or ""
    both = await asyncio.gather(
        *(shop.agent.resume(run_id, WorkflowContext(), decisions={"p": True}) for _ in range(2))
    )
    assert both[0] == both[1] and shop.done == ["noted a", "paid 5"]
    await store.aclose()


async def test_who_waits_for_too_long_is_told_that_somebody_works_on_it() -> None:
    store = MemoryStore()
    shop = Shop(store)
    run_id = (await shop.agent.execute("Pay", WorkflowContext())).run_id or ""
    key = f"agent-run:{b'agent'.hex()}:{run_id}"
    assert await store.acquire(key, "somebody", 60)
    with pytest.raises(AgentRunError, match="under way elsewhere"):
        await shop.agent.resume(run_id, WorkflowContext())


async def test_who_lost_the_run_to_another_stops() -> None:
    class Stolen(MemoryStore):
        async def acquire(self, key: str, owner: str, ttl_seconds: float) -> bool:
            return not shop.done

    shop = Shop(Stolen(), confirm=lambda *_: True)
    with pytest.raises(AgentRunError, match="under way elsewhere"):
        await shop.agent.execute("Pay", WorkflowContext())


async def test_another_tenant_finds_no_such_run() -> None:
    shop = Shop(MemoryStore())
    mine = WorkflowContext(data={"tenant_id": "a"})
    run_id = (await shop.agent.execute("Pay", mine)).run_id or ""
    with pytest.raises(AgentRunError, match="there is no run"):
        await shop.agent.resume(run_id, WorkflowContext(data={"tenant_id": "b"}))


@pytest.mark.parametrize("run_id", ["unknown", "", "a b", "../x", "x" * 200])
async def test_an_unknown_run_is_one_clear_error(run_id: str) -> None:
    with pytest.raises(AgentRunError):
        await Shop(MemoryStore()).agent.resume(run_id, WorkflowContext())


async def test_an_expired_run_is_unknown() -> None:
    now = [0.0]
    shop = Shop(MemoryStore(now=lambda: now[0]), keep_seconds=10)
    run_id = (await shop.agent.execute("Pay", WorkflowContext())).run_id or ""
    now[0] = 11
    with pytest.raises(AgentRunError, match="too old"):
        await shop.agent.resume(run_id, WorkflowContext())


async def test_a_run_that_can_not_be_read_says_so() -> None:
    store = MemoryStore()
    await store.set(f"agent-run:{b'agent'.hex()}:x", b"garbage", 60)
    with pytest.raises(AgentRunError, match="can't be read"):
        await Shop(store).agent.resume("x", WorkflowContext())


async def test_a_name_that_is_taken_is_refused() -> None:
    shop = Shop(MemoryStore())
    data = {"run_id": "mine"}
    await shop.agent.execute("Pay", WorkflowContext(data=data))
    with pytest.raises(AgentRunError, match="already"):
        await shop.agent.execute("Pay", WorkflowContext(data=data))


async def test_a_tool_that_is_gone_is_told_to_the_model() -> None:
    store = MemoryStore()
    run_id = (await Shop(store).agent.execute("Pay", WorkflowContext())).run_id or ""
    later = Shop(store, tools=[])
    response = await later.agent.resume(run_id, WorkflowContext(), decisions={"p": True})
    assert "There is no tool 'pay'" in response.text


async def test_an_agent_without_checkpoints_resumes_nothing() -> None:
    with pytest.raises(AgentRunError, match="checkpoints"):
        await Shop(None).agent.resume("x", WorkflowContext())


async def test_tokens_count_on_in_a_resumed_run() -> None:
    def dear(request: ChatRequest) -> Any:
        return ChatResponse(
            message=assistant([ToolCall("p", "pay", {"amount": 5})]),
            finish_reason="tool_calls",
            usage=Usage(2000, 2000),
            model="fake",
            provider="fake",
        )

    limits = AgentLimits(max_tokens=8000)
    shop = Shop(MemoryStore(), dear, limits=limits, on_limit="raise")
    stopped = await shop.agent.execute("Pay", WorkflowContext())
    assert stopped.usage.total_tokens == 4000 and stopped.run_id
    with pytest.raises(AgentLimitError) as caught:
        await shop.agent.resume(stopped.run_id, WorkflowContext(), decisions={"p": True})
    assert caught.value.reason == "tokens" and shop.done == ["paid 5"]
    assert caught.value.response.usage.total_tokens == 4000
