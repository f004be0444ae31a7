"""Chat models and embedders by their fakes, by name, and without what they need."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tta_llm.core import Budget, WorkflowContext
from tta_llm.errors import (
    AuthenticationError,
    BudgetExceededError,
    ConnectionFailedError,
    InvalidRequestError,
    InvalidResponseError,
    ProviderTimeoutError,
)
from tta_llm.messages import ChatRequest, TextDelta, ToolCall, Usage, assistant, collect, fold, user
from tta_llm.providers import (
    ChatModel,
    Embedder,
    OpenAIChatModel,
    Price,
    Timeouts,
    chat_model,
    embedder,
)
from tta_llm.testing.fakes import FakeChatModel, FakeEmbedder


@pytest.fixture
def context() -> WorkflowContext:
    return WorkflowContext()


# ------------------------------------------------------------------------------------ the fake
# model


async def test_a_fake_counts_words_as_tokens(context: WorkflowContext) -> None:
    response = await FakeChatModel("one two three").execute([user("a b"), user("c")], context)
    assert response.usage == Usage(3, 3)
    assert (context.usage.calls, context.usage.output_tokens) == (1, 3)


@pytest.mark.parametrize("text", ["one two three", " a\n b ", "", "  "])
async def test_a_fake_streams_word_by_word(context: WorkflowContext, text: str) -> None:
    model = FakeChatModel(text)
    events = [event async for event in model.stream("Hi", context)]
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(texts) == text
    assert len(texts) <= max(1, len(text.split()))
    assert fold(events) == await model.execute("Hi", context)


async def test_a_fake_answers_in_turn_by_function_or_with_an_error(
    context: WorkflowContext,
) -> None:
    model = FakeChatModel(["a", ConnectionFailedError("gone"), assistant("b")])
    assert (await model.execute("1", context)).text == "a"
    with pytest.raises(ConnectionFailedError, match="gone"):
        await model.execute("2", context)
    assert (await model.execute("3", context)).text == "b"
    with pytest.raises(AssertionError, match="given 3 responses"):
        await model.execute("4", context)
    assert model.call_count == 4
    echo = FakeChatModel(lambda request: request.messages[-1].text.upper())
    assert (await echo.execute("hi", context)).text == "HI"


async def test_a_fake_can_call_tools(context: WorkflowContext) -> None:
    model = FakeChatModel(assistant([ToolCall("i", "f", {"a": 1})]))
    response = await model.execute("Hi", context)
    assert response.finish_reason == "tool_calls"
    assert await collect(model.stream("Hi", context)) == response


async def test_a_fake_can_break_off(context: WorkflowContext) -> None:
    events: list[Any] = []
    with pytest.raises(ConnectionFailedError) as caught:
        await _keep(FakeChatModel("a b c", break_after=2), context, events)
    assert [event.text for event in events] == ["a", " b"]
    assert caught.value.provider == "fake"
    assert context.usage.by_model["fake", "fake"].usage.estimated


async def _keep(model: ChatModel, context: WorkflowContext, events: list[Any]) -> None:
    async for event in model.stream("Hi", context):
        events.append(event)  # noqa: PERF401  # a comprehension would lose them


async def test_a_fake_takes_its_time(context: WorkflowContext) -> None:
    slow = FakeChatModel(delay=5, timeouts=Timeouts(total=0.02))
    with pytest.raises(ProviderTimeoutError):
        await slow.execute("Hi", context)
    with pytest.raises(ProviderTimeoutError):
        await collect(slow.stream("Hi", context))
    with pytest.raises(ProviderTimeoutError, match="next piece"):
        await collect(
            FakeChatModel("a b", word_delay=5, timeouts=Timeouts(gap=0.02)).stream("Hi", context)
        )


# -------------------------------------------------------------------------------------------
# budgets


async def test_dollars_are_set_aside_and_then_settled() -> None:
    model = FakeChatModel("a b", price=Price(input=1e6, output=1e6))
    budget = Budget(dollars=100)
    context = WorkflowContext(budget=budget)
    response = await model.execute(ChatRequest("Hi", max_tokens=10), context)
    assert response.cost_usd == 3.0
    assert budget.spent.dollars == 3.0
    with pytest.raises(BudgetExceededError):
        await model.execute(ChatRequest("Hi", max_tokens=90), context)
    assert model.call_count == 1


async def test_branches_cannot_pass_a_budget_together() -> None:
    model = FakeChatModel("a b", delay=0.01)
    budget = Budget(tokens=100)
    request = ChatRequest("Hi", max_tokens=20)
    workflow = model | model | model
    with pytest.raises(BudgetExceededError):
        await workflow.execute(request, WorkflowContext(budget=budget))
    assert (budget.spent.tokens or 0) <= 100


async def test_a_refusal_by_the_provider_is_free_and_a_cancelled_call_is_not() -> None:
    budget = Budget(tokens=1000)
    context = WorkflowContext(budget=budget)
    request = ChatRequest("Hi", max_tokens=20)
    with pytest.raises(InvalidRequestError):
        await FakeChatModel(InvalidRequestError("no", status=400)).execute(request, context)
    assert budget.spent.tokens == 0
    call = asyncio.create_task(FakeChatModel(delay=5).execute(request, context))
    await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert budget.spent.tokens == 2 + 16 + 20


# --------------------------------------------------------------------------------- a vendor's
# limits


class NoSeed(FakeChatModel):
    options = FakeChatModel.options - {"seed", "stop"}


async def test_what_a_vendor_lacks_is_refused_by_name(context: WorkflowContext) -> None:
    model = NoSeed()
    with pytest.raises(InvalidRequestError, match="fake takes no seed"):
        await model.execute(ChatRequest("Hi", seed=3), context)
    with pytest.raises(InvalidRequestError, match="fake takes no stop"):
        await collect(model.stream(ChatRequest("Hi", stop="x"), context))
    assert model.call_count == 0
    assert (await model.execute(ChatRequest("Hi", temperature=0.0), context)).text


def test_a_model_is_called_by_provider_and_name() -> None:
    assert FakeChatModel().name == "fake:fake"
    assert FakeChatModel(name="judge").name == "judge"


@pytest.mark.parametrize("arguments", [{"model": ""}, {"max_tokens": 0}])
def test_senseless_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needs the name|1 or more"):
        FakeChatModel(**arguments)


# -----------------------------------------------------------------------------------------
# embedders


async def test_vectors_are_unit_long_and_depend_on_the_text_alone(context: WorkflowContext) -> None:
    model = FakeEmbedder(dimensions=16, batch_size=2)
    vectors = await model.execute(["a", "b", "a"], context)
    assert vectors.shape == (3, 16)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert (vectors[0] == vectors[2]).all()
    assert (await model.execute("b", context) == vectors[1]).all()
    assert model.calls == [("a", "b"), ("a",), ("b",)]
    assert (await model.execute([], context)).shape == (0, 16)
    other = await FakeEmbedder(dimensions=16, model="other").execute("a", context)
    assert not (other == vectors[0]).all()


class Given(Embedder):
    """Gives what it is told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__(model="given", dimensions=2)
        self.answer = answer

    async def _embed(self, texts: Sequence[str], context: WorkflowContext) -> Any:
        return self.answer


