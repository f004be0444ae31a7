"""How the base class makes sequences, fan-outs and maps, which are made of the base class.

Each enters itself here when its module is imported, so that the operators need no import of their
own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tta_llm.core.mapping import MapPrimitive
    from tta_llm.core.parallel import ParallelPrimitive
    from tta_llm.core.sequence import SequentialPrimitive

sequence: type[SequentialPrimitive[Any, Any]]
fan_out: type[ParallelPrimitive[Any, Any]]
for_each: type[MapPrimitive[Any, Any]]
