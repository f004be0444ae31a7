"""`tta mcp`: the command and its options."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["mcp"]


def mcp(
    workflow: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:WORKFLOW",
            help="What to serve: my_app.bots:support, or path/to/file.py:support.",
            show_default=False,
        ),
    ],
    *,
    name: Annotated[
        str | None, typer.Option(help="The tool's name; the workflow's when missing.")
    ] = None,
    description: Annotated[
        str, typer.Option(help="What the tool is for.", show_default=False)
    ] = "",
    timeout: Annotated[float, typer.Option(help="Seconds a call may take.")] = 300.0,
) -> None:
    """Serve a workflow as a tool for MCP clients, over stdin and stdout."""
    # Imported here, because it loads what `tta --version` and `--help` don't need.
    from tta_llm.cli.run_mcp import run_mcp  # noqa: PLC0415

    run_mcp(workflow, name, description, timeout)
