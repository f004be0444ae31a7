"""What tests of workflows need: mocks, fakes, a virtual clock, and the laws as a suite to run on your own."""

from __future__ import annotations

from tta_llm.testing.mock import MockCall, MockPrimitive

__all__ = ["MockCall", "MockPrimitive"]
