"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

__all__ = ["AsJson", "BaseUrl", "Docs", "Index", "Model", "Rebuild", "Store", "TopK", "Where"]

Docs: TypeAlias = Annotated[
    Path,
    typer.Option(
        help="A folder of documents, or one document: Markdown, text, HTML, PDF and more.",
        show_default=False,
    ),
]
Index: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Where the index is kept. Without it: in the cache folder of your account.",
        show_default=False,
    ),
]
Store: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="What keeps the vectors: chroma, numpy or what a package adds. Without it: what the "
        "index was made with, or chroma.",
        show_default=False,
    ),
]
Where: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Only documents that match, as in 'year >= 2024 and kind == \"pdf\"'.",
        show_default=False,
    ),
]
Rebuild: TypeAlias = Annotated[bool, typer.Option("--rebuild", help="Embed all documents anew.")]
Model: TypeAlias = Annotated[
    str | None,
    typer.Option(
        envvar="TTA_MODEL",
        help="Who writes the answer: openai:NAME, anthropic:NAME, google:NAME, ollama:NAME and "
        "so on, or none to quote the documents. Without it: openai:gpt-4.1-mini when "
        "OPENAI_API_KEY is set, else none.",
        show_default=False,
    ),
]
BaseUrl: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="A server that speaks OpenAI's protocol, such as http://localhost:11434/v1. "
        "Without --model: the first model that it names.",
        show_default=False,
    ),
]
TopK: TypeAlias = Annotated[
    int, typer.Option(min=1, max=50, help="How many passages the answer may rest on.")
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object, for scripts.")
]
