"""An index: what can be searched, whose it is, and who made the vectors."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tta_llm.core import WorkflowContext
from tta_llm.core.threads import finish_in_thread
from tta_llm.errors import IndexMismatchError, TTAError
from tta_llm.providers.embedder import Embedder
from tta_llm.providers.minilm import MiniLM
from tta_llm.rag.documents import Chunk
from tta_llm.rag.index.catalog import Catalog
from tta_llm.rag.index.lexical import terms
from tta_llm.rag.index.namespace import Namespace
from tta_llm.rag.stores.numpy_store import NumpyStore
from tta_llm.rag.stores.opening import open_store
from tta_llm.rag.stores.store import VectorStore

__all__ = ["Index"]

_DEFAULT = "default"
_FORMAT = 1
# Namespaces of an index on the disk that stay open; the one that was used longest ago is let go of.
_OPEN_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class _Settings:
    """What an index on the disk was made with, in a file that a person can read."""

    store: str = "chroma"
    per: str | None = None
    language: str = "english"
    format: int = _FORMAT


class Index:
    r"""Documents that can be searched by meaning and by words.

    Close it, or use it as `async with`.

    Args:
        embedder: Makes the vectors of chunks and questions alike; `MiniLM`, which needs neither key
            nor network, when missing.
        store: Where the vectors are; in memory when missing.
        folder: Where the texts are kept; in memory when missing.
        per: The name in a context's data that says whose documents are meant, such as "tenant".
            Each has a namespace of its own, and without one nothing is taken in or found.
        language: Whose words the documents are in, one of `LANGUAGES`.

    Example:
        ```python
        import asyncio
        from pathlib import Path
        from tempfile import TemporaryDirectory
        from tta_llm import WorkflowContext
        from tta_llm.rag import Index, IngestDocuments

        async def main() -> int:
            with TemporaryDirectory() as folder:
                Path(folder, "lamp.md").write_text("# Lamp\n\nIt shines for nine hours.\n")
                async with Index() as index:
                    report = await IngestDocuments(index).execute(folder, WorkflowContext())
                    return report.chunks

        assert asyncio.run(main()) == 1
        ```
    """

    def __init__(
        self,
        embedder: Embedder | None = None,
        store: VectorStore | None = None,
        *,
        folder: Path | None = None,
        per: str | None = None,
        language: str = "english",
    ) -> None:
        self.embedder: Embedder = MiniLM() if embedder is None else embedder
        self.store: VectorStore = NumpyStore() if store is None else store
        self.folder = folder
        self.per = per
        self.language = language
        self._open: OrderedDict[str, Namespace] = OrderedDict()
        self._opening = threading.Lock()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        embedder: Embedder | None = None,
        *,
        store: str | None = None,
        per: str | None = None,
        language: str | None = None,
    ) -> Self:
        """Open the index in a folder; make it when there is none.

        Args:
            folder: Where all of it is.
            embedder: As for the class.
            store: What keeps the vectors: "chroma", "lance", "numpy" or what a package adds;
                Chroma, or what the index was made with, when missing.
            per: As for the class.
            language: As for the class; English, or what the index was made with, when missing.

        Raises:
            MissingExtraError: The store's package is not installed.
            IndexMismatchError: The index there was made with other settings.
            TTAError: The folder holds something else, or can only be read.
            ValueError: There is no such store or language.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise TTAError(f"{str(folder)!r} is no folder: an index needs one of its own")
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise TTAError(
                f"the index in {str(folder)!r} may not be written to, and a search does that, too: "
                "allow it, or open a copy"
            )
        file = folder / "index.json"
        settings = _settings(file, {"store": store, "per": per, "language": language})
        terms((), settings.language)
        opened = open_store(settings.store, folder)
        if not file.exists():  # not before: what can't be opened is no setting to remember
            file.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")
        return cls(embedder, opened, folder=folder, per=settings.per, language=settings.language)

    @property
    def identity(self) -> str:
        """Names the embedder, so that vectors of two are never compared."""
        return f"{self.embedder.model}/{self.embedder.dimensions}"

    def namespace_of(self, context: WorkflowContext) -> Namespace:
        """Give what a request may see.

        Raises:
            ValueError: The index keeps its tenants apart, and the context names none.
        """
        if self.per is None:
            return self.namespace(_DEFAULT)
        name = context.data.get(self.per)
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"the index keeps documents apart per {self.per!r}, and the context does not say "
                f"whose are meant: WorkflowContext(data={{{self.per!r}: ...}}) with a name, not "
                f"{name!r}"
            )
        return self.namespace(name)

    def namespace(self, name: str) -> Namespace:
        """Give one part by its name, whatever the context says; for those who administer it."""
        with self._opening:
            if name not in self._open:
                catalog = Catalog(self._file(name, "sqlite3"), language=self.language)
                self._open[name] = Namespace(name, catalog, self.store, self.identity)
            self._open.move_to_end(name)
            if self.folder is not None and len(self._open) > _OPEN_AT_ONCE:
                # Whoever still uses it keeps it alive; it closes with the last of them.
                self._open.popitem(last=False)
            return self._open[name]

    async def passage(self, namespace: str, chunk: Chunk) -> str:
        """The text of a chunk's parent, or its own where it has none."""
        return await self.namespace(namespace).passage(chunk)

    def lock_file(self, name: str) -> Path | None:
        """The file by which one process at a time changes a namespace; None in memory."""
        return self._file(name, "lock")

    async def drop(self, name: str) -> None:
        """Forget all that a namespace holds; one that is not there is no error."""
        namespace = self.namespace(name)
        await finish_in_thread(namespace.catalog.sign, self.identity)
        await self.store.drop(name)

    async def aclose(self) -> None:
        """Close the store and the catalogs; closing twice is no error."""
        await self.store.close()
        for namespace in self._open.values():
            namespace.catalog.close()

    async def __aenter__(self) -> Self:
        """Give the index itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    def _file(self, name: str, suffix: str) -> Path | None:
        if self.folder is None:
            return None
        # Any text may be a tenant's name, and not every text can be a file's.
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.folder / "catalogs" / f"{digest}.{suffix}"


def _settings(file: Path, asked: Mapping[str, str | None]) -> _Settings:
    given = {name: value for name, value in asked.items() if value is not None}
    if not file.exists():
        return replace(_Settings(), **given)  # type: ignore[arg-type]  # none is the format
    try:
        settings = _Settings(**json.loads(file.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise TTAError(f"{file} does not describe an index ({error}); delete its folder") from error
    for name, value in given.items():
        if getattr(settings, name) != value:
            raise IndexMismatchError(
                f"the index in {file.parent} was made with {name}={getattr(settings, name)!r}, not "
                f"{value!r}: leave {name} out, or use another folder"
            )
    return settings
