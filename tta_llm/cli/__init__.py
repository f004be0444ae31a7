"""The `tta` command: it parses, calls the package, and prints."""

from __future__ import annotations

from tta_llm.cli.app import main

__all__ = ["main"]
