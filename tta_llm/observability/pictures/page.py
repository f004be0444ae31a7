"""A run as one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from tta_llm.observability import names
from tta_llm.observability.outline import Outline
from tta_llm.observability.pictures.lettering import escaped
from tta_llm.observability.pictures.notes import failure
from tta_llm.observability.pictures.page_style import PAGE_STYLE
from tta_llm.observability.pictures.svg import draw_svg
from tta_llm.observability.pictures.waterfall import waterfall
from tta_llm.observability.pictures.words import GLYPHS
from tta_llm.observability.runs import Run, SpanNode
from tta_llm.observability.runs.wording import cost_told, dollars_told, seconds_told

__all__ = ["render"]

# Nothing may be loaded or run, should any text ever be taken for markup.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_PICTURES = 5


def render(run: Run) -> str:
    """Write a page with a run's figures, the workflow's picture, and its spans as a waterfall.

    ```python
    from tta_llm.observability.pictures.page import render
    from tta_llm.observability.runs import Run, SpanRecord

    page = render(Run.of([SpanRecord("0af7", "b7ad", None, "answer", 0, 10**9)]))
    assert page.startswith("<!doctype html>")
    ```
    """
    title = f"{run.workflow}: {run.state}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escaped(title)}</title><style>{PAGE_STYLE}</style></head><body>"
        f"<header>{_header(run)}</header><main>{_pictures(run.root)}"
        f"<section><h2>Steps</h2>{waterfall(run)}</section></main></body></html>\n"
    )


def _header(run: Run) -> str:
    figures = "".join(
        f"<div><dt>{name}</dt><dd>{escaped(value)}</dd></div>" for name, value in _figures(run)
    )
    failed = _where_it_failed(run.root)
    error = f'<p class="error">{escaped(failed)}</p>' if failed else ""
    return f"<h1>{escaped(run.workflow)}</h1>{error}<dl>{figures}</dl>"


def _figures(run: Run) -> Iterator[tuple[str, str]]:
    figures = run.figures
    began = datetime.fromtimestamp(run.start_ns / 1e9, UTC)
    yield "State", f"{GLYPHS[run.state]} {run.state}"
    yield "Began", f"{began:%Y-%m-%d %H:%M:%S} UTC"
    yield "Took", seconds_told(run.seconds)
    yield "Model calls", f"{figures.calls:,}"
    if figures.tokens:
        yield "Tokens", f"{figures.input_tokens:,} read, {figures.output_tokens:,} written"
    if cost := cost_told(figures):
        yield "Cost", cost
    if saved := figures.cache_saved_usd + figures.route_saved_usd:
        yield "Saved", dollars_told(saved)
    for name in ("retries", "fallbacks", "cache_hits"):
        if number := getattr(figures, name):
            yield name.replace("_", " ").capitalize(), f"{number:,}"
    yield "Trace", run.trace_id


def _where_it_failed(root: SpanNode) -> str:
    """Follow the error down to the step in which it arose."""
    if root.record.state != "failed":
        return ""
    node = root
    while failed := [child for child in node.children if child.record.state == "failed"]:
        node = failed[-1]
    place = f" (at {path})" if (path := node.record.text(names.PATH)) else ""
    return f"{node.record.step} failed: {failure(node)}{place}"


def _pictures(root: SpanNode) -> str:
    # A workflow of one step tells nothing beside others.
    several = (each for each in _outlines(root) if each[1].children)
    shown = list(islice(several, _MOST_PICTURES)) or islice(_outlines(root), 1)
    drawn = [draw_svg(outline, node) for node, outline in shown]
    if not drawn:
        return ""
    scroll = '<div class="scroll" role="region" aria-label="Picture" tabindex="0">'
    framed = "".join(f"{scroll}{picture}</div>" for picture in drawn)
    return f"<section><h2>Workflow</h2>{framed}</section>"


def _outlines(root: SpanNode) -> Iterator[tuple[SpanNode, Outline]]:
    """Give each workflow's first span: in a caller's trace there may be several."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if text := node.record.text(names.OUTLINE):
            try:
                yield node, Outline.from_json(text)
            except ValueError:  # cut by some limit on attributes
                continue
        else:
            waiting += reversed(node.children)
