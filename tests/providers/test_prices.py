"""Prices from the offline list, limits of models, and counting tokens."""

from __future__ import annotations

import gzip
import importlib.resources
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tta_llm.core import WorkflowContext
from tta_llm.errors import ContextLengthError
from tta_llm.messages import Usage
from tta_llm.providers import (
    ModelInfo,
    OpenAIChatModel,
    OpenAIEmbedder,
    Price,
    list_price,
    model_info,
    token_counter,
)
from tta_llm.providers.counting import encoding_of
from tta_llm.providers.list_price import why_unpriced
from tta_llm.testing import FakeChatModel

# ------------------------------------------------------------------------------------------ prices


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4.1-mini"),
        ("openai", "gpt-4o-2024-08-06"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "models/gemini-2.5-pro"),
        ("openrouter", "openai/gpt-4o"),
        ("azure", "gpt-4o"),
    ],
)
def test_the_list_agrees_with_its_own_sums(provider: str, model: str) -> None:
    """What we cache of it must come to the same as asking it anew, long requests included."""
    genai_prices = pytest.importorskip("genai_prices")
    price = list_price(provider, model)
    assert price is not None
    for read, cached in ((1000, 300), (250_000, 100_000), (200_000, 0), (200_001, 0)):
        told = genai_prices.Usage(input_tokens=read, cache_read_tokens=cached, output_tokens=500)
        name = model.removeprefix("models/")
        sums = genai_prices.calc_price(told, name, provider_id=provider)
        ours = price.cost(Usage(read, 500, cached_input_tokens=cached))
        assert ours == pytest.approx(float(sums.total_price), rel=1e-9)
        assert price.at_most(read, 500) >= ours


def test_tokens_put_into_a_cache_have_their_price() -> None:
    genai_prices = pytest.importorskip("genai_prices")
    price = list_price("anthropic", "claude-sonnet-4-5")
    assert price is not None
    assert price.cost(Usage(1000, 0, cache_write_tokens=1000)) == pytest.approx(0.00375)
    for_an_hour = Usage(1000, 0, cache_write_tokens=1000, cache_write_1h_tokens=1000)
    assert price.cost(for_an_hour) == pytest.approx(0.006)
    assert price.cost(Usage(1000, 0, cached_input_tokens=1000)) == pytest.approx(0.0003)
    for read in (1000, 250_000):
        told = genai_prices.Usage(
            input_tokens=read,
            cache_read_tokens=100,
            cache_write_tokens=700,
            cache_write_1h_tokens=500,
        )
        sums = genai_prices.calc_price(told, "claude-sonnet-4-5", provider_id="anthropic")
        used = Usage(
            read,
            cached_input_tokens=100,
            cache_write_tokens=700,
            cache_write_1h_tokens=500,
        )
        assert price.cost(used) == pytest.approx(float(sums.total_price), rel=1e-9)


def test_whoever_keeps_a_prompt_for_an_hour_charges_twice_its_input() -> None:
    """Which is what a price of your own assumes when it doesn't say."""
    pytest.importorskip("genai_prices")
    models = ("claude-haiku-4-5", "claude-sonnet-4-5", "claude-sonnet-5", "claude-opus-5-5")
    for model in models:
        price = list_price("anthropic", model)
        assert price is not None
        for each in (price, *(above for _, above in price.above)):
            assert each.cache_write_1h == pytest.approx(2 * each.input)


def test_an_embedder_needs_no_price_for_writing() -> None:
    pytest.importorskip("genai_prices")
    assert list_price("openai", "text-embedding-3-small") is None
    embedder = OpenAIEmbedder("text-embedding-3-small", api_key="k")
    assert embedder.price == Price(0.02, 0.0)


