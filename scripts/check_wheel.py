"""Build the package and try the wheel as a user gets it: clean, and away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SDIST_TOP = {
    "CHANGELOG.md",
    "LICENSE",
    "PKG-INFO",
    "README.md",
    "pyproject.toml",
    "tta_llm",
    ".gitignore",
}

SMOKE = """
import importlib.metadata, importlib.util, pathlib, sys
import tta_llm
from tta_llm import WorkflowContext, step

assert pathlib.Path(tta_llm.__file__).is_relative_to(sys.prefix), tta_llm.__file__
assert not importlib.util.find_spec("openai"), "an extra is installed in the clean environment"

@step
def double(number: int) -> int:
    return 2 * number

async def increment(number: int, context: WorkflowContext) -> int:
    return number + 1

pipeline = double >> increment >> (double | increment)
assert pipeline.run(20) == (82, 42), pipeline.run(20)
print("pipeline ok with tta-llm", importlib.metadata.version("tta-llm"))
"""


def build(folder: Path) -> tuple[Path, Path]:
    """Build an sdist, and the wheel from it: so neither can lack what the other needs."""
    hatch = (sys.executable, "-m", "hatchling", "build", "--directory", str(folder), "--target")
    subprocess.run([*hatch, "sdist"], cwd=ROOT, check=True)
    [sdist] = folder.glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder)
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    subprocess.run([*hatch, "wheel"], cwd=unpacked, check=True)
    [wheel] = folder.glob("*.whl")
    return sdist, wheel


def source_files() -> set[str]:
    """Every file of the package in the checkout that belongs into the wheel."""
    files = (path for path in (ROOT / "tta_llm").rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}


def check_contents(sdist: Path, wheel: Path) -> None:
    """Compare what was packed with what should be."""
    with tarfile.open(sdist) as archive:
        top = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    if strays := top ^ SDIST_TOP:
        sys.exit(f"The sdist should hold {sorted(SDIST_TOP)}; it differs in {sorted(strays)}.")
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if ".dist-info/" not in name}
    if strays := names ^ source_files():
        sys.exit(f"The wheel should hold the files of tta_llm/; it differs in {sorted(strays)}.")
    if "tta_llm/py.typed" not in names:
        sys.exit(
            "The wheel has no tta_llm/py.typed, so type checkers would not read its annotations."
        )


def try_wheel(wheel: Path, folder: Path) -> None:
    """Install the wheel with the core's pinned dependencies only, and use it."""
    home = folder / "clean"
    make = ("sh", "scripts/make-env.sh", str(home), "requirements/core.txt", str(wheel))
    subprocess.run(make, cwd=ROOT, check=True, env={**os.environ, "PYTHON": sys.executable})
    for command in (
        (home / "bin" / "python", "-W", "error", "-c", SMOKE),
        (home / "bin" / "tta", "--version"),
        (
            sys.executable,
            "-m",
            "uv",
            "pip",
            "check",
            "--quiet",
            "--python",
            home / "bin" / "python",
        ),
    ):
        if subprocess.run(command, cwd=folder, check=False).returncode:
            sys.exit("The wheel does not work away from the checkout; the lines above say how.")


def main() -> int:
    """Build, look inside, install and use."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdist, wheel = build(folder)
        check_contents(sdist, wheel)
        try_wheel(wheel, folder)
        print(f"{wheel.name}: contents, pipeline and command line are right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
