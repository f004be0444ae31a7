"""The chat page and its files."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from tta_llm.serve.faults import RefusedError

__all__ = ["FOLDER", "page", "page_file"]

FOLDER: Path = Path(__file__).parent / "page"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


async def page(_: Request) -> Response:
    """Give the page."""
    return _file("index.html")


async def page_file(request: Request) -> Response:
    """Give one of its files."""
    return _file(request.path_params["name"])


def _file(name: str) -> Response:
    path = FOLDER / name
    if path.suffix not in _TYPES or path.parent != FOLDER or not path.is_file():
        raise RefusedError(404, "not_found", "There is nothing here.")
    headers = {
        "content-type": _TYPES[path.suffix],
        "content-security-policy": _POLICY,
        "cache-control": "no-cache",
    }
    return FileResponse(path, headers=headers)
