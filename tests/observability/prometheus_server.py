"""Debian's prometheus on a free port of this machine, with its files in a folder of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("prometheus")

_SETTINGS = """
scrape_configs:
  - job_name: application
    scrape_interval: 1s
    scrape_timeout: 1s
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Prometheus:
    """A server that runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def series(self, query: str) -> list[tuple[dict[str, str], float]]:
        """What a query gives: each series' labels and figure."""
        asked = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{asked}", timeout=10) as answer:
            told: Any = json.load(answer)
        return [(each["metric"], float(each["value"][1])) for each in told["data"]["result"]]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10):
                return True
        except urllib.error.URLError:
            return False


@contextmanager
def scraping(port: int, folder: Path) -> Iterator[Prometheus]:
    """Run a server that reads the metrics at a port while the block runs."""
    assert PROGRAM is not None
    settings = folder / "prometheus.yml"
    settings.write_text(_SETTINGS.format(port=port))
    own = _free_port()
    command = [
        PROGRAM,
        f"--config.file={settings}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
        "--log.level=warn",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            server, give_up = Prometheus(own), time.monotonic() + 30
            while not server.is_ready():
                assert process.poll() is None, "prometheus ended by itself"
                assert time.monotonic() < give_up, "prometheus doesn't answer"
                time.sleep(0.05)
            yield server
        finally:
            process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
