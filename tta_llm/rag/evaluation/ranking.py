"""The measures of a ranking, as trec_eval computes them.

They are written out here, because `ir-measures` brings 140 MB of scipy for a few lines, and `ranx`
a compiler and plotting besides; the tests compare them with `ir-measures`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

__all__ = ["ndcg", "recall", "reciprocal_rank"]


def ndcg(ranking: Sequence[str], wanted: Collection[str], k: int) -> float:
    """The discounted gain of the first `k`, as a share of the best possible.

    The formula is Järvelin & Kekäläinen's (2002) with a gain of 1 and the logarithm to base 2.

    Example:
        ```python
        from tta_llm.rag.evaluation.ranking import ndcg

        assert ndcg(["a", "b"], {"a"}, 10) == 1
        assert round(ndcg(["b", "a"], {"a"}, 10), 3) == 0.631
        ```
    """
    gained = sum(_discount(rank) for rank, each in enumerate(ranking[:k], 1) if each in wanted)
    return gained / sum(_discount(rank) for rank in range(1, min(len(wanted), k) + 1))


def recall(ranking: Sequence[str], wanted: Collection[str], k: int) -> float:
    """The share of what is wanted that stands among the first `k`.

    Example:
        ```python
        from tta_llm.rag.evaluation.ranking import recall

        assert recall(["a", "b"], {"a", "c"}, 10) == 0.5
        ```
    """
    return sum(each in wanted for each in ranking[:k]) / len(wanted)


def reciprocal_rank(ranking: Sequence[str], wanted: Collection[str], k: int) -> float:
    """One divided by the rank of the first that is wanted; 0 when there is none in the first `k`.

    Example:
        ```python
        from tta_llm.rag.evaluation.ranking import reciprocal_rank

        assert reciprocal_rank(["b", "a"], {"a"}, 10) == 0.5
        ```
    """
    ranks = (rank for rank, each in enumerate(ranking[:k], 1) if each in wanted)
    return next((1 / rank for rank in ranks), 0.0)


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)
