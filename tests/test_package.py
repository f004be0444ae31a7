"""What importing and installing the package costs and leaves behind."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import tta_llm

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))

HEAVY = {
    *("anthropic", "chromadb", "google.genai", "httpx", "httpx2", "openai", "redis"),
    *(
        "Stemmer",
        "genai_prices",
        "numpy",
        "onnxruntime",
        "pypdf",
        "selectolax",
        "tiktoken",
        "tokenizers",
    ),
    *("opentelemetry.sdk", "rich", "typer"),
}

IMPORT_REPORT = """
import json, logging, sys, threading, time
from opentelemetry import metrics, trace

opened = []
def watch(event, args):
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        opened.append(str(args[0]))
    if event.startswith("socket."):
        opened.append(event)
sys.addaudithook(watch)
start = time.process_time()
from tta_llm import *
seconds = time.process_time() - start
print(json.dumps({
    "seconds": seconds,
    "modules": sorted(sys.modules),
    "opened": opened,
    "threads": threading.active_count(),
    "tracer_provider": type(trace.get_tracer_provider()).__name__,
    "meter_provider": type(metrics.get_meter_provider()).__name__,
    "root_handlers": len(logging.getLogger().handlers),
}))
"""


def import_report() -> dict[str, object]:
    """Import the package in a fresh process, which writes no byte code of its own."""
    command = [sys.executable, "-B", "-W", "error", "-c", IMPORT_REPORT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report: dict[str, object] = json.loads(done.stdout)
    return report


def test_import_is_cheap() -> None:
    """CPU time, the least of three: another process on the machine must not decide."""
    import_all = [sys.executable, "-c", "from tta_llm import *"]
    subprocess.run(import_all, check=True)  # leaves the byte code for the timed ones
    assert min(float(str(import_report()["seconds"])) for _ in range(3)) < 0.3


def test_import_leaves_no_trace() -> None:
    report = import_report()
    loaded = HEAVY.intersection(report["modules"])  # type: ignore[arg-type]
    assert not loaded, f"import tta_llm also imports {sorted(loaded)}"
    assert report["opened"] == []
    assert report["threads"] == 1
    assert report["tracer_provider"] == "ProxyTracerProvider"
    assert report["meter_provider"] == "_ProxyMeterProvider"
    assert report["root_handlers"] == 0


def test_public_names_are_there() -> None:
    for name in tta_llm.__all__:
        assert getattr(tta_llm, name) is not None


@pytest.mark.parametrize(
    "name", ["core", "errors", "messages", "performance", "recovery", "routing", "testing"]
)
def test_public_modules_name_what_they_export(name: str) -> None:
    module = importlib.import_module(f"tta_llm.{name}")
    for exported in module.__all__:
        assert getattr(module, exported) is not None


def test_version_is_written_once() -> None:
    assert version("tta-llm") == PROJECT["project"]["version"]
    assert tta_llm.__version__ == PROJECT["project"]["version"]
    assert f"## {PROJECT['project']['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_hold_hashes_and_no_address(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "--index" not in text
    pins = re.findall(r"^[\w.-]+(?:\[[\w.,-]+\])?==.+\n    --hash=", text, flags=re.MULTILINE)
    assert len(pins) == len(re.findall(r"^\w", text, flags=re.MULTILINE)) > 0


def pinned(path: Path) -> dict[str, str]:
    found = re.findall(
        r"^([\w.-]+)(?:\[[\w.,-]+\])?==([^ ]+)", path.read_text(), flags=re.MULTILINE
    )
    return {canonicalize_name(name): number for name, number in reversed(found)}


def test_pins_fit_the_ranges() -> None:
    """`make requirements` was run after the last change of a range."""
    core = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
    for path in REQUIREMENTS:
        pins = pinned(path)
        # What a step adds to an environment that has the package holds no pin of its dependencies.
        for requirement in core if path.name != "real.txt" else ():
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier, path.name


# What can't be installed beside the newest of the others, or brings a gigabyte, has no place in
# `all`, nor a pin.
APART = {"flashrank", "google-generativeai", "sentence-transformers"}


def test_lowest_pins_are_the_lower_bounds() -> None:
    pins = pinned(ROOT / "requirements" / "lowest.txt")
    extras = PROJECT["project"]["optional-dependencies"]
    # `mcp` asks for a newer pydantic than the rest, whose lowest is tested without it.
    listed = [line for name in set(extras) - APART - {"all", "mcp"} for line in extras[name]]
    for line in [*PROJECT["project"]["dependencies"], *listed]:
        requirement = Requirement(line)
        bounds = [spec.version for spec in requirement.specifier if spec.operator in {">=", "=="}]
        lowest = Requirement(f"x=={bounds[0]}").specifier
        assert pins[canonicalize_name(requirement.name)] in lowest, requirement.name


def test_all_brings_every_extra() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    [everything] = extras["all"]
    assert Requirement(everything).extras == set(extras) - APART - {"all"}
