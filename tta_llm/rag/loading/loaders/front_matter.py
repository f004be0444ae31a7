"""The lines between two marks above a Markdown text, which tell what the text is."""

from __future__ import annotations

import re

from tta_llm.rag.documents import Metadata

__all__ = ["split_front_matter"]

# Prose between two rules is none: each line is an entry, goes on with one, or says nothing.
_BLOCK = re.compile(
    r"\A(---|\+\+\+)[ \t]*\n"
    r"((?:(?!\1)(?:[A-Za-z_][\w.-]*[ \t]*[:=][^\n]*|[ \t\-#\[\]{}][^\n]*)?\n)+)\1[ \t]*(?:\n|\Z)"
)
_ENTRY = re.compile(r"^([A-Za-z_][\w.-]*)[ \t]*[:=][ \t]*(\S.*)$", re.MULTILINE)
_QUOTED = re.compile(r"([\"'])(.*)\1(?:[ \t]+#.*)?")
_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
_REAL = re.compile(r"[-+]?[0-9]{1,15}\.[0-9]{1,15}")
_TRUTH = {"true": True, "yes": True, "false": False, "no": False}
_NOT_SCALAR = tuple("[{|>&*!")


def split_front_matter(text: str) -> tuple[Metadata, str]:
    r"""Take the simple values out of a text's front matter, and put empty lines in its place.

    A value is text, a number, or true or false. Lists, maps and texts of several lines are left
    out: a filter could not compare them.

    Returns:
        What was said, and the text with as many lines as before.

    Example:
        ```python
        from tta_llm.rag.loading.loaders.front_matter import split_front_matter

        metadata, text = split_front_matter("---\nyear: 2024\ntags: [a, b]\n---\nIt shines.")
        assert metadata == {"year": 2024}
        assert text == "\n\n\n\nIt shines."
        ```
    """
    block = _BLOCK.match(text)
    if not block:
        return {}, text
    entries = {name: _value(value) for name, value in _ENTRY.findall(block[2])}
    if not entries:  # two rules around a paragraph
        return {}, text
    metadata = {name: value for name, value in entries.items() if value is not None}
    return metadata, "\n" * block[0].count("\n") + text[block.end() :]


def _value(text: str) -> str | int | float | bool | None:
    if quoted := _QUOTED.fullmatch(text.strip()):
        return str(quoted[2])
    text = text.split(" #", maxsplit=1)[0].strip()
    if text.startswith(_NOT_SCALAR) or not text:
        return None
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _REAL.fullmatch(text) else text
