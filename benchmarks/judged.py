"""Collections with judgements, what a ranking is worth on them, and vectors that are kept."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tta_llm import WorkflowContext
from tta_llm.providers.embedder import Embedder
from tta_llm.rag import Document

Ranking = Sequence[str]
"""Ids of documents, the best first, each once."""


@dataclass(frozen=True)
class Collection:
    """Documents, questions by their ids, and how much each document bears on a question."""

    documents: list[Document]
    questions: dict[str, str]
    judgements: dict[str, dict[str, float]]


def read_collection(folder: Path) -> Collection:
    """Read corpus.jsonl (id, title, text), queries.jsonl (id, text) and qrels.tsv with a header.

    BEIR's names of the fields, `_id`, will do, too. Questions that nothing bears on are left out.
    """
    judgements: dict[str, dict[str, float]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").splitlines()[1:]:
        question, document, score = line.split("\t")
        if float(score) > 0:
            judgements.setdefault(question, {})[document] = float(score)
    documents = [_document(*row) for row in _rows(folder / "corpus.jsonl")]
    asked = {name: row["text"] for name, row in _rows(folder / "queries.jsonl")}
    documents = [document for document in documents if document.text.strip()]
    return Collection(documents, {each: asked[each] for each in judgements}, judgements)


def _rows(file: Path) -> Iterable[tuple[str, dict[str, str]]]:
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        yield str(row.get("id", row.get("_id"))), row


def _document(name: str, row: Mapping[str, str]) -> Document:
    title = row.get("title") or ""
    # Some have nothing but a title.
    return Document(path=name, title=title, text=row["text"].strip() or title, kind="text")


class Quality(NamedTuple):
    """What a ranking is worth, or many on average."""

    ndcg: float
    recall: float
    mrr: float


def quality(ranking: Ranking, relevant: Mapping[str, float], depth: int = 10) -> Quality:
    """Judge a ranking's first documents, as trec_eval does.

    nDCG takes the judgements as gains and log2(1 + rank) as discount.
    """
    first = list(ranking[:depth])
    gains = [relevant.get(each, 0.0) for each in first]
    best = sorted(relevant.values(), reverse=True)[:depth]
    found = [place for place, gain in enumerate(gains, 1) if gain]
    return Quality(
        _discounted(gains) / _discounted(best),
        len(found) / len(relevant),
        1 / found[0] if found else 0.0,
    )


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(1 + place) for place, gain in enumerate(gains, 1))


def interval(differences: Sequence[float], resamples: int = 10_000) -> tuple[float, float]:
    """Give the middle 95 % of the mean's bootstrap distribution (Efron, 1979), question-wise."""
    values: NDArray[np.float64] = np.asarray(differences)
    drawn = np.random.default_rng(7).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


class KeptVectors(Embedder):
    """Embeds what was not embedded before, and keeps it in a file.

    Args:
        embedder: Computes the vectors.
        folder: Where they are kept; safe to stop at any moment.
    """

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        super().__init__(model=embedder.model, dimensions=embedder.dimensions)
        self._embedder = embedder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{embedder.model.replace('/', '_')}.sqlite3"
        with sqlite3.connect(self._file) as kept:
            kept.execute("CREATE TABLE IF NOT EXISTS vectors (text BLOB PRIMARY KEY, vector BLOB)")

    async def _embed(self, texts: Sequence[str], context: WorkflowContext) -> NDArray[np.float32]:
        keys = [hashlib.sha256(text.encode()).digest() for text in texts]
        with sqlite3.connect(self._file) as kept:
            known = {key: _vector_of(kept, key) for key in keys}
            new = [text for key, text in zip(keys, texts, strict=True) if known[key] is None]
            if new:
                for text, vector in zip(
                    new, await self._embedder.execute(new, context), strict=True
                ):
                    key = hashlib.sha256(text.encode()).digest()
                    known[key] = vector
                    kept.execute(
                        "INSERT OR REPLACE INTO vectors VALUES (?, ?)", (key, vector.tobytes())
                    )
        return np.array([known[key] for key in keys])


def _vector_of(kept: sqlite3.Connection, key: bytes) -> NDArray[np.float32] | None:
    row = kept.execute("SELECT vector FROM vectors WHERE text = ?", (key,)).fetchone()
    return None if row is None else np.frombuffer(row[0], dtype=np.float32)
