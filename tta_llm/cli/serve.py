"""`tta serve`: the command and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tta_llm.cli.leaving import leave

__all__ = ["serve"]


def serve(
    workflows: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]MODULE:WORKFLOW...",
            help="What to serve: my_app.bots:support, or path/to/file.py:support. A name in front "
            "is what clients ask for; several may be served.",
            show_default=False,
        ),
    ],
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")
    ] = 8000,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="A file of name:key lines: who may ask. Those in TTA_SERVE_KEYS count too.",
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Answer other machines without keys.")
    ] = False,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="Pages of this origin may ask, as in https://chat.example.com; may be repeated.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds a request may take.")] = 300.0,
    max_concurrency: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 1000,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes of a request's body.")] = 10 * 2**20,
    max_cost: Annotated[
        float | None,
        typer.Option(help="US dollars a request may cost.", show_default=False),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Tokens a request may use.", show_default=False)
    ] = None,
    max_calls: Annotated[
        int | None, typer.Option(help="Model calls a request may make.", show_default=False)
    ] = None,
    grace: Annotated[
        float,
        typer.Option(min=0, help="Seconds that begun answers have to finish when it is stopped."),
    ] = 30.0,
    continue_restarts: Annotated[
        bool,
        typer.Option(
            "--continue-restarts",
            help="Streams in OpenAI's form go on when an answer begins anew, with both texts.",
        ),
    ] = False,
    no_page: Annotated[bool, typer.Option("--no-page", help="Serve no chat page.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines of JSON.")] = False,
) -> None:
    """Serve a workflow over HTTP: a chat page, /run, and OpenAI's chat API.

    The first SIGTERM or Ctrl-C lets answers finish, the second ends at once.

    Exit codes: 0 stopped as asked; 1 something failed; 2 wrong usage; 130 interrupted.
    """
    # Imported here, because it loads what `tta --version` and `--help` don't need.
    from tta_llm.cli.run_serve import ServeOptions, run_serve  # noqa: PLC0415

    options = ServeOptions(
        workflows=workflows,
        host=host,
        port=port,
        key_file=key_file,
        insecure=insecure,
        allow_origins=tuple(allow_origin or ()),
        timeout=timeout,
        max_concurrency=max_concurrency,
        max_body=max_body,
        max_cost=max_cost,
        max_tokens=max_tokens,
        max_calls=max_calls,
        grace=grace,
        continue_restarts=continue_restarts,
        page=not no_page,
        log_json=log_json,
    )
    leave(lambda: run_serve(options), as_json=False)
