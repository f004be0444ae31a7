"""Two processes that write to one session.

`python -m tests.agents.conversation.contending TURNS [REDIS_URL]` prints a report as JSON, and
fails when a turn is lost or doubled: some requests are sent twice, now and then at once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tta_llm import WorkflowContext
from tta_llm.agents import Conversation, RedisSessionStore, SessionStore, SQLiteSessionStore
from tta_llm.messages import ChatRequest
from tta_llm.testing import FakeChatModel

WRITERS = 2


def store_at(place: str) -> SessionStore:
    return RedisSessionStore(place) if "://" in place else SQLiteSessionStore(place)


def chat_at(place: str) -> Conversation:
    def answer(request: ChatRequest) -> str:
        return f"answer to {request.messages[-1].text}"

    return Conversation(FakeChatModel(answer), store=store_at(place), max_context_tokens=600)


async def write(place: str, writer: str, turns: int) -> None:
    chat = chat_at(place)

    async def ask(number: int) -> None:
        name = f"{writer}:{number}"
        context = WorkflowContext(data={"session_id": "one", "request_id": name})
        response = await chat.execute(name, context)
        assert response.text == f"answer to {name}"

    for number in range(turns):
        if number % 3:
            await ask(number)
        else:
            await asyncio.gather(ask(number), ask(number))
        if number % 5 == 0:
            await ask(number)
    await chat.aclose()


async def check(place: str, turns: int) -> dict[str, Any]:
    chat = chat_at(place)
    kept = await chat.history("one", last=10 * turns)
    await chat.aclose()
    asked = [turn.messages[0].text for turn in kept]
    assert [turn.number for turn in kept] == [*range(1, WRITERS * turns + 1)], len(kept)
    assert sorted(asked) == sorted(f"{w}:{n}" for w in range(WRITERS) for n in range(turns))
    assert {turn.status for turn in kept} == {"finished"}
    for turn in kept:
        assert [each.text for each in turn.answer] == [f"answer to {turn.messages[0].text}"]
    changes = sum(one[0] != other[0] for one, other in itertools.pairwise(asked))
    return {"turns": len(kept), "changes_of_writer": changes}


def contend(place: str, turns: int) -> dict[str, Any]:
    command = [sys.executable, "-W", "error", "-m", "tests.agents.conversation.contending"]
    writers = [
        subprocess.Popen(
            [*command, "write", str(number), str(turns)], env=os.environ | {"PLACE": place}
        )
        for number in range(WRITERS)
    ]
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    return asyncio.run(check(place, turns))


if __name__ == "__main__":
    if sys.argv[1] == "write":
        asyncio.run(write(os.environ["PLACE"], sys.argv[2], int(sys.argv[3])))
    else:
        with tempfile.TemporaryDirectory() as folder:
            places = {"sqlite": str(Path(folder) / "one.db")}
            places |= {"redis": sys.argv[2]} if sys.argv[2:] else {}
            told = {name: contend(place, int(sys.argv[1])) for name, place in places.items()}
        sys.stdout.write(json.dumps(told) + "\n")
