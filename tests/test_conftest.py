"""The guards of conftest.py do guard."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.offline import NetworkForbiddenError

pytest_plugins = ["pytester"]


@pytest.fixture
def guarded(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest((Path(__file__).parent / "conftest.py").read_text())
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function")
    return pytester


def test_a_connection_to_another_machine_is_refused() -> None:
    with pytest.raises(NetworkForbiddenError, match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 443), timeout=0.1)


def test_a_name_is_not_even_looked_up() -> None:
    with pytest.raises(NetworkForbiddenError, match=r"example\.org"):
        socket.getaddrinfo("example.org", 443)


def test_this_machine_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()


def test_a_task_left_behind_fails_its_test(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        """
        import asyncio

        async def test_leaks():
            asyncio.current_task().kept = asyncio.create_task(asyncio.sleep(60))

        async def test_tidy():
            await asyncio.create_task(asyncio.sleep(0))
        """
    )
    result = guarded.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*tasks still alive after the test*"])


def test_a_thread_left_behind_fails_its_test(guarded: pytest.Pytester) -> None:
    guarded.makepyfile(
        """
        import asyncio, threading

        def test_leaks():
            threading.Thread(target=threading.Event().wait, args=(3,), daemon=True).start()

        async def test_executor_is_tidy():
            await asyncio.to_thread(int)
        """
    )
    result = guarded.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*threads still alive after the test*"])
