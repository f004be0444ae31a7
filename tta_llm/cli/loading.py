"""Finding the workflow that a command names: `module:attribute`, or `path/to/file.py:attribute`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from tta_llm.cli.exits import UsageError
from tta_llm.core import WorkflowPrimitive
from tta_llm.serve.closing import close_steps

__all__ = ["Workflow", "load_workflow"]

Workflow: TypeAlias = WorkflowPrimitive[Any, Any]


def load_workflow(where: str) -> AbstractAsyncContextManager[Workflow]:
    """Find a workflow by `module:attribute` or `path/to/file.py:attribute`.

    The module is imported here, the workflow is made by `async with`, whose end closes its models.
    The attribute, which may have dots, is one of:

    - a workflow;
    - a function without arguments, sync or async, that gives one;
    - a function that gives an async context manager of one, as `@asynccontextmanager` makes it, for
      what must be opened and closed around it; or such a context manager itself.

    Raises:
        UsageError: When nothing of the kind is there, or its module can't be imported.

    Example:
        ```python
        import asyncio

        from tta_llm.cli.loading import load_workflow

        async def main() -> str:
            async with load_workflow("tta_llm.testing:FakeChatModel") as workflow:
                return workflow.name

        assert asyncio.run(main()) == "fake:fake"
        ```
    """
    place, colon, attribute = where.rpartition(":")
    if not (colon and place and attribute):
        raise UsageError(
            f"{where!r} names no workflow: write module:attribute, as in my_app.bots:support, "
            "or path/to/file.py:attribute"
        )
    thing: Any = _module(place)
    for name in attribute.split("."):
        if not hasattr(thing, name):
            raise UsageError(f"{place} has no {attribute!r}{_workflows_in(thing)}")
        thing = getattr(thing, name)
    return _opened(thing, where)


def _module(place: str) -> Any:
    try:
        if place.endswith(".py"):
            return _from_file(Path(place))
        # As `python -m` does: what lies in the working folder can be named.
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(place)
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{place}.".startswith(f"{error.name}."):
            raise UsageError(
                f"there is no module {place!r} here: is the folder right, or the package installed?"
            ) from error
        raise UsageError(f"importing {place} failed: {error}") from error
    except (Exception, SystemExit) as error:
        raise UsageError(f"importing {place} failed: {_told(error)}") from error


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    # Its neighbours can be imported, as by `python path/to/file.py`.
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Annotations of its classes are looked up there.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _workflows_in(module: Any) -> str:
    found = [name for name, each in vars(module).items() if isinstance(each, WorkflowPrimitive)]
    return f"; it has the workflows {', '.join(sorted(found))}" if found else ""


@asynccontextmanager
async def _opened(thing: Any, where: str) -> AsyncIterator[Workflow]:
    async with AsyncExitStack() as opened:
        made = await _ready(thing, where, opened)
        if not isinstance(made, WorkflowPrimitive):
            raise UsageError(
                f"{where} is {type(made).__name__}, and no workflow: give a primitive, such as a "
                "model or a >> b, or a function without arguments that makes one"
            )
        opened.push_async_callback(close_steps, made)
        yield made


async def _ready(thing: Any, where: str, opened: AsyncExitStack) -> Any:
    """Make what is to be made, and open what is to be opened."""
    try:
        made = await _made(thing, where) if _is_factory(thing) else thing
        if isinstance(made, AbstractAsyncContextManager) and not isinstance(
            made, WorkflowPrimitive
        ):
            made = await opened.enter_async_context(made)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"making {where} failed: {_told(error)}") from error
    return made


def _told(error: BaseException) -> str:
    """Give the kind of an error and what it says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _is_factory(thing: Any) -> bool:
    return callable(thing) and not isinstance(thing, WorkflowPrimitive)


async def _made(make: Callable[[], Any], where: str) -> Any:
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise UsageError(f"{where} can't be called without arguments: {error}") from error
    made = make()
    return await made if inspect.isawaitable(made) else made
