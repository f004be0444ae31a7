from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tta_llm.cli.exits import UsageError
from tta_llm.cli.loading import load_workflow

SOURCE = """
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tta_llm.testing import FakeChatModel

events = []


class Model(FakeChatModel):
    async def aclose(self):
        events.append("closed")


plain = Model(name="plain")


def made():
    return Model(name="made")


async def awaited():
    return Model(name="awaited")


@asynccontextmanager
async def opened():
    events.append("opened")
    yield Model(name="opened")
    events.append("done")


class Holder:
    inner = plain


def asks(name):
    return plain


def broken():
    raise OSError("no such index\\nanywhere")


@asynccontextmanager
async def closed():
    raise KeyError("MODEL_KEY")
    yield


number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "some_bots_of_a_test.py"
    path.write_text(SOURCE)
    return path


async def load(where: str) -> str:
    async with load_workflow(where) as workflow:
        return workflow.name


@pytest.mark.parametrize("name", ["plain", "made", "awaited", "opened"])
async def test_each_form_of_a_workflow_is_found(file: Path, name: str) -> None:
    assert await load(f"{file}:{name}") == name


async def test_an_attribute_may_have_dots(file: Path) -> None:
    assert await load(f"{file}:Holder.inner") == "plain"


async def test_models_are_closed_before_what_was_opened_around_them(file: Path) -> None:
    import sys  # noqa: PLC0415

    await load(f"{file}:opened")
    assert sys.modules[file.stem].events == ["opened", "closed", "done"]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("x", "names no workflow"),
        (":x", "names no workflow"),
        ("x:", "names no workflow"),
        ("no_such_package.part:x", "there is no module 'no_such_package.part'"),
        ("{file}:asks", "can't be called without arguments"),
        ("{file}:number", "is int, and no workflow"),
        ("{file}:broken", "making {file}:broken failed: OSError: no such index anywhere"),
        ("{file}:closed", "closed failed: KeyError: 'MODEL_KEY'"),
        ("{file}:missing", "it has the workflows plain"),
        ("{file}x.py:a", "there is no file"),
    ],
)
def test_what_is_no_workflow_is_told_in_a_sentence(file: Path, where: str, said: str) -> None:
    with pytest.raises(UsageError) as told:
        asyncio.run(load(where.format(file=file)))
    assert said.format(file=file) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("source", ["import no_such_thing", "1 / 0", "(", "raise SystemExit(3)"])
def test_a_module_that_can_not_be_imported_is_told(tmp_path: Path, source: str) -> None:
    path = tmp_path / "broken_bots_of_a_test.py"
    path.write_text(source)
    with pytest.raises(UsageError, match=r"importing .* failed"):
        load_workflow(f"{path}:bot")
