"""Cross-encoders on the disk, through the libraries that run them; nothing is downloaded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

from tta_llm.errors import MissingExtraError

__all__ = ["FlashRankScorer", "SentenceTransformersScorer"]


class FlashRankScorer:
    """Scores by a model of FlashRank, from 0 to 1.

    Args:
        ranker: A `flashrank.Ranker`.

    Example:
        ```python
        from tta_llm.rag import FlashRankScorer

        class Ranker:  # stands for flashrank.Ranker(...)
            def rerank(self, request):
                scored = [each | {"score": len(each["text"]) / 10} for each in request.passages]
                return sorted(scored, key=lambda each: -each["score"])

        assert FlashRankScorer(Ranker())("question", ["a", "bcd"]) == [0.1, 0.3]
        ```
    """

    def __init__(self, ranker: Any) -> None:
        self._ranker = ranker

    @classmethod
    def open(cls, folder: str | Path, *, max_tokens: int = 512) -> Self:
        """Load the model in a folder of the model's name, as FlashRank unpacks it.

        Args:
            folder: Where the model is, such as `models/ms-marco-MiniLM-L-12-v2`.
            max_tokens: Where question and text together are cut.

        Raises:
            FileNotFoundError: When no model is there; FlashRank itself would download one.
            MissingExtraError: When flashrank isn't installed.
        """
        folder = _with_model(folder, "tokenizer.json", "FlashRank")
        library = _imported("flashrank", cls.__name__, "flashrank")
        # FlashRank sets up the root logger for everybody, unless that has a handler.
        root, handler = logging.getLogger(), logging.NullHandler()
        root.addHandler(handler)
        try:
            parent = str(folder.parent)
            return cls(library.Ranker(folder.name, cache_dir=parent, max_length=max_tokens))
        finally:
            root.removeHandler(handler)

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text."""
        passages = [{"id": number, "text": text} for number, text in enumerate(texts)]
        ranked = self._ranker.rerank(SimpleNamespace(query=query, passages=passages))
        scores = {each["id"]: float(each["score"]) for each in ranked}
        return [scores[number] for number in range(len(texts))]


class SentenceTransformersScorer:
    """Scores by a cross-encoder of sentence-transformers that has one label.

    Args:
        model: A `sentence_transformers.CrossEncoder`.

    Example:
        ```python
        from tta_llm.rag import SentenceTransformersScorer

        class CrossEncoder:  # stands for sentence_transformers.CrossEncoder(...)
            def predict(self, pairs, **options):
                return [len(text) / 10 for _, text in pairs]

        assert SentenceTransformersScorer(CrossEncoder())("question", ["a", "bcd"]) == [0.1, 0.3]
        ```
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    @classmethod
    def open(cls, folder: str | Path, *, max_tokens: int | None = None) -> Self:
        """Load the model in a folder.

        Args:
            folder: Where the model was saved; a name on the model hub is no folder.
            max_tokens: Where question and text together are cut; the model's own limit when
                missing.

        Raises:
            FileNotFoundError: When no model is there.
            MissingExtraError: When sentence-transformers isn't installed.
        """
        folder = _with_model(folder, "config.json", "sentence-transformers")
        library = _imported("sentence_transformers", cls.__name__, "sentence-transformers")
        model = library.CrossEncoder(str(folder), local_files_only=True, max_length=max_tokens)
        return cls(model)

    def __call__(self, query: str, texts: Sequence[str]) -> list[float]:
        """Score each text.

        Raises:
            TypeError: When the model gives several numbers for a text.
        """
        pairs = [(query, text) for text in texts]
        scores = self._model.predict(pairs, batch_size=len(pairs), show_progress_bar=False)
        return [float(score) for score in scores]


def _with_model(folder: str | Path, file: str, library: str) -> Path:
    folder = Path(folder).resolve()
    if not (folder / file).is_file():
        raise FileNotFoundError(
            f"there is no model of {library} in {str(folder)!r} (it has no {file}), and none is "
            "downloaded: put one there"
        )
    return folder


def _imported(package: str, who: str, extra: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtraError(who, extra) from error
