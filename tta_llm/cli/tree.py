"""A run as a tree, as `tta trace RUN` prints it."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from tta_llm.cli.output import print_text
from tta_llm.cli.wording import cost, one_line, tokens, when
from tta_llm.observability import conventions, names
from tta_llm.observability.runs import Run, SpanNode, SpanRecord
from tta_llm.observability.runs.folding import unwrapped
from tta_llm.observability.runs.wording import counted, dollars_told, seconds_told

__all__ = ["print_prompts", "print_tree"]

_SHOWN = 1000
_WHOLE = 10_000
_STYLES = {"failed": "red", "cancelled": "yellow", "unfinished": "yellow"}


def print_tree(run: Run, *, show_all: bool) -> None:
    """Print what happened, wrappers that add nothing folded, and long runs cut.

    Args:
        run: What happened.
        show_all: Nothing is folded or cut.
    """
    # Into a pipe lines go as long as they are.
    width = None if sys.stdout.isatty() else _WHOLE
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    console.print(Text(_heading(run)))
    console.print()
    first = run.root if show_all else unwrapped(run.root)
    tree = Tree(_line(first), guide_style="dim")
    waiting, shown = [(tree, first)], 1
    while waiting:
        branch, node = waiting.pop()
        for child in node.children:
            if shown == _SHOWN and not show_all:
                console.print(tree)
                print_text(f"\nonly the first {_SHOWN:,} spans; --all shows the others too")
                return
            inner = child if show_all else unwrapped(child)
            waiting.append((branch.add(_line(inner)), inner))
            shown += 1
    console.print(tree)


def print_prompts(run: Run) -> None:
    """Print what models were asked and what they answered, as far as it was recorded."""
    told = [(node.record, _messages(node.record)) for _, node in run.root.walk()]
    if not any(lines for _, lines in told):
        print_text(
            "\nPrompts and answers were not recorded. To record them, in the clear, set "
            "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=SPAN_ONLY before the run."
        )
    for span, lines in told:
        if lines:
            print_text(f"\n--- {one_line(span.step)}, begun {when(span.start_ns)}")
            for line in lines:
                print_text(line)


def _heading(run: Run) -> str:
    figures = run.figures
    told = [run.trace_id, when(run.start_ns), one_line(run.workflow), run.state]
    told.append(seconds_told(run.seconds))
    if figures.calls:
        told.append(counted(figures.calls, "call"))
    if figures.tokens:
        told += [f"{tokens(figures)} tokens", cost(figures)]
    saved = figures.cache_saved_usd + figures.route_saved_usd
    if saved:
        told.append(f"saved {dollars_told(saved)}")
    if run.left_out:
        told.append(f"{counted(run.left_out, 'span')} left out, for the run is too large")
    return "  ".join(told)


def _line(node: SpanNode) -> Text:
    span, figures = node.record, node.record.figures
    text = Text(one_line(span.step), style=_STYLES.get(span.state, ""))
    text.append(f"  {seconds_told(span.seconds)}", style="dim")
    if node.is_counted and figures.tokens:
        text.append(f"  {tokens(figures)} tokens  {cost(figures)}")
    for note in _notes(node):
        text.append(f"  {one_line(note)}", style=_STYLES.get(span.state, "cyan"))
    return text


def _notes(node: SpanNode) -> Iterator[str]:
    span = node.record
    yield from _attempts_and_choices(span)
    if span.cache:
        yield f"cache {span.cache}"
    if saved := span.number(names.SAVED_USD) + span.number(names.ROUTE_SAVED_USD):
        yield f"saved {dollars_told(saved)}"
    yield from _happened(span)
    if span.state != "done":
        yield _ended(node)


def _attempts_and_choices(span: SpanRecord) -> Iterator[str]:
    if span.number(names.ATTEMPT) > 1:
        yield f"try {span.number(names.ATTEMPT):.0f}"
    if choice := span.text(names.CHOICE):
        yield f"took {choice}"
    if names.SCORE in span.attributes:
        yield f"difficulty {span.number(names.SCORE):.2f}"
    if (aimed := span.text(names.AIMED)) and aimed != choice:
        yield f"aimed at {aimed}"


def _happened(span: SpanRecord) -> Iterator[str]:
    """Say what the recovery did, such as `retry ×2 of search (ServerError)`."""
    told = Counter(
        (
            each.name.removeprefix("tta.").replace("_", " "),
            str(each.attributes.get(names.TARGET, "")),
            str(each.attributes.get("reason", "")),
        )
        for each in span.events
        if each.name.startswith("tta.")
    )
    for (event, target, reason), times in told.items():
        many = f" ×{times}" if times > 1 else ""
        about = f" {target}" if target and target != span.step else ""
        yield f"{event}{many}{about}" + (f" ({reason})" if reason else "")


def _ended(node: SpanNode) -> str:
    span = node.record
    if span.state != "failed":
        return span.state
    kind = span.text(names.ERROR_TYPE) or "failed"
    if any(child.record.error for child in node.children):  # it arose inside
        return kind
    place = span.text(names.PATH)
    return kind + (f" at {place}" if place else "") + _line_of_code(span) + _left(span)


def _line_of_code(span: SpanRecord) -> str:
    for each in span.events:
        function = each.attributes.get(names.CODE_FUNCTION)
        if each.name == names.EXCEPTION and function:
            return f" (in {function}, line {each.attributes.get(names.CODE_LINE)})"
    return ""


def _left(span: SpanRecord) -> str:
    """Say what was left of the request's time and money, where that may be why it failed."""
    told = []
    if names.DEADLINE_LEFT in span.attributes:
        told.append(seconds_told(max(0, span.number(names.DEADLINE_LEFT))))
    if names.BUDGET_LEFT_USD in span.attributes:
        told.append(dollars_told(span.number(names.BUDGET_LEFT_USD)))
    if names.BUDGET_LEFT_TOKENS in span.attributes:
        told.append(counted(int(span.number(names.BUDGET_LEFT_TOKENS)), "token"))
    if names.BUDGET_LEFT_CALLS in span.attributes:
        told.append(counted(int(span.number(names.BUDGET_LEFT_CALLS)), "call"))
    return f", {' and '.join(told)} left" if told else ""


def _messages(span: SpanRecord) -> list[str]:
    """Give what was captured of a call, a line or more for each message."""
    lines = [f"system: {_part(each)}" for each in _parsed(span, conventions.SYSTEM)]
    for attribute in (conventions.INPUT, conventions.OUTPUT):
        for message in _parsed(span, attribute):
            if isinstance(message, dict):
                parts = message.get("parts")
                told = "\n".join(map(_part, parts if isinstance(parts, list) else [message]))
                lines.append(f"{message.get('role', '?')}: {told}")
            else:
                lines.append(_part(message))
    return lines


def _parsed(span: SpanRecord, attribute: str) -> list[Any]:
    text = span.text(attribute)
    try:
        value = json.loads(text) if text else []
    except ValueError:  # cut
        return [text]
    return value if isinstance(value, list) else [value]


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and isinstance(part.get("content"), str):
        return str(part["content"])
    return json.dumps(part, ensure_ascii=False)