def test_the_address_decides_whose_price_it_is() -> None:
    pytest.importorskip("genai_prices")

    def at(base_url: str, model: str) -> Price | None:
        return OpenAIChatModel(model, api_key="k", base_url=base_url).price

    assert at("https://api.openai.com/v1", "gpt-4.1-mini") == list_price("openai", "gpt-4.1-mini")
    groq = at("https://api.groq.com/openai/v1", "openai/gpt-oss-20b")
    assert groq is not None
    assert groq == list_price("groq", "openai/gpt-oss-20b")
    for own in ("http://127.0.0.1:8080/v1", "http://ollama:11434/v1", "http://10.0.0.3/v1"):
        assert at(own, "gpt-4.1-mini") is None
    assert at("https://llm.example.com/v1", "gpt-4.1-mini") is None
    assert at("https://us.openai.azure.com/openai", "gpt-4.1-mini") is None


def test_a_price_given_comes_first() -> None:
    own = Price(input=1.0, output=2.0)
    assert OpenAIChatModel("gpt-4.1-mini", api_key="k", price=own).price is own


def test_an_unknown_price_is_none_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "tta_llm.providers"):
        assert list_price("openai", "gpt-of-nobody") is None
        assert list_price("openai", "gpt-of-nobody") is None
        assert list_price("nobody", "x") is None
    assert len(caplog.records) == 2
    assert "no price is known for openai:gpt-of-nobody" in caplog.messages[0]


def test_the_list_is_loaded_at_the_first_priced_call_alone() -> None:
    code = (
        "import sys\n"
        "from tta_llm.providers import OpenAIChatModel, list_price\n"
        "from tta_llm.testing import FakeChatModel\n"
        "FakeChatModel(provider='openai', model='gpt-4.1').run('Hi')\n"
        "local = OpenAIChatModel('m', base_url='http://127.0.0.1:1/v1')\n"
        "print(local.price, 'genai_prices' in sys.modules)\n"
    )
    assert _run(code) == "None False"


def test_without_the_package_nothing_has_a_price_and_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from tta_llm.providers import list_price\n"
        "print(list_price('openai', 'gpt-4.1-mini'))\n"
    )
    assert _run(code) == "None"
    assert "give it price=" in why_unpriced("p", "m")


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


# ------------------------------------------------------------------------------------------ limits


@pytest.mark.parametrize(
    ("vendor", "name", "window"),
    [
        ("openai", "gpt-4.1-mini", 1_047_576),
        ("openai", "gpt-4.1-mini-2025-04-14", 1_047_576),
        ("openai", "gpt-4o-2024-05-13", 128_000),
        ("anthropic", "claude-sonnet-4-5-20250929", 200_000),
        ("google", "models/gemini-2.5-pro", 1_048_576),
    ],
)
def test_a_release_has_the_limits_of_its_model(vendor: str, name: str, window: int) -> None:
    info = model_info(vendor, name)
    assert info is not None
    assert info.context_window == window


def test_unknown_models_and_servers_of_ones_own_have_no_limits() -> None:
    assert model_info("openai", "gpt-of-nobody") is None
    assert model_info("nobody", "gpt-4") is None
    assert OpenAIChatModel("gpt-4", base_url="http://127.0.0.1:1/v1").info is None
    assert FakeChatModel(provider="openai", model="gpt-4").info is None
    known = OpenAIChatModel("gpt-4", api_key="k").info
    assert known is not None
    assert known.context_window == 8192
    with pytest.raises(ValueError, match="context_window must be 1 or more"):
        ModelInfo(context_window=0)


async def test_what_certainly_cannot_fit_is_refused_before_the_call() -> None:
    info = ModelInfo(context_window=1000)
    context = WorkflowContext()
    openai, other = FakeChatModel(info=info, provider="openai"), FakeChatModel(info=info)
    with pytest.raises(ContextLengthError, match="has 1500 tokens or more, and fake takes 1000"):
        await openai.execute(" a" * 1500, context)
    await openai.execute(" a" * 1000, context)
    await openai.execute("a" * 5000, context)
    # How others cut a text into tokens is not public.
    await other.execute(" a" * 1500, context)
    with pytest.raises(ContextLengthError, match="has 1001 tokens or more"):
        await other.execute("x" * 128 * 1001, context)
    assert (openai.call_count, other.call_count) == (2, 1)


# ---------------------------------------------------------------------------------------- counting

