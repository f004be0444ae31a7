"""Read source code: its lines as they stand, under the functions and classes they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from tta_llm.rag.documents import Document, Heading
from tta_llm.rag.loading.decoding import decode

__all__ = ["CODE_SUFFIXES", "read_code"]

_LIKE_C = ".c .cc .cpp .cs .cu .cxx .dart .h .hh .hpp .java .m".split()
_LIKE_JAVASCRIPT = ".js .jsx .lua .mjs .ts .tsx".split()
_SHELLS = ".bash .sh .zsh".split()
_SETTINGS = ".cfg .ini .toml .yaml .yml".split()
CODE_SUFFIXES = (
    *".clj .ex .exs .fs .go .graphql .groovy .hs .jl .kt .kts .ml .php .pl .pm .proto .ps1".split(),
    *".py .pyi .r .rb .rs .scala .sql .swift .tf .vb .zig".split(),
    *(*_LIKE_C, *_LIKE_JAVASCRIPT, *_SHELLS, *_SETTINGS),
)
"""The file name endings of source code and of settings."""

_PYTHON = re.compile(r"[ \t]*(?:async[ \t]+)?(?:class|def)[ \t]+(?P<name>\w+)[ \t]*[(:\[]")
# What follows the name tells a declaration from a comment's "type of the value".
_NAMED = re.compile(
    r"[ \t]*(?:(?:abstract|async|case|const|data|default|export|extern|final|inline|internal|open"
    r"|override|partial|private|protected|pub(?:\([^()]*\))?|public|sealed|static|unsafe)[ \t]+)*"
    r"(?:class|def|defmodule|defp|enum|fn|fun|func|function|impl|interface|message|module|namespace"
    r"|object|protocol|record|resource|service|struct|sub|trait|type)\b[ \t*]*"
    r"(?:\([^()]*\)[ \t]*|<[^<>]*>[ \t]*)?\"?(?P<name>[\w.:$?!]*[\w?!])"
    r"(?=[ \t]*(?:[(<{\[:=;,\"]|->|$|(?:as|do|extends|final|for|func|implements|interface|is|struct"
    r"|throws|where|with)\b))"
)
_ASSIGNED = re.compile(
    r"(?:export[ \t]+)?(?:const|let|local|var)[ \t]+(?P<name>[\w$]+)[^=\n]{0,80}=[ \t]*"
    r"(?:async[ \t]*)?(?:function\b|\([^()]*\)[^=\n]{0,80}=>|[\w$]+[ \t]*=>)"
)
_SHELL = re.compile(r"(?:function[ \t]+)?(?P<name>[\w-]+)[ \t]*\(\)[ \t]*\{?[ \t]*$")
_TABLE = re.compile(r"\[{1,2}(?P<name>[^\[\]]+)\]{1,2}[ \t]*$")
_SQL = re.compile(
    r"create[ \t]+(?:or[ \t]+replace[ \t]+)?(?:function|procedure|table|trigger|view)[ \t]+"
    r"(?:if[ \t]+not[ \t]+exists[ \t]+)?[\"`\[]?(?P<name>[\w.]+)",
    re.IGNORECASE,
)
# A function of C is told by its form: a type, a name, brackets, and no semicolon.
_TYPED = re.compile(
    r"[ \t]{0,8}(?!(?:await|case|delete|else|goto|new|return|throw|yield)\b)"
    r"(?:[\w<>\[\],*&:?~]+[ \t]+)+[*&]*(?P<name>[\w:~]+)[ \t]*\([^;]*$"
)
_FORMS: dict[str, tuple[re.Pattern[str], ...]] = {
    **dict.fromkeys(_LIKE_C, (_NAMED, _TYPED)),
    **dict.fromkeys(_LIKE_JAVASCRIPT, (_NAMED, _ASSIGNED)),
    **dict.fromkeys(_SHELLS, (_SHELL,)),
    **dict.fromkeys(_SETTINGS, (_TABLE,)),
    **dict.fromkeys((".py", ".pyi"), (_PYTHON,)),
    ".sql": (_SQL,),
}
_ABOVE = re.compile(r"[ \t]*(?:[@#*]|//|/\*|--)")
_LONGEST = 300


def read_code(path: str, data: bytes) -> Document:
    r"""Make a document of a source file, with a heading at each function and class.

    A heading takes in the comments and decorators right above it, and is as deep as its line is
    indented. What is found is told by the form of single lines, without reading the language.

    Raises:
        DocumentError: The bytes are not text.

    Example:
        ```python
        from tta_llm.rag.loading.loaders.code import read_code

        code = read_code("lamp.py", b"class Lamp:\n    def shine(self):\n        pass\n")
        assert [heading.text for heading in code.headings] == ["Lamp", "shine"]
        ```
    """
    text = decode(data)
    file = PurePosixPath(path)
    headings = tuple(_headings(text, _FORMS.get(file.suffix.lower(), (_NAMED,))))
    return Document(path, title=file.name, text=text, kind="code", headings=headings)


def _headings(text: str, forms: tuple[re.Pattern[str], ...]) -> Iterator[Heading]:
    start = above = 0
    for line in text.split("\n"):
        end = start + len(line)
        if len(line) <= _LONGEST and (name := _name(line, forms)):
            indented = line.expandtabs(4)
            level = 1 + len(indented) - len(indented.lstrip())
            yield Heading(above, end, level, name)
            above = end + 1
        elif not _ABOVE.match(line):
            above = end + 1
        start = end + 1


def _name(line: str, forms: tuple[re.Pattern[str], ...]) -> str | None:
    found = (form.match(line) for form in forms)
    return next((each["name"] for each in found if each), None)
