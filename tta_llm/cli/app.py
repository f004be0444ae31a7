"""The commands, their options, and what happens to an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

import tta_llm
from tta_llm.cli.chat import chat
from tta_llm.cli.cost import cost
from tta_llm.cli.eval import evaluate
from tta_llm.cli.exits import Exit, UsageError
from tta_llm.cli.leaving import leave
from tta_llm.cli.mcp import mcp
from tta_llm.cli.options import AsJson, BaseUrl, Docs, Index, Model, Rebuild, Store, TopK, Where
from tta_llm.cli.output import print_error
from tta_llm.cli.route import route_app
from tta_llm.cli.serve import serve
from tta_llm.cli.trace import trace
from tta_llm.errors import TTAError

__all__ = ["app", "main"]

# typer carries a click of its own in some releases; this is its error of usage in all of them.
_ParserError: type[Exception] = typer.BadParameter.__mro__[1]

app: typer.Typer = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(route_app, name="route")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        typer.echo(f"tta {tta_llm.__version__}")
        raise typer.Exit


@app.callback()
def tta(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Build and ask LLM pipelines."""


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What you want to know.", show_default=False)],
    *,
    docs: Docs,
    model: Model = None,
    base_url: BaseUrl = None,
    index: Index = None,
    store: Store = None,
    top_k: TopK = 6,
    where: Where = None,
    rebuild: Rebuild = False,
    as_json: AsJson = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more, on stderr.")] = False,
) -> None:
    """Answer a question from your documents, with the places that say so.

    The first run embeds the documents on this machine, with no key and no network; later runs embed
    only what changed.

    Exit codes: 0 answered; 1 something failed; 2 wrong usage; 3 the documents don't answer this;
    4 answered, but some documents could not be read; 130 interrupted.
    """
    # Imported here, because it loads for a second what `tta --version` and `--help` don't need.
    from tta_llm.cli.ask import AskOptions, run_ask  # noqa: PLC0415
    from tta_llm.cli.documents import Documents  # noqa: PLC0415

    options = AskOptions(
        _typed(question),
        Documents(docs, index, store, rebuild),
        model,
        base_url,
        top_k,
        where,
        as_json=as_json,
        verbose=verbose,
    )
    leave(lambda: run_ask(options), as_json=as_json, recorded_as="tta ask")


@app.command()
def ingest(
    docs: Annotated[
        Path, typer.Argument(help="A folder of documents, or one document.", show_default=False)
    ],
    *,
    index: Index = None,
    store: Store = None,
    rebuild: Rebuild = False,
    as_json: AsJson = False,
) -> None:
    """Take documents into an index, so that questions find it up to date.

    What did not change costs nothing; what is gone is forgotten. A run that was broken off goes on
    where it stopped.

    Exit codes: 0 done; 1 something failed, or nothing can be read; 2 wrong usage; 4 done, but some
    documents could not be read; 130 interrupted.
    """
    from tta_llm.cli.documents import Documents  # noqa: PLC0415
    from tta_llm.cli.ingest import IngestOptions, run_ingest  # noqa: PLC0415

    options = IngestOptions(Documents(docs, index, store, rebuild), as_json=as_json)
    leave(lambda: run_ingest(options), as_json=as_json, recorded_as="tta ingest")


@app.command()
def search(
    question: Annotated[str, typer.Argument(help="What you look for.", show_default=False)],
    *,
    docs: Docs,
    index: Index = None,
    store: Store = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="How many passages to show.")] = 6,
    where: Where = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why each was found, stage by stage.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the passages that bear on a question.

    Exit codes: 0 found; 1 something failed; 2 wrong usage; 3 nothing found; 4 found, but some
    documents could not be read; 130 interrupted.
    """
    from tta_llm.cli.documents import Documents  # noqa: PLC0415
    from tta_llm.cli.search import SearchOptions, run_search  # noqa: PLC0415

    options = SearchOptions(
        _typed(question),
        Documents(docs, index, store),
        top_k,
        where,
        explain=explain,
        as_json=as_json,
    )
    leave(lambda: run_search(options), as_json=as_json, recorded_as="tta search")


app.command()(chat)
app.command(name="eval")(evaluate)
app.command()(trace)
app.command()(cost)
app.command()(serve)
app.command()(mcp)


def _typed(text: str) -> str:
    """Where the system's encoding is not UTF-8, what was typed arrives as bytes in disguise."""
    return os.fsencode(text).decode("utf-8", "replace")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tta` and leave the process with its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        # A terminal or pipe that isn't Unicode shows \\u escapes instead of failing.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        code = _close_quietly(sys.stdout)
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    as_json = "--json" in arguments
    try:
        return int(
            app(args=[*arguments] or ["--help"], prog_name="tta", standalone_mode=False) or 0
        )
    except BrokenPipeError:
        raise
    except _ParserError as error:
        told: Any = error
        print_error(
            told.format_message().rstrip(".") + "; see tta --help",
            "UsageError",
            Exit.USAGE,
            as_json=as_json,
        )
        return Exit.USAGE
    except UsageError as error:
        print_error(str(error), "UsageError", Exit.USAGE, as_json=as_json)
        return Exit.USAGE
    except (TTAError, OSError, ImportError, ValueError) as error:
        print_error(str(error), type(error).__name__, Exit.FAILED, as_json=as_json)
        return Exit.FAILED


def _close_quietly(stream: TextIO) -> int:
    """Whoever read our output has gone; nothing more is written, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return Exit.ANSWERED
