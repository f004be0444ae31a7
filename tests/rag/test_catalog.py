"""What a catalog has read it keeps until something changes, and it never writes for nobody."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tta_llm.errors import TTAError
from tta_llm.rag import Chunk, Document, Index
from tta_llm.rag.index.catalog import Catalog
from tta_llm.rag.index.entries import Entry


def entry(text: str, pieces: int = 1) -> Entry:
    """A document that is cut into so many pieces, all of the same text."""
    document = Document("a.md", "A", text, "text", metadata={"length": len(text)})
    chunks = [
        Chunk(
            *(f"{number}", document.path, document.title, (), text, number, number + len(text)),
            *(1, 1, None),
            metadata=document.metadata,
        )
        for number in range(pieces)
    ]
    return Entry.of(document, text, chunks)


@pytest.fixture
def catalogs(tmp_path: Path) -> Iterator[tuple[Catalog, Catalog]]:
    """Two that share a file, as two processes do."""
    file = tmp_path / "catalog.sqlite3"
    with closing(Catalog(file)) as ours, closing(Catalog(file)) as theirs:
        yield ours, theirs


def test_a_chunk_is_read_once_as_long_as_nothing_changes(
    catalogs: tuple[Catalog, Catalog],
) -> None:
    ours, _ = catalogs
    ours.put([entry("one")])
    first = ours.chunks(["0"])["0"]
    assert ours.chunks(["0", "gone"]) == {"0": first}
    assert ours.chunks(["0"])["0"] is first


def test_what_another_process_changes_is_read_anew(catalogs: tuple[Catalog, Catalog]) -> None:
    ours, theirs = catalogs
    ours.put([entry("one")])
    assert ours.chunks(["0"])["0"].text == "one"
    theirs.put([entry("three")])
    changed = ours.chunks(["0"])["0"]
    assert (changed.text, changed.metadata) == ("three", {"length": 5})
    theirs.remove(["a.md"])
    assert ours.chunks(["0"]) == {}


def test_what_changes_here_is_read_anew(catalogs: tuple[Catalog, Catalog]) -> None:
    ours, _ = catalogs
    for text in ("one", "three"):
        ours.put([entry(text)])
        assert ours.chunks(["0"])["0"].text == text


def test_of_very_many_chunks_the_last_ones_are_kept(catalogs: tuple[Catalog, Catalog]) -> None:
    ours, _ = catalogs
    ours.put([entry("one", 3_000)])
    ids = [f"{number}" for number in range(3_000)]
    every = ours.chunks(ids)
    assert every.keys() == set(ids)
    assert ours.chunks(["2999"])["2999"] is every["2999"]
    again = ours.chunks(["0"])["0"]
    assert (again == every["0"], again is every["0"]) == (True, False)


@pytest.mark.skipif(os.name == "nt", reason="there an open file can't be deleted")
@pytest.mark.parametrize("made_anew", [False, True])
def test_nothing_is_written_to_a_file_that_was_deleted(tmp_path: Path, *, made_anew: bool) -> None:
    file = tmp_path / "catalog.sqlite3"
    with closing(Catalog(file)) as catalog:
        catalog.put([entry("one")])
        kept = file.rename(tmp_path / "elsewhere.sqlite3")
        if made_anew:
            Catalog(file).close()
        for use in (catalog.records, lambda: catalog.put([entry("three")])):
            with pytest.raises(TTAError, match="deleted while it was open; open the index anew"):
                use()
    assert kept.exists()


def test_an_index_that_can_only_be_read_is_named_and_nobody_is_told_to_delete_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "index"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this account may write anywhere")
    with pytest.raises(TTAError, match="may not be written to") as caught:
        Index.open(folder)
    assert "delete" not in str(caught.value)
