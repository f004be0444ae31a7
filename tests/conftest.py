"""What holds for every test: no network, and nothing left running."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.offline import forbid_network

# Without a deadline: how long an example takes depends on the machine, what it does must not.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=False, print_blob=True)
settings.register_profile(
    "deep",
    max_examples=20_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_configure() -> None:
    forbid_network()
    # As in an application that doesn't listen; the tests that do say so.
    logging.getLogger("tta_llm.workflow").setLevel(logging.WARNING)
    # A developer's own keys must change nothing here, nor in the processes that tests start.
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        del os.environ[name]
    # Nor are the tests' runs recorded in the developer's account.
    os.environ["TTA_RUNS"] = "off"
    settings.load_profile(
        os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev")
    )


# Every key in the tests begins so.
CANARY = "sk-" + "canary"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail whatever prints or logs a key, at any level, in any test."""
    report = yield
    if report.passed and any(CANARY in text for _, text in report.sections):
        report.outcome, report.longrepr = (
            "failed",
            "a key stands in what this test printed or logged",
        )
    return report


# LanceDB begins one when it is imported, for the whole process.
_LASTING = {"LanceDBBackgroundEventLoop"}


def threads_besides(known: set[threading.Thread], patience: float = 1.0) -> list[threading.Thread]:
    """Threads that are still alive after a moment of patience, for those about to end."""
    give_up = time.monotonic() + patience
    while left := [
        thread
        for thread in threading.enumerate()
        if thread not in known and thread.name not in _LASTING
    ]:
        if time.monotonic() > give_up:
            break
        time.sleep(0.005)
    return left


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    """Fail a test that leaves a thread behind."""
    known = set(threading.enumerate())
    yield
    left = threads_besides(known)
    assert not left, f"threads still alive after the test: {left}"


@pytest.fixture
async def task_check() -> AsyncIterator[None]:
    yield
    # The loop closes what the garbage collector found of a library's generators, in a task.
    for _ in range(10):
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"tasks still alive after the test: {left}"


@pytest.fixture(autouse=True)
def no_task_left(no_thread_left: None, request: pytest.FixtureRequest) -> None:
    """Fail an async test that leaves a task behind; others need no event loop for this."""
    if request.node.get_closest_marker("asyncio"):
        request.getfixturevalue("task_check")
