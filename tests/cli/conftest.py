from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import HTTPServer
from pathlib import Path

import pytest

from tests.cli.server import Server


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder with one small document."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "lamp.md").write_text("# Lamp\n\n## Power\n\nThe battery lasts nine hours.\n")
    return docs


@pytest.fixture
def server() -> Iterator[str]:
    pytest.importorskip("openai")
    Server.asked.clear()
    Server.left.clear()
    served = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}/v1"
    served.shutdown()
    served.server_close()
    thread.join()
