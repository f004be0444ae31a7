"""How far an ingestion is, and what it did."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["IngestReport", "Progress", "Skipped"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A document that could not be read, and the reason, to be read as one sentence."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingestion is.

    Args:
        path: The document that is being taken in.
        done: Bytes of documents that are through.
        total: Bytes of all of them.
        documents: Documents that are through.
        embedded: Chunks that were embedded.
        seconds: How long it has been at it.
    """

    path: str
    done: int
    total: int
    documents: int
    embedded: int
    seconds: float

    @property
    def chunks_per_second(self) -> float:
        """How fast it embeds, on the average."""
        return self.embedded / self.seconds if self.seconds else 0.0


@dataclass
class IngestReport:
    """What an ingestion did."""

    documents: int = 0
    """Documents in the index now."""
    chunks: int = 0
    """Chunks in the index now."""
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    """Documents that are not there any more, or can't be read any more."""
    embedded: int = 0
    """Chunks that were embedded; those that were known already were not."""
    reused: int = 0
    """New chunks whose text stood in the index already, in another place: their vectors are its."""
    ignored: dict[str, int] = field(default_factory=dict)
    """Files that are no documents, counted by the reason: hidden, a link, of another type ..."""
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def chunks_per_second(self) -> float:
        """How fast chunks were embedded, on the average."""
        return self.embedded / self.seconds if self.seconds else 0.0
