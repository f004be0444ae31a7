"""Reading and deleting a conversation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from tta_llm.core import WorkflowPrimitive
from tta_llm.serve.asking import TENANT, checked_session
from tta_llm.serve.faults import RefusedError
from tta_llm.serve.workflows import Served

__all__ = ["Sessions"]


class Sessions:
    """`GET` and `DELETE /sessions/{id}`: only of whoever's key asks.

    Args:
        workflows: Those that keep conversations have `history` and `delete`.
    """

    def __init__(self, workflows: Mapping[str, Served]) -> None:
        self._keepers = [keeper for each in workflows.values() for keeper in _keepers(each)]

    async def read(self, request: Request) -> JSONResponse:
        """Give the turns of one."""
        session_id, tenant_id = _whose(request)
        for keeper in self._keepers:
            if turns := await keeper.history(session_id, tenant_id=tenant_id):
                return JSONResponse(
                    {"session_id": session_id, "turns": [_turn(each) for each in turns]}
                )
        raise _unknown()

    async def delete(self, request: Request) -> JSONResponse:
        """Delete one, wherever it is kept."""
        session_id, tenant_id = _whose(request)
        found = [await each.delete(session_id, tenant_id=tenant_id) for each in self._keepers]
        if not any(found):
            raise _unknown()
        return JSONResponse({"session_id": session_id, "deleted": True})


def _keepers(served: Served) -> Iterator[Any]:
    """Find the workflow's conversations, however deep they stand."""
    waiting: list[WorkflowPrimitive[Any, Any]] = [served.chat or served.workflow]
    while waiting:
        step = waiting.pop()
        if hasattr(step, "history") and hasattr(step, "delete"):
            yield step
        waiting += [inner for _, inner in step.children()]


def _whose(request: Request) -> tuple[str, str]:
    session_id = checked_session(request.path_params["session_id"])
    assert session_id is not None
    return session_id, request.scope.get(TENANT, "")


def _turn(turn: Any) -> dict[str, Any]:
    said = [{"role": each.role, "text": each.text} for each in turn.messages]
    return {"number": turn.number, "status": turn.status, "messages": said}


def _unknown() -> RefusedError:
    return RefusedError(404, "unknown_session", "There is no such conversation.")
