"""The ASGI application that serves workflows, and its one page.

The parts are imported when they are first used: they need Starlette, which comes with the extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tta_llm.errors import MissingExtraError

if TYPE_CHECKING:
    from tta_llm.serve.app import create_app
    from tta_llm.serve.keys import KeyRing
    from tta_llm.serve.running import serve
    from tta_llm.serve.settings import ServeSettings

__all__ = ["KeyRing", "ServeSettings", "create_app", "serve"]

_HOME_OF = {
    "KeyRing": "keys",
    "ServeSettings": "settings",
    "create_app": "app",
    "serve": "running",
}


def __getattr__(name: str) -> Any:
    """Import the module that has the name."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        home = importlib.import_module(f"{__name__}.{_HOME_OF[name]}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise MissingExtraError("serving a workflow", "serve") from error
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
