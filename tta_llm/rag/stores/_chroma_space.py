"""A namespace in Chroma: one collection of vectors, and one that has each metadata once."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tta_llm.rag.stores._metadata import Catalog, digest, write_metadata
from tta_llm.rag.stores.filters import Filter
from tta_llm.rag.stores.store import Match, Rows, Vectors

__all__ = ["KINDS", "ROWS", "SETTINGS", "Space", "collection_name", "namespace_of"]

# What begins the name of a collection of vectors, and of one of metadata.
ROWS, KINDS = "tta-rows-", "tta-kinds-"

_GROUP = 1_000
# How many rows a search without Chroma's filter may fetch: 400 of 100,000 took a quarter of the
# filter's time, and of 20,000 half of it; they held .96 of the nearest ten, where that found all.
_MOST_FETCHED = 400

# Measured among 20,000 vectors of 384 dimensions, in seconds of the processor:
# - What was added since the graph was last written is put into it anew by the first search after
#   opening. At sync_threshold 10,000 that took up to 24 s, at 2,000 up to 4 s; adding took as long.
# - 32 neighbours in place of 16 found .94 of the nearest hundred, not .89, and .96 of the nearest
#   ten, not .89, where the filter is applied here.
# - With those an ef_construction of 100 adds 565 rows a second; 200 with 16 neighbours added 424.
SETTINGS: Any = {
    "hnsw": {
        "space": "cosine",
        "ef_construction": 100,
        "ef_search": 200,
        "max_neighbors": 32,
        "sync_threshold": 2_000,
    }
}


def collection_name(prefix: str, namespace: str) -> str:
    """Name a collection: Chroma takes few characters, and a namespace may have any."""
    return prefix + hashlib.sha256(namespace.encode()).hexdigest()[:40]


def namespace_of(collection: Any) -> str | None:
    """The namespace whose vectors a collection has; None for one that is not ours."""
    if not collection.name.startswith(ROWS):
        return None
    namespace: str = json.loads(collection.metadata["namespace"])
    return namespace


class Space:
    """The two collections of a namespace.

    A row has no metadata but the name of its kind. So Chroma has little to write for each, and a
    filter means exactly what `Filter.matches` says: it is asked once for each kind, here.

    Args:
        rows: The collection of vectors.
        kinds: The collection of metadata.
    """

    def __init__(self, rows: Any, kinds: Any) -> None:
        self._rows, self._kinds = rows, kinds
        self._catalog: Catalog[str] = Catalog()
        self._lock = threading.Lock()

    def put(self, rows: Rows) -> None:
        """Keep rows, in place of those with the same ids."""
        texts = write_metadata(rows.metadata)
        names = {text: digest(text) for text in set(texts)}
        self._learn({name: text for text, name in names.items()})
        self._rows.upsert(
            ids=list(rows.ids),
            embeddings=rows.vectors,
            metadatas=[{"kind": names[text]} for text in texts],
        )

    def remove(self, ids: list[str]) -> None:
        """Forget rows."""
        self._rows.delete(ids)

    def nearest(self, vector: Vectors, top_k: int, where: Filter | None) -> list[Match]:
        """The rows nearest to a vector, the nearest first."""
        if where is None:
            return self._query(vector, top_k)
        kinds, share = self._matching(where)
        if not kinds:
            return []
        wanted = int(2 * top_k / share)
        if wanted <= _MOST_FETCHED:
            found = self._query(vector, wanted, among=kinds)
            if len(found) >= top_k:
                return found[:top_k]
        return self._query(vector, top_k, where={"kind": {"$in": sorted(kinds)}})

    def vectors(self, ids: Sequence[str]) -> dict[str, Vectors]:
        """The vectors of those ids that are there."""
        found: dict[str, Vectors] = {}
        for first in range(0, len(ids), _GROUP):
            page = self._rows.get(ids[first : first + _GROUP], include=["embeddings"])
            rows = zip(page["ids"], page["embeddings"], strict=True)
            found |= {each: np.asarray(row, np.float32) for each, row in rows}
        return found

    def ids(self) -> set[str]:
        """All ids."""
        return set(self._rows.get(include=[])["ids"])

    def drop(self, client: Any) -> None:
        """Forget everything."""
        for each in (self._rows, self._kinds):
            client.delete_collection(each.name)

    def _query(
        self,
        vector: Vectors,
        count: int,
        *,
        where: Mapping[str, Any] | None = None,
        among: set[str] | None = None,
    ) -> list[Match]:
        include = ["distances"] if among is None else ["distances", "metadatas"]
        found = self._rows.query(
            query_embeddings=vector[np.newaxis], n_results=count, where=where, include=include
        )
        pairs = zip(found["ids"][0], found["distances"][0], strict=True)
        matches = [Match(each, 1.0 - distance) for each, distance in pairs]
        if among is None:
            return matches
        kinds = (metadata["kind"] for metadata in found["metadatas"][0])
        return [each for each, kind in zip(matches, kinds, strict=True) if kind in among]

    # ------------------------------------------------------------------------------ the catalog

    def _matching(self, where: Filter) -> tuple[set[str], float]:
        """The kinds that meet a filter, and their share of all."""
        with self._lock:
            # Kinds are never deleted, so that as many as are known are those that are known.
            if self._kinds.count() != len(self._catalog):
                page = self._kinds.get(include=["metadatas"])
                for name, metadata in zip(page["ids"], page["metadatas"], strict=True):
                    self._catalog.add(name, metadata["json"])
            kinds = set(self._catalog.matching(where))
            return kinds, len(kinds) / max(1, len(self._catalog))

    def _learn(self, texts: Mapping[str, str]) -> None:
        """Keep metadata that is new, before any row says it has it."""
        with self._lock:
            new = [name for name in texts if name not in self._catalog]
        for first in range(0, len(new), _GROUP):
            names = new[first : first + _GROUP]
            self._kinds.upsert(
                ids=names,
                embeddings=[_direction(name) for name in names],
                metadatas=[{"json": texts[name]} for name in names],
            )
        with self._lock:
            for name in new:
                self._catalog.add(name, texts[name])


def _direction(name: str) -> Iterable[float]:
    """Some vector of its own, for Chroma wants one; nothing is ever searched by it."""
    angle = int(name[:8], 16)
    return [float(np.cos(angle)), float(np.sin(angle))]
