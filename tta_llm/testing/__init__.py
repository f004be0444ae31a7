"""What tests of workflows need: mocks, fakes, a virtual clock, and the laws as a suite to run."""

from __future__ import annotations

from tta_llm.testing.cancellation import cancel_at_every_await
from tta_llm.testing.chaos import ChaosPrimitive
from tta_llm.testing.clock import VirtualClock
from tta_llm.testing.contract import PrimitiveContract
from tta_llm.testing.fakes import FakeAnswer, FakeChatModel, FakeEmbedder
from tta_llm.testing.mock import MockCall, MockPrimitive
from tta_llm.testing.recording import (
    RecordingModel,
    ReplayModel,
    UnrecordedRequestError,
    record,
    replay,
)
from tta_llm.testing.session_store_contract import SessionStoreContract
from tta_llm.testing.store_contract import CacheStoreContract
from tta_llm.testing.vector_store_contract import VectorStoreContract

__all__ = [
    "CacheStoreContract",
    "ChaosPrimitive",
    "FakeAnswer",
    "FakeChatModel",
    "FakeEmbedder",
    "MockCall",
    "MockPrimitive",
    "PrimitiveContract",
    "RecordingModel",
    "ReplayModel",
    "SessionStoreContract",
    "UnrecordedRequestError",
    "VectorStoreContract",
    "VirtualClock",
    "cancel_at_every_await",
    "record",
    "replay",
]
