"""What the contract suite of vector stores asks a store, and what it says of the answer."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import get_args

import numpy as np

from tta_llm.rag.documents import Metadata
from tta_llm.rag.stores.filters import AllOf, AnyOf, Comparison, Filter, Membership, Operator, Value
from tta_llm.rag.stores.store import Vectors, VectorStore
from tta_llm.testing._probes import require

_DIMENSIONS = 32

# Namespaces and ids; some differ only by what a store may take for the same.
NAMES = [
    *("a", "A", "a ", "a/b", "a.b", "..", "/", "'; DROP TABLE x; --", '"', "%", "a\nb", "\x00"),
    *("ä", "a\u0308", "日本", "🦙", "x" * 2_000),
]

_FIELDS = ("year", "lang", "draft", "a name", "`")
_VALUES: tuple[Value, ...] = (
    *(0, 1, -1, 2, 2020, 2**53, 2**53 + 1, 10**30, 0.5, 1.0, -0.0, 1e300),
    *("", "1", "true", "en", "EN", "é", 'a "quoted" \\ one', "it's", "\n"),
    *(True, False),
)


async def closing(store: VectorStore, check: Callable[[VectorStore], Awaitable[None]]) -> None:
    try:
        await check(store)
    finally:
        await store.close()


def unit(axis: int) -> Vectors:
    """The vector along an axis."""
    vector: Vectors = np.eye(1, _DIMENSIONS, axis, dtype=np.float32)[0]
    return vector


def some_vectors(count: int, seed: int = 0) -> Vectors:
    """Vectors of unit length, the same ones each time."""
    vectors: Vectors = np.random.default_rng(seed).standard_normal(
        (count, _DIMENSIONS), dtype=np.float32
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


async def fill(
    store: VectorStore, namespace: str, ids: Sequence[str], **metadata: str | float | bool
) -> None:
    """Keep rows with this metadata, each a little further from the first axis."""
    vectors = np.stack([unit(0) + 0.1 * place * unit(1) for place in range(len(ids))])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    await store.upsert(namespace, ids, vectors, [metadata] * len(ids))


async def require_ids(store: VectorStore, namespace: str, expected: Sequence[str]) -> None:
    ids = await store.ids(namespace)
    require(ids == set(expected), f"ids({namespace!r}) gave {ids}, not {set(expected)}")


async def require_found(
    store: VectorStore,
    namespace: str,
    vector: Vectors,
    expected: Sequence[str],
    *,
    top_k: int = 10,
    where: Filter | None = None,
) -> None:
    """Look for these, in any order."""
    found = [each.id for each in await store.search(namespace, vector, top_k, where)]
    told = "" if where is None else f" where {where}"
    require(
        sorted(found) == sorted(expected),
        f"a search for {top_k} in {namespace!r}{told} found {found}, not {list(expected)}",
    )


def made_up_metadata(count: int) -> list[Metadata]:
    """Fields with values of every type, some of them missing; the same ones each time."""
    chance = random.Random(0)  # noqa: S311 - a test's data
    return [
        {name: chance.choice(_VALUES) for name in _FIELDS if chance.random() < 0.7}
        for _ in range(count)
    ]


def made_up_filters(count: int) -> list[Filter]:
    """Filters of every kind, the same ones each time."""
    chance = random.Random(1)  # noqa: S311 - a test's data
    return [_made_up(chance, depth=number % 3) for number in range(count)]


def _made_up(chance: random.Random, depth: int) -> Filter:
    if depth:
        join = chance.choice((AllOf, AnyOf))
        return join(tuple(_made_up(chance, depth - 1) for _ in range(chance.randint(2, 3))))
    name = chance.choice((*_FIELDS, "unknown"))
    if chance.random() < 0.3:
        values = tuple(chance.sample(_VALUES, chance.randint(0, 4)))
        return Membership(name, values, negated=chance.random() < 0.5)
    value = chance.choice(_VALUES)
    operators = ("==", "!=") if isinstance(value, bool) else get_args(Operator)
    return Comparison(name, chance.choice(operators), value)
