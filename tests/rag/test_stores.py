"""Stores are opened by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from tta_llm.errors import TTAError
from tta_llm.rag.stores.opening import open_store

GROUP = "tta_llm.vector_stores"
OUTSIDE = EntryPoints(
    [
        EntryPoint("theirs", "tta_llm.rag.stores.numpy_store:NumpyStore", GROUP),
        EntryPoint("broken", "no_such_module:Store", GROUP),
    ]
)


@pytest.mark.parametrize("name", ["numpy", "chroma"])
async def test_a_store_of_ones_own_lies_in_the_folder(name: str, tmp_path: Path) -> None:
    store = open_store(name, tmp_path / "new")
    assert await store.namespaces() == set()
    await store.close()
    assert any((tmp_path / "new").iterdir())


async def test_a_store_of_another_package_is_called_with_the_folder(tmp_path: Path) -> None:
    with pytest.raises(TTAError, match="can't be used"):
        open_store("theirs", tmp_path, outside=OUTSIDE)  # NumpyStore takes a file


def test_an_unknown_name_is_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"'chrome': did you mean 'chroma'\? There are broken, chr"
    ):
        open_store("chrome", tmp_path, outside=OUTSIDE)
    with pytest.raises(ValueError, match="there are broken, chroma, lance, numpy, theirs"):
        open_store("zzz", tmp_path, outside=OUTSIDE)


def test_a_broken_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(TTAError, match="'broken' can't be loaded from no_such_module:Store"):
        open_store("broken", tmp_path, outside=OUTSIDE)
