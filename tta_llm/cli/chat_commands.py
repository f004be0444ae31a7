"""What can be typed into a chat besides questions."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Awaitable, Callable

from tta_llm.agents import Turn
from tta_llm.cli.chat_talk import Talk
from tta_llm.cli.citations import citation_line, citation_lines
from tta_llm.cli.exits import UsageError
from tta_llm.cli.wording import cost, tokens
from tta_llm.observability.runs.figures import NO_FIGURES, Figures
from tta_llm.observability.runs.wording import counted

__all__ = ["QUIT", "RETRY", "Commands"]

QUIT, RETRY = "/quit", "/retry"
"""The commands that whoever reads the lines sees to."""

_LAST_TURNS = 20
_DOES = {
    "help": ("", "tell the commands"),
    "model": ("[NAME]", "tell who answers, or let another answer from here on"),
    "cost": ("", "tell what the models used so far"),
    "sources": ("[N]", "tell what the last answer rests on, or quote one source"),
    "history": ("", f"show the last {_LAST_TURNS} turns"),
    "clear": ("", "forget the conversation"),
    "retry": ("", "ask the last question again"),
    "quit": ("", "leave, as Ctrl-D does"),
}


class Commands:
    """Does what a line that begins with a slash asks for."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._known: dict[str, Callable[[str], Awaitable[str]]] = {
            "help": self._help,
            "model": self._model,
            "cost": self._cost,
            "sources": self._sources,
            "history": self._history,
            "clear": self._clear,
        }

    async def do(self, line: str) -> str:
        """Do it, and give what there is to say.

        Raises:
            UsageError: There is no such command, or it can't be done.
            TTAError: The model that it names can't be had.
        """
        name, _, rest = line.removeprefix("/").partition(" ")
        if name in self._known:
            return await self._known[name](rest.strip())
        near = difflib.get_close_matches(name, _DOES, n=1, cutoff=0.4)
        meant = f"did you mean /{near[0]}? " if near else ""
        raise UsageError(f"there is no command /{name}; {meant}/help tells which there are")

    async def _help(self, rest: str) -> str:
        rows = [(f"/{name} {takes}", does) for name, (takes, does) in _DOES.items()]
        width = max(len(usage) for usage, _ in rows)
        return "\n".join(f"{usage:{width}}  {does}" for usage, does in rows)

    async def _model(self, rest: str) -> str:
        if rest:
            await self._talk.use(rest)
        return f"Answered by {self._talk.answered_by}."

    async def _cost(self, rest: str) -> str:
        sums: dict[str, Figures] = defaultdict(lambda: NO_FIGURES)
        for reply in self._talk.replies:
            for model, figures in reply.by_model.items():
                sums[model] += figures
        lines = [
            f"{model}: {counted(each.calls, 'call')}, {tokens(each)} tokens, {cost(each)}"
            for model, each in sums.items()
        ]
        return "\n".join(lines) or "No model was asked so far."

    async def _sources(self, rest: str) -> str:
        replies, path = self._talk.replies, self._talk.path
        citations = replies[-1].citations if replies else []
        if not citations:
            return "The last answer names no sources."
        if not rest:
            return "\n".join(citation_lines(citations, path))
        chosen = [each for each in citations if str(each.number) == rest.strip("[]?")]
        if not chosen:
            there = ", ".join(dict.fromkeys(str(each.number) for each in citations))
            raise UsageError(f"the last answer has no source {rest!r}; it has {there}")
        told = (f"{citation_line(each, path)}\n{each.quote}" for each in chosen)
        return "\n\n".join(dict.fromkeys(told))

    async def _history(self, rest: str) -> str:
        turns = await self._talk.history(_LAST_TURNS)
        return "\n\n".join(map(_turn, turns)) or "Nothing was said so far."

    async def _clear(self, rest: str) -> str:
        await self._talk.clear()
        return "The conversation is forgotten."


def _turn(turn: Turn) -> str:
    state = "" if turn.status == "finished" else f" ({turn.status})"
    said = (f"{each.role}: {each.text}" for each in turn.messages if each.text.strip())
    return "\n".join([f"{turn.number}{state}", *said])
