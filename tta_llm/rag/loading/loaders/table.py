"""Read CSV and TSV: each record becomes one line that says what its values are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import PurePosixPath

from tta_llm.errors import DocumentError
from tta_llm.rag.documents import Document
from tta_llm.rag.loading.decoding import decode
from tta_llm.rag.loading.loaders.records import document_of_records

__all__ = ["read_table"]

_DELIMITERS = (",", ";", "\t", "|")


def read_table(path: str, data: bytes) -> Document:
    r"""Make a document of the records below a line of column names.

    The columns are parted by what parts most names: a comma, semicolon, tab or bar.

    Raises:
        DocumentError: The bytes are not text, or one field is as long as a whole document, as
            behind a quotation mark that is never closed.

    Example:
        ```python
        from tta_llm.rag.loading.loaders.table import read_table

        table = read_table("lamps.csv", b"name,price\nHeron,40\nEgret,55\n")
        assert table.text == "name: Heron; price: 40\nname: Egret; price: 55"
        assert table.line_at(table.text.index("Egret")) == 3
        ```
    """
    text = decode(data)
    head = text[: text.find("\n")] if "\n" in text else text
    delimiter = max(_DELIMITERS, key=head.count)
    title = PurePosixPath(path).stem
    return document_of_records(path, title, "csv", _records(text, delimiter))


def _records(text: str, delimiter: str) -> Iterator[tuple[int, str]]:
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    names: list[str] | None = None
    line = 1
    try:
        for row in reader:
            if any(row):
                if names is not None:
                    yield line, _sentence(names, row)
                else:
                    names = row
            line = reader.line_num + 1
    except csv.Error as error:
        longest = csv.field_size_limit()
        raise DocumentError(
            f"holds a field longer than {longest} characters at line {line}; "
            "is a quotation mark never closed?"
            if "field larger" in str(error)
            else f"is not valid CSV ({error} at line {line})"
        ) from None
    if names and line == 2:
        yield 1, "; ".join(filter(None, names))


def _sentence(names: list[str], row: list[str]) -> str:
    pairs = zip_longest(names[: len(row)], row, fillvalue="")
    cells = ((" ".join(name.split()), " ".join(value.split())) for name, value in pairs)
    return "; ".join(f"{name}: {value}" if name else value for name, value in cells if value)