TEXT = "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich. 東京は日本の首都です。"


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo-2024-04-09", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("ft:gpt-3.5-turbo:me::x", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("ft:gpt-4o:me::x", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-6.1-sol", "o200k_base"),
        ("o3", "o200k_base"),
        ("gpt-40-of-the-future", "o200k_base"),
    ],
)
def test_a_model_has_its_encoding_and_new_ones_the_newest(model: str, encoding: str) -> None:
    assert encoding_of(model) == encoding


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def seeded(no_cache: Path) -> Path:
    """Put a sound vocabulary where tiktoken looks, as one that downloaded it once would have."""
    pytest.importorskip("tiktoken")
    pytest.importorskip("bpe_openai")
    packed = importlib.resources.files("bpe_openai") / "data" / "o200k_base.tiktoken.gz"
    name = "fb374d419588a4632f3f557e76b4b70aebbca790"
    (no_cache / name).write_bytes(gzip.decompress(packed.read_bytes()))
    return no_cache / name


def test_tiktoken_counts_when_its_vocabulary_is_here(seeded: Path) -> None:
    counter = token_counter("openai:gpt-4.1-mini")
    assert (counter.source, counter.estimated) == ("tiktoken:o200k_base", False)
    assert counter.count("hello world") == 2
    assert counter.count("<|endoftext|>") > 1
    assert counter.count("half a pair: \ud83d") > 0


def test_a_damaged_vocabulary_is_left_alone(seeded: Path) -> None:
    """Tiktoken would remove it and go to the network."""
    seeded.write_bytes(b"damaged")
    assert not token_counter("openai:gpt-4.1").source.startswith("tiktoken")
    assert seeded.read_bytes() == b"damaged"


def test_bpe_openai_counts_without_a_vocabulary(no_cache: Path) -> None:
    pytest.importorskip("bpe_openai")
    counter = token_counter("openai:gpt-4.1-mini")
    assert (counter.source, counter.estimated) == ("bpe-openai:o200k_base", False)
    assert counter.count("hello world") == 2
    assert not list(no_cache.iterdir())


def test_both_count_the_same(seeded: Path) -> None:
    exact = token_counter("openai:gpt-4.1").count(TEXT)
    seeded.unlink()
    assert token_counter("openai:gpt-4.1").count(TEXT) == exact


def test_without_packages_and_network_there_is_an_estimate() -> None:
    """A download that fails is no error either."""
    code = (
        "import os, sys; os.environ['TIKTOKEN_CACHE_DIR'] = ''\n"
        "sys.modules['bpe_openai'] = None\n"
        "class Failing:\n"
        "    def get_encoding(self, name): raise ConnectionError('no network')\n"
        "sys.modules['tiktoken'] = Failing()\n"
        "from tta_llm.providers import token_counter\n"
        "first = token_counter('openai:gpt-4.1')\n"
        "second = token_counter('openai:gpt-4.1', download=True)\n"
        "print(first.source, first.estimated, second.source, first.count('x' * 40))\n"
    )
    assert _run(code) == "estimate True estimate 10"


@pytest.mark.parametrize(
    "model", ["anthropic:claude-sonnet-5", "google:gemini-2.5-pro", "x", "openai:"]
)
def test_other_vendors_tokens_are_estimated(model: str) -> None:
    counter = token_counter(model)
    assert counter.estimated
    assert counter.source == "estimate"
    assert counter.count("half a pair: \ud83d") > 0
    assert counter.count("") == 0


def test_no_counter_counts_fewer_tokens_than_are_certain(no_cache: Path) -> None:
    """The bound that refuses a request must hold for the real encoding."""
    pytest.importorskip("bpe_openai")
    from tta_llm.messages import ChatRequest  # noqa: PLC0415
    from tta_llm.providers.tokens import fewest_input_tokens, most_input_tokens  # noqa: PLC0415

    count = token_counter("openai:gpt-4.1").count
    texts: list[Any] = [
        TEXT,
        " a" * 99,
        "a's it's\n\tb",
        " " * 1000,
        "x²  ½ y\r\n z",
        "a\u00a0b ;\n/c",
    ]
    for text in texts:
        request = ChatRequest(text)
        for by_words in (True, False):
            assert fewest_input_tokens(request, by_words=by_words) <= count(text)
        assert count(text) <= most_input_tokens(request)
