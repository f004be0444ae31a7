from __future__ import annotations

from pathlib import Path

import pytest

from tta_llm.providers.minilm import MiniLM


@pytest.fixture(scope="session")
def minilm() -> MiniLM:
    """The real model, loaded once."""
    return MiniLM()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small documents."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "lamp.md").write_text(
        "# Lamp\n\n## Power\n\nThe battery lasts nine hours.\nIt charges in two.\n\n"
        "## Colours\n\nThe lamp is sold in red and in blue.\n"
    )
    (docs / "price.txt").write_text("The lamp costs 40 euros. Shipping is free.\n")
    return docs
