from __future__ import annotations

import pytest

from tests.real.conftest import chat_model
from tests.real.llama_server import MODEL, Llama
from tta_llm.core import WorkflowContext
from tta_llm.messages import ChatInput, ChatResponse, StreamRestart, fold
from tta_llm.providers import ChatModel, ModelInfo
from tta_llm.recovery import FallbackPrimitive
from tta_llm.testing import FakeChatModel

pytestmark = pytest.mark.real

COUNT = "Count from 1 to 9. Write the numbers, separated by commas, and nothing else."
SO_FAR = "1, 2, 3, 4,"


WHOLE = "1, 2, 3, 4, 5, 6, 7, 8, 9"


def broken_then(model: ChatModel) -> FallbackPrimitive[ChatInput, ChatResponse]:
    first = FakeChatModel(f"{SO_FAR} 5", break_after=4, name="first")
    return FallbackPrimitive(first, [model], after_first_piece="continue")


async def test_an_answer_that_broke_off_goes_on(
    vendor: str, llama: Llama, context: WorkflowContext
) -> None:
    async with chat_model(vendor, llama, info=ModelInfo(prefill=True)) as model:
        events = [event async for event in broken_then(model).stream(COUNT, context)]
    assert not [event for event in events if isinstance(event, StreamRestart)]
    answer = fold(events)
    assert (answer.text, answer.model, answer.provider) == (WHOLE, MODEL, vendor)
    assert [each.choice for each in answer.failed_attempts] == ["first"]
    assert answer.usage.output_tokens < 20, "the whole has 26 tokens, and it wrote only the rest"
    assert context.usage.calls == 2


async def test_a_model_that_takes_no_beginning_writes_it_anew(
    vendor: str, llama: Llama, context: WorkflowContext
) -> None:
    async with chat_model(vendor, llama) as model:
        events = [event async for event in broken_then(model).stream(COUNT, context)]
    (restart,) = [event for event in events if isinstance(event, StreamRestart)]
    assert restart.choice == f"{vendor}:{MODEL}"
    assert fold(events).text == WHOLE
