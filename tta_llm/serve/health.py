"""Whether the server lives, takes requests, and what it measures."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tta_llm.serve.faults import RefusedError
from tta_llm.serve.gate import Gate

__all__ = ["Health"]


class Health:
    """`GET /healthz`, `/readyz` and `/metrics`.

    Args:
        gate: Knows whether the server takes requests.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def healthz(self, request: Request) -> JSONResponse:
        """Say that the process lives."""
        return JSONResponse({"status": "ok"})

    async def readyz(self, request: Request) -> JSONResponse:
        """Say whether the next request has a chance: 503 before the server stops, or when full."""
        gate = self._gate
        state = "stopping" if gate.draining else "full" if gate.inside >= gate.room else "ready"
        status = 200 if state == "ready" else 503
        return JSONResponse({"status": state, "requests": gate.inside}, status)

    async def metrics(self, request: Request) -> Response:
        """Give what is measured in the process, as Prometheus reads it."""
        try:
            from prometheus_client import CONTENT_TYPE_LATEST, generate_latest  # noqa: PLC0415
        except ImportError:
            raise RefusedError(
                404, "no_metrics", 'No metrics without a package: pip install "tta-llm[prometheus]"'
            ) from None
        return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})
