"""Counting a text's tokens without asking the network: exactly where that can be, else about."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from tta_llm.providers.tokens import estimated_tokens

__all__ = ["TokenCounter", "token_counter"]


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts tokens as one model does, or estimates them and says so.

    Args:
        source: What counts: `tiktoken:o200k_base`, `bpe-openai:o200k_base`, or `estimate`.
        estimated: Whether its figures are estimates.
    """

    source: str
    estimated: bool
    _count: Callable[[str], int] = field(repr=False, compare=False)

    def count(self, text: str) -> int:
        """Give the tokens of a text alone, without what a vendor puts around a message."""
        # Half a surrogate pair, as broken files hold them, is no text to any tokenizer.
        return self._count(text.encode(errors="replace").decode())


def token_counter(model: str, *, download: bool = False) -> TokenCounter:
    """Give the best counter that this machine has for a model.

    For OpenAI's models that is tiktoken when its vocabulary is on the machine already, then
    bpe-openai, which brings its own. Claude's and Gemini's tokenizers are not public: theirs are
    estimates, as is everything where neither package is installed. A counter that can't be had
    never fails a program: it is an estimate.

    Args:
        model: The model with its vendor, such as `openai:gpt-4.1-mini`.
        download: Let tiktoken fetch its vocabulary, once, when it isn't on the machine.

    Example:
        ```python
        from tta_llm.providers import token_counter

        counter = token_counter("anthropic:claude-sonnet-5")
        assert counter.estimated and counter.count("A word or two.") == 4
        ```
    """
    vendor, _, name = model.partition(":")
    if vendor not in ("openai", "azure") or not name:
        return _ESTIMATE
    encoding = encoding_of(name)
    return _with_tiktoken(encoding, download) or _with_bpe_openai(encoding) or _ESTIMATE


_ESTIMATE = TokenCounter("estimate", True, estimated_tokens)  # noqa: FBT003

_OLD = re.compile(r"(ft:)?(gpt-4(?![.o\d])|gpt-3\.?5|text-embedding-|davinci-002|babbage-002)")


def encoding_of(model: str) -> str:
    """Give the encoding of an OpenAI model; names that nobody knows yet have the newest."""
    return "cl100k_base" if _OLD.match(model) else "o200k_base"


# Where tiktoken keeps a vocabulary: the SHA-1 of its address, and the SHA-256 of the file.
_FILES = {
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}


def _with_tiktoken(encoding: str, download: bool) -> TokenCounter | None:  # noqa: FBT001
    if not download and not _is_on_this_machine(encoding):
        return None
    with suppress(Exception):
        import tiktoken  # noqa: PLC0415  # an optional package

        return _counter("tiktoken", tiktoken.get_encoding(encoding))
    return None


def _is_on_this_machine(encoding: str) -> bool:
    """Tell whether tiktoken would find a sound file; for any other it goes to the network."""
    name, digest = _FILES[encoding]
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if folder == "":
        return False
    path = Path(folder or Path(tempfile.gettempdir(), "data-gym-cache"), name)
    try:
        status = path.stat()
        return _digest(path, status.st_mtime_ns, status.st_size) == digest
    except OSError:
        return False


@lru_cache(maxsize=8)
def _digest(path: Path, changed: int, size: int) -> str:  # noqa: ARG001  # both belong to the key
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _with_bpe_openai(encoding: str) -> TokenCounter | None:
    with suppress(Exception):
        return _bpe_openai(encoding)
    return None


@lru_cache(maxsize=2)
def _bpe_openai(encoding: str) -> TokenCounter:
    import bpe_openai  # noqa: PLC0415  # an optional package

    return _counter("bpe-openai", bpe_openai.get_encoding(encoding))


def _counter(package: str, encoding: Any) -> TokenCounter:
    def count(text: str) -> int:
        return len(encoding.encode_ordinary(text))

    return TokenCounter(f"{package}:{encoding.name}", False, count)  # noqa: FBT003
