"""A folder of hostile files is read through: each is named, read safely or skipped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rag.hostile import IGNORED, READ, REFUSED, build_hostile_folder

MEGABYTES = 600
READ_ALL = r"""
import json, re, sys
from pathlib import Path
from tta_llm.errors import DocumentError
from tta_llm.rag.loading.reading import find_files, parse_document
from tta_llm.rag.loading.loaders import docx, html, json_records, markdown, pdf, table
seen = {}
for file in find_files(Path(sys.argv[1])):
    try:
        seen[file.path] = file.ignored or f"read {parse_document(file.path, file.read()).path}"
    except DocumentError as error:
        seen[file.path] = str(error)
# Not of getrusage, which counts what the process was forked from.
peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
print(json.dumps([seen, int(peak) // 1024]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_each_hostile_file_is_named_and_memory_stays_bounded(tmp_path: Path) -> None:
    folder = build_hostile_folder(tmp_path / "hostile")
    command = [sys.executable, "-c", READ_ALL, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    seen, peak = json.loads(run.stdout)
    for path, reason in REFUSED.items():
        assert reason in seen[path], path
    assert [path for path in READ if seen[path] != f"read {path}"] == []
    assert {path: seen[path] for path in IGNORED} == IGNORED
    assert "not a plain file" in seen["pipe.md"]
    assert peak < MEGABYTES
