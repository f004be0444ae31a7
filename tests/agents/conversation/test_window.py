"""Whatever is said, the window is not exceeded and no call is without its result."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from tta_llm import WorkflowContext
from tta_llm.agents import Conversation
from tta_llm.agents.conversation.measure import measure_of
from tta_llm.errors import ContextLengthError
from tta_llm.messages import (
    ChatRequest,
    ImagePart,
    Message,
    TextPart,
    ToolCall,
    ToolDefinition,
    ToolResult,
    assistant,
    system,
    tool,
    user,
)
from tta_llm.testing import FakeChatModel

ANSWER = 40
TEXTS = st.integers(0, 400).map(lambda size: ("wörd 🙂 " * size)[:size])


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    asked: list[TextPart | ImagePart] = [TextPart(draw(TEXTS))]
    if draw(st.integers(0, 9)) == 9:
        asked.append(ImagePart(url="https://example.com/cat.png"))
    said = [user(asked)]
    for step in range(draw(st.integers(0, 4))):
        ids = [f"{step}-{call}" for call in range(draw(st.integers(1, 3)))]
        said.append(assistant([ToolCall(each, "find", {"q": draw(TEXTS)}) for each in ids]))
        said += [tool(ToolResult(each, draw(TEXTS))) for each in ids]
    return [*said, assistant(draw(TEXTS))]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(turns(), min_size=1, max_size=12),
    st.integers(100, 3000),
    st.booleans(),
    st.booleans(),
    TEXTS,
)
def test_the_window_is_never_exceeded(
    talk: list[list[Message]], window: int, has_session: bool, is_summed_up: bool, summary: str
) -> None:
    definition = ToolDefinition("find", "finds", {"type": "object"})
    model = FakeChatModel(lambda _: answers.pop(0))
    chat = Conversation(
        model,
        system="rules",
        max_context_tokens=window,
        max_tokens=ANSWER,
        summarize=FakeChatModel(summary or "notes") if is_summed_up else None,
    )
    measure = measure_of(model, window, ANSWER)
    answers: list[Message] = []
    history: list[Message] = []
    for turn in talk:
        answers[:] = [turn[-1]]
        told = turn[:-1]
        asked = told if has_session else [*history, *told]
        history += turn
        data = {"session_id": "1"} if has_session else {}
        tools = [definition] if window > 1500 else []
        with suppress(ContextLengthError):
            chat.run(ChatRequest(asked, tools=tools), WorkflowContext(data=dict(data)))
    for request in model.calls:
        size = measure.messages(request.messages) + measure.definitions(request) + ANSWER
        assert size <= window
        assert request.messages[0] == system("rules")
        require_pairs(request)


def require_pairs(request: ChatRequest) -> None:
    """After calls come their results, all of them, and nowhere else is a result."""
    waiting: list[str] = []
    for message in request.messages:
        results = [part.id for part in message.parts if isinstance(part, ToolResult)]
        if message.role == "tool":
            assert results and results == waiting[: len(results)]
            waiting = waiting[len(results) :]
        else:
            assert not waiting
            waiting = [call.id for call in message.tool_calls]
    assert not waiting
