"""How often a right citation holds, and a wrong one of each kind is caught.

    python benchmarks/citations.py [FILE]

The file has a claim, a source and whether it supports the claim in each line. Those of
`data/claims.jsonl` were written for the examples' documents and the rules were made with them at
hand, so that they show what is meant to work; on other texts expect less.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

from tta_llm.rag.answers.prompt_sources import Source
from tta_llm.rag.answers.support import find_support
from tta_llm.rag.documents import Chunk

CLAIMS = Path(__file__).parent / "data" / "claims.jsonl"


def main(file: Path) -> None:
    """Print the rate of right decisions for each kind, and the wrong ones."""
    right, all_of = Counter[str](), Counter[str]()
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        text, kind = row["source"], row["kind"]
        chunk = Chunk("1", "a.md", "Heron handbook", (), text, 0, len(text), 1, 1, None)
        problem = find_support(row["claim"], Source(1, chunk, text, 0)).problem
        all_of[kind] += 1
        right[kind] += (problem is None) == row["supported"]
        if (problem is None) != row["supported"]:
            print(f"wrong: {kind}: {row['claim']} ({problem})")
    for kind, number in sorted(all_of.items()):
        print(f"{kind:12} {right[kind]:3} of {number}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else CLAIMS)
