"""A real agent and a real conversation behind the server: what they keep, and a person's word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.serve.test_http import EVENTS, KEY, events
from tta_llm.agents import Agent, AgentLimits, Conversation, SQLiteSessionStore, tool
from tta_llm.messages import ToolCall, assistant
from tta_llm.performance import MemoryStore
from tta_llm.serve import KeyRing
from tta_llm.testing import FakeChatModel

CALL = ToolCall("call-1", "refund", {"order": 7})


@pytest.fixture
def refunds() -> list[int]:
    """The orders that were paid back."""
    return []


@pytest.fixture
def agent(refunds: list[int]) -> Agent:
    @tool(confirm=True)
    def refund(order: int) -> str:
        """Pay an order back."""
        refunds.append(order)
        return f"order {order} is paid back"

    model = FakeChatModel([assistant([CALL]), "It is done.", "You are welcome."])
    return Agent(model, [refund], checkpoints=MemoryStore())


@pytest.fixture
def kept(agent: Agent, tmp_path: Path) -> Conversation:
    return Conversation(agent, store=SQLiteSessionStore(tmp_path / "sessions.db"))


@pytest.mark.parametrize("word", [True, False])
async def test_a_pending_call_is_answered_and_the_conversation_knows_of_it(
    client: Callable[..., Any], kept: Conversation, refunds: list[int], word: bool
) -> None:
    asks = await client(kept)
    body = {"input": "Refund order 7.", "session_id": "s"}
    end = events((await asks.post("/run", json=body, headers=EVENTS)).text)[-1][1]
    assert (end["stopped_by"], end["run_id"] is None) == ("confirmation", False)
    assert end["pending"] == [{"id": "call-1", "name": "refund", "arguments": {"order": 7}}]
    decided = {"decisions": {"call-1": word}, "session_id": "s"}
    told = await asks.post(f"/runs/{end['run_id']}", json=decided, headers=EVENTS)
    name, done = events(told.text)[-1]
    assert (name, done["text"], done["pending"]) == ("done", "It is done.", [])
    assert (done["stopped_by"], done["run_id"]) == (None, end["run_id"])
    assert refunds == ([7] if word else [])
    thanks = {"input": "Thanks!", "session_id": "s"}
    assert (await asks.post("/run", json=thanks)).json()["output"] == "You are welcome."
    turns = (await asks.get("/sessions/s")).json()["turns"]
    said = [(each["role"], each["text"]) for each in turns[0]["messages"]]
    assert (said[0], said[-1]) == (("user", "Refund order 7."), ("assistant", "It is done."))
    assert [each["status"] for each in turns] == ["finished"] * 2
    assert (await asks.delete("/sessions/s")).status_code == 200
    assert (await asks.get("/sessions/s")).status_code == 404
    await kept.aclose()


async def test_a_run_is_taken_up_by_its_own_tenant_alone(
    client: Callable[..., Any], agent: Agent, refunds: list[int]
) -> None:
    other = "sk-canary-of-another"
    asks = await client(agent, keys=KeyRing({"acme": KEY, "other": other}))
    mine, others = ({"authorization": f"Bearer {key}"} for key in (KEY, other))
    told = (await asks.post("/run", json={"input": "x"}, headers=mine)).json()
    path, body = f"/runs/{told['run_id']}", {"decisions": {"call-1": True}}
    assert (await asks.post(path, json=body)).status_code == 401
    refused = await asks.post(path, json=body, headers=others)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_run")
    assert refunds == []
    assert (await asks.post(path, json=body, headers=mine)).json()["output"] == "It is done."
    again = (await asks.post(path, json=body, headers=mine)).json()
    assert (again["output"], refunds) == ("It is done.", [7]), "it gives its answer again"


async def test_a_word_that_can_not_be_taken_is_refused(
    client: Callable[..., Any], agent: Agent
) -> None:
    asks = await client(agent)
    wrong: tuple[dict[str, Any], ...] = (
        {},
        {"decisions": [True]},
        {"decisions": {"call-1": "yes"}},
    )
    for body in wrong:
        refused = await asks.post("/runs/x", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (422, "decisions")
    for name in ("x", "x" * 300, "%00"):
        assert (await asks.post(f"/runs/{name}", json={"decisions": {}})).status_code == 404
    plain = await client(FakeChatModel())
    refused = await plain.post("/runs/x", json={"decisions": {}})
    assert "no runs" in refused.json()["error"]["message"]


async def test_an_agent_at_its_limit_is_no_fault_of_the_server(client: Callable[..., Any]) -> None:
    @tool
    def look() -> str:
        """Look."""
        return "nothing"

    calls = [assistant([ToolCall(str(n), "look", {})]) for n in range(3)]
    agent = Agent(FakeChatModel(calls), [look], limits=AgentLimits(max_steps=2), on_limit="raise")
    told = await (await client(agent)).post("/run", json={"input": "x"})
    assert (told.status_code, told.json()["error"]["code"]) == (402, "agent_limit")


async def test_the_log_names_no_run(
    client: Callable[..., Any], agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tta_llm.serve.access")
    await (await client(agent)).post("/runs/secret", json={"decisions": {}})
    paths = [vars(each)["path"] for each in caplog.records if each.name == "tta_llm.serve.access"]
    assert paths == ["/runs/{id}"]
