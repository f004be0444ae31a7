"""Comparing several ways to answer: who is asked the same way gets the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, overload

from tta_llm.core import RouterPrimitive, WorkflowContext
from tta_llm.core._typing import AwaitedStep, In, Out, PlainStep, Step
from tta_llm.core.primitive import WorkflowPrimitive
from tta_llm.routing._keys import Key, choice_of, key_reader, key_text, shares

__all__ = ["Split"]


class Split(RouterPrimitive[In, Out]):
    """Runs the arm of an experiment that a key belongs to: the same one, in every process.

    The arm depends on the key, the salt, the arms' names and their weights, and on nothing else. As
    a weight grows, keys move into its arm and none moves between the others. The arm stands on the
    span as `tta.choice`, and `arm_of` tells it.

    Args:
        arms: The steps by name, at least one.
        key: A field of the context's data, such as `user_id`, or a function of the input (and, if
            it likes, the context), sync or async. Keys are texts, whole numbers or UUIDs.
        weights: In which proportion keys go to the arms; equal when missing.
        salt: Names the experiment: with another one the same keys fall otherwise.
        default: The arm of requests without a key; without it they are refused.
        name: What spans and errors call it.

    Raises:
        CompositionError: When there is no arm, `default` is none of them, or weights don't fit.
        LookupError: From `execute`, `stream` and `arm_of`, when a request has no key.

    Example:
        ```python
        from tta_llm import WorkflowContext
        from tta_llm.routing import Split

        greeting = Split(
            {"control": lambda name: f"Hello {name}.", "new": lambda name: f"Hi {name}!"},
            key="user_id",
            weights={"control": 9, "new": 1},
            salt="greeting-2026",
        )
        assert greeting.run("Ada", WorkflowContext(data={"user_id": 3})) == "Hello Ada."
        ```
    """

    @overload
    def __init__(
        self,
        arms: Mapping[str, WorkflowPrimitive[In, Out]],
        key: str | Callable[..., Any],
        *,
        weights: Mapping[str, float] | None = None,
        salt: str = "",
        default: str | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        arms: Mapping[str, AwaitedStep[In, Out]],
        key: str | Callable[..., Any],
        *,
        weights: Mapping[str, float] | None = None,
        salt: str = "",
        default: str | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        arms: Mapping[str, PlainStep[In, Out]],
        key: str | Callable[..., Any],
        *,
        weights: Mapping[str, float] | None = None,
        salt: str = "",
        default: str | None = None,
        name: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        arms: Mapping[str, Step[In, Out]],
        key: str | Callable[..., Any],
        *,
        weights: Mapping[str, float] | None = None,
        salt: str = "",
        default: str | None = None,
        name: str | None = None,
    ) -> None: ...
    def __init__(
        self,
        arms: Mapping[str, Step[Any, Any]],
        key: Key,
        *,
        weights: Mapping[str, float] | None = None,
        salt: str = "",
        default: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(arms, self.arm_of, default, name=name)
        self.weights: dict[str, float] = shares(self.routes, weights)
        self.salt: str = salt
        self._key = key
        self._read_key = key_reader(key)

    async def arm_of(self, input_data: Any, context: WorkflowContext) -> str:
        """Tell which arm a request goes to."""
        key = await self._read_key(input_data, context)
        if key is not None:
            return choice_of(key_text(key), self.weights, salt=self.salt)
        if self.default is not None:
            return self.default
        where = f"no {self._key!r} in its data" if isinstance(self._key, str) else "no key"
        raise LookupError(
            f"{self.name!r} can't choose an arm, for the request has {where}: put it there, or say "
            "with default= which arm such requests go to"
        )