async def test_any_length_is_made_one(context: WorkflowContext) -> None:
    assert (await Given([[3, 4]]).execute("x", context)).tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize("answer", [[[0, 0]], [[1, float("nan")]], [[1, 2, 3]], [[1, 2], [3, 4]]])
async def test_vectors_that_are_none_are_an_error(context: WorkflowContext, answer: Any) -> None:
    with pytest.raises(InvalidResponseError, match="given gave"):
        await Given(answer).execute("x", context)


@pytest.mark.parametrize("texts", [None, 7, [b"x"], ["a", 3]])
async def test_only_texts_are_embedded(context: WorkflowContext, texts: Any) -> None:
    with pytest.raises(TypeError, match="an embedder takes"):
        await FakeEmbedder().execute(texts, context)


# ------------------------------------------------------------------------------------------- by
# name


def test_a_model_by_its_name() -> None:
    model = chat_model("openai:gpt-4.1-mini", api_key="k", max_tokens=5)
    assert isinstance(model, OpenAIChatModel)
    assert (model.model, model.max_tokens) == ("gpt-4.1-mini", 5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("opnai:gpt", "did you mean 'openai'"),
        ("xyz:gpt", "there are .*openai"),
        ("gpt-4.1", "write vendor:model"),
        ("openai:", "write vendor:model"),
        (":gpt", "write vendor:model"),
    ],
)
def test_a_wrong_name_is_told_what_was_meant(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        chat_model(name)


def test_a_wrong_embedder_is_told_what_was_meant() -> None:
    with pytest.raises(ValueError, match="no vendor 'nobody' of an embedder"):
        embedder("nobody:x")


def test_packages_outside_add_vendors_with_an_entry_point(tmp_path: Any) -> None:
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tta_llm.chat_models]\nacme = outside:make\n")
    (tmp_path / "outside.py").write_text(
        "from tta_llm.testing.fakes import FakeChatModel\n"
        "def make(model): return FakeChatModel(model=model, provider='acme')\n"
    )
    code = (
        f"import sys; sys.path.append({str(tmp_path)!r})\n"
        "from tta_llm.providers import chat_model\n"
        "print(chat_model('acme:one').name)\n"
    )
    assert _run(code) == "acme:one"


# ----------------------------------------------------------------------------- what is missing


def test_a_missing_key_is_told_what_to_set() -> None:
    with pytest.raises(AuthenticationError, match="set OPENAI_API_KEY, pass api_key="):
        OpenAIChatModel("gpt-4.1-mini")


def test_a_missing_extra_is_told_what_to_install() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from tta_llm.errors import MissingExtraError\n"
        "from tta_llm.providers import chat_model\n"
        "try: chat_model('openai:gpt', api_key='k')\n"
        "except MissingExtraError as error: print(error)\n"
    )
    assert 'pip install "tta-llm[openai]"' in _run(code)


def test_a_client_brings_its_own_key() -> None:
    with pytest.raises(ValueError, match="not both"):
        OpenAIChatModel("m", client=object(), api_key="k")  # type: ignore[arg-type]


def test_the_sdk_is_imported_at_the_first_call() -> None:
    code = (
        "import sys\n"
        "from tta_llm.providers import chat_model\n"
        "chat_model('openai:gpt', api_key='k')\n"
        "print('openai' in sys.modules)\n"
    )
    assert _run(code) == "False"


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
