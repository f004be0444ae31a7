"""Agents whose processes are killed at random moments, and whose runs others take up.

`python -m tests.agents.agent.killing FOLDER KILLS SEED` prints a report as JSON, and fails when a
call that was done is made again, or a run is lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from tta_llm import WorkflowContext
from tta_llm.agents import Agent, tool
from tta_llm.errors import AgentRunError
from tta_llm.messages import ChatRequest, Message, ToolCall, ToolResult, assistant
from tta_llm.performance import SQLiteStore
from tta_llm.testing import FakeChatModel

STEPS, CALLS = 4, 3
LONGEST_LIFE = 0.15  # seconds


def told(request: ChatRequest) -> Message | str:
    done = sum(message.role == "tool" for message in request.messages)
    if done == STEPS:
        return "All done."
    numbers = range(done * CALLS, (done + 1) * CALLS)
    return assistant([ToolCall(f"c{number}", "order", {"number": number}) for number in numbers])


def agent(folder: Path) -> Agent:
    @tool
    async def order(number: int) -> str:
        """Order something, which is written down the moment it is done."""
        await asyncio.sleep(0.004)
        with (folder / "orders").open("a") as orders:
            orders.write(f"{number}\n")
        return f"ordered {number}"

    store = SQLiteStore(folder / "runs.db", max_wait_seconds=5)
    return Agent(FakeChatModel(told, delay=0.005), [order], checkpoints=store, lease_seconds=0.2)


async def work(folder: Path) -> None:
    """Take the run up, or begin it; write its answer down."""
    context = WorkflowContext(data={"run_id": "run"})
    try:
        response = await agent(folder).resume("run", context)
    except AgentRunError as error:
        if "there is no run" not in str(error):
            raise
        response = await agent(folder).execute("Order all", context)
    parts = [part for message in response.new_messages for part in message.parts]
    results = [part.content for part in parts if isinstance(part, ToolResult)]
    (folder / "answer").write_text(json.dumps([response.text, results]))


def fork(folder: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        asyncio.run(work(folder))
    except BaseException as error:
        traceback.print_exception(error)
        sys.stderr.flush()
        os._exit(3)
    os._exit(0)


def one_run(folder: Path, dice: random.Random, most: int) -> tuple[int, int]:
    """See one run to its end through so many kills; give how many there were, and unsure calls."""
    kills = 0
    while not (folder / "answer").exists():
        child = fork(folder)
        if kills < most:
            time.sleep(dice.uniform(0, LONGEST_LIFE))
            os.kill(child, signal.SIGKILL)
            kills += 1
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "see the lines above"
    text, results = json.loads((folder / "answer").read_text())
    path = folder / "orders"
    orders = Counter(path.read_text().split())
    assert text == "All done." and len(results) == STEPS * CALLS, results
    assert max(orders.values()) == 1, f"made twice: {orders}"
    sure = {result.removeprefix("ordered ") for result in results if result.startswith("ordered")}
    assert sure <= set(orders), "a call is said to be done, and is not"
    return kills, len(results) - len(sure)


def main(folder: str, kills: int, seed: str) -> None:
    dice, report = random.Random(seed), Counter[str]()
    while report["kills"] < kills:
        place = Path(folder) / f"run {report['runs']}"
        place.mkdir()
        killed, unsure = one_run(place, dice, min(10, kills - report["kills"]))
        report += Counter(kills=killed, runs=1, unsure=unsure)
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
