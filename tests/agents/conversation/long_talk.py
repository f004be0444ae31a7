"""A conversation of very many turns.

`python -m tests.agents.conversation.long_talk TURNS [WHICH]` prints a report as JSON, and fails
when a window is exceeded or what is pinned is lost.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tta_llm import WorkflowContext
from tta_llm.agents import Conversation, MemorySessionStore, SessionStore, SQLiteSessionStore
from tta_llm.agents.conversation.measure import measure_of
from tta_llm.messages import ChatRequest, user
from tta_llm.testing import FakeChatModel

WINDOW, ANSWER = 2000, 200


def resident_kb() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4


async def talk(store: SessionStore, turns: int, *, is_summed_up: bool) -> dict[str, Any]:
    dice, windows, folded = random.Random(1), list[int](), set[str]()

    def answer(request: ChatRequest) -> str:
        texts = [message.text for message in request.messages]
        assert texts[:3] == ["the rules", "pinned by code", "pinned by hand"], "a pin was lost"
        windows.append(measure.messages(request.messages) + ANSWER)
        return "word " * dice.randrange(1, 60)

    def sum_up(request: ChatRequest) -> str:
        said = request.messages[1].text.split("[said since")[-1]
        new = {word for word in said.split() if word.startswith("turn-")}
        assert not new & folded, "a turn was summed up twice"
        folded.update(new)
        return "notes " * 50

    model = FakeChatModel(answer)
    chat = Conversation(
        model,
        store=store,
        system="the rules",
        pinned=[user("pinned by code")],
        max_context_tokens=WINDOW,
        max_tokens=ANSWER,
        summarize=FakeChatModel(sum_up) if is_summed_up else None,
    )
    measure = measure_of(model, WINDOW, ANSWER)
    await chat.pin("1", user("pinned by hand"))
    context = WorkflowContext(data={"session_id": "1"})
    seconds, memory = list[float](), list[int]()
    for number in range(turns):
        text = f"turn-{number} " + "word " * dice.randrange(1, 60)
        begun = time.perf_counter()
        await chat.execute(text, WorkflowContext(data=dict(context.data)))
        seconds.append(time.perf_counter() - begun)
        model.calls.clear()
        if chat._summarize is not None:
            chat._summarize.calls.clear()  # type: ignore[attr-defined]
        if number == turns // 10 or number == turns - 1:
            memory.append(resident_kb())
    assert max(windows) <= WINDOW, f"a window had {max(windows)} tokens"
    kept = await chat.history("1", last=turns + 1)
    await chat.aclose()
    part = max(turns // 100, 20)
    early = statistics.median(seconds[part : 3 * part])
    return {
        "turns": turns,
        "kept": len(kept),
        "finished": sum(turn.status == "finished" for turn in kept),
        "widest_window": max(windows),
        "summed_up": len(folded),
        "last_to_early_seconds": round(statistics.median(seconds[-2 * part :]) / early, 2),
        "early_ms": round(early * 1e3, 2),
        "resident_kb_at_a_tenth_and_at_the_end": memory,
    }


def main(turns: int, only: str = "") -> dict[str, Any]:
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        for is_summed_up in (False, True):
            named: dict[str, SessionStore] = {
                "memory": MemorySessionStore(),
                "sqlite": SQLiteSessionStore(Path(folder) / f"{is_summed_up}.db"),
            }
            for name, store in named.items():
                told = f"{name}, summed up" if is_summed_up else name
                if only not in ("", told):
                    continue
                report[told] = asyncio.run(talk(store, turns, is_summed_up=is_summed_up))
    return report


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), *sys.argv[2:]), indent=1) + "\n")
