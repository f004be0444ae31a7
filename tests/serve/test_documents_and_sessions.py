"""Documents behind the server, the page in front of them, and conversations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.serve.live import completion
from tests.serve.test_http import EVENTS, KEY, events
from tta_llm import step
from tta_llm.messages import Message, assistant, user
from tta_llm.rag import Answer, Citation, Query
from tta_llm.rag.documents import Span
from tta_llm.serve import KeyRing
from tta_llm.testing import FakeChatModel

CITATION = Citation(
    number=1,
    quote="nine hours",
    path="battery.md",
    title="Battery",
    headings=("Battery",),
    line_start=3,
    line_end=4,
    page=None,
    chunk_id="c",
    span=Span(0, 10),
    claim="Nine hours.",
)


@step
def answer(query: Query) -> Answer:
    """Answer as a pipeline over documents does."""
    return Answer(query.text, "Nine hours [1].", found=True, citations=(CITATION,), notes=("Old.",))


async def test_answers_from_documents_come_with_their_citations(
    client: Callable[..., Any],
) -> None:
    asks = await client({"bot": answer})
    told = (await asks.post("/run", json={"input": "How long?"})).json()
    assert told["output"] == "Nine hours [1]." and told["notes"] == ["Old."]
    assert (told["citations"][0]["quote"], told["citations"][0]["line_end"]) == ("nine hours", 4)
    streamed = events((await asks.post("/run", json={"input": "How long?"}, headers=EVENTS)).text)
    names = [name for name, _ in streamed]
    assert names.count("citation") == 1 and names[-1] == "done"
    assert streamed[-1][1]["citations"] == told["citations"]
    assert streamed[-1][1]["notes"] == ["Old."] and streamed[-1][1]["provider"] == "documents"
    chat = await asks.post("/v1/chat/completions", json=completion())
    assert chat.json()["choices"][0]["message"]["content"] == "Nine hours [1]."
    tools = [{"type": "function", "function": {"name": "f"}}]
    refused = await asks.post("/v1/chat/completions", json=completion(tools=tools))
    assert refused.status_code == 400


async def test_the_page_has_a_policy_that_lets_nothing_else_in(client: Callable[..., Any]) -> None:
    asks = await client(FakeChatModel())
    page = await asks.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy
    script = await asks.get("/page/page.js")
    assert script.headers["content-type"].startswith("text/javascript")
    for outside in ("/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page/app.py", "/page/x.js"):
        assert (await asks.get(outside)).status_code == 404
    without = await client(FakeChatModel(), page=False)
    assert (await without.get("/")).status_code == 404


@dataclass
class Turn:
    """A turn of a conversation."""

    number: int
    status: str
    messages: tuple[Message, ...]


class Keeping(FakeChatModel):
    """Keeps one conversation of one tenant."""

    kept = True

    async def history(self, session_id: str, *, tenant_id: str = "") -> tuple[Turn, ...]:
        if (session_id, tenant_id, self.kept) != ("s", "acme", True):
            return ()
        return (Turn(1, "finished", (user("Hi"), assistant("Hello"))),)

    async def delete(self, session_id: str, *, tenant_id: str = "") -> bool:
        found = bool(await self.history(session_id, tenant_id=tenant_id))
        self.kept = self.kept and not found
        return found


async def test_a_conversation_is_read_and_deleted_by_its_own_tenant_alone(
    client: Callable[..., Any],
) -> None:
    other = "sk-canary-of-another"
    keys = KeyRing({"acme": KEY, "other": other})
    asks = await client(Keeping(), keys=keys)
    mine, others = ({"authorization": f"Bearer {key}"} for key in (KEY, other))
    told = (await asks.get("/sessions/s", headers=mine)).json()
    assert told["turns"] == [
        {
            "number": 1,
            "status": "finished",
            "messages": [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Hello"}],
        }
    ]
    assert (await asks.get("/sessions/s")).status_code == 401
    assert (await asks.get("/sessions/s", headers=others)).status_code == 404
    assert (await asks.delete("/sessions/s", headers=others)).status_code == 404
    assert (await asks.delete("/sessions/s", headers=mine)).json()["deleted"] is True
    assert (await asks.get("/sessions/s", headers=mine)).status_code == 404
