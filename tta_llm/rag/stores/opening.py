"""Stores of vectors by their names, those of other packages among them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import cast

from tta_llm.errors import MissingExtraError, TTAError
from tta_llm.rag.stores.chroma_store import ChromaStore
from tta_llm.rag.stores.lance_store import LanceStore
from tta_llm.rag.stores.numpy_store import NumpyStore
from tta_llm.rag.stores.store import VectorStore

__all__ = ["open_store"]

_OWN: dict[str, Callable[[Path], VectorStore]] = {
    "chroma": lambda folder: ChromaStore(folder / "chroma"),
    "lance": lambda folder: LanceStore(folder / "lance"),
    "numpy": lambda folder: NumpyStore(folder / "vectors.sqlite3"),
}


def open_store(name: str, folder: str | Path, *, outside: EntryPoints | None = None) -> VectorStore:
    """Open the store of this name in a folder: `chroma`, `lance`, `numpy`, or another package's.

    Packages outside add theirs with an entry point in the group `tta_llm.vector_stores`: something
    to call with the folder, which exists, that gives a `VectorStore`.

    Args:
        name: The store's name.
        folder: Where it keeps its files; made when missing.
        outside: The entry points, in place of those that are installed.

    Raises:
        ValueError: Nobody knows the name; the message has those there are.
        MissingExtraError: The store's package is not installed.
        TTAError: The store, or what brings it, is broken.

    Example:
        ```python
        import asyncio
        from tempfile import TemporaryDirectory
        from tta_llm.rag import open_store

        with TemporaryDirectory() as folder:
            store = open_store("numpy", folder)
            asyncio.run(store.close())
        ```
    """
    points = entry_points(group="tta_llm.vector_stores") if outside is None else outside
    folder = Path(folder)
    make = _OWN.get(name) or _made_outside(name, points)
    folder.mkdir(parents=True, exist_ok=True)
    return make(folder)


def _made_outside(name: str, points: EntryPoints) -> Callable[[Path], VectorStore]:
    for point in points.select(name=name):
        try:
            return cast("Callable[[Path], VectorStore]", point.load())
        except MissingExtraError:
            raise
        except Exception as error:
            raise TTAError(
                f"the vector store {name!r} can't be loaded from {point.value} ({error!r}): "
                "mend or remove the package that brings it"
            ) from error
    names = sorted({*_OWN, *points.names})
    near = difflib.get_close_matches(name, names, n=1)
    guess = f"did you mean {near[0]!r}? There are" if near else "there are"
    raise ValueError(f"there is no vector store {name!r}: {guess} {', '.join(names)}")
