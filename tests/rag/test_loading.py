"""Files become documents, or a reason why not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tta_llm.errors import DocumentError
from tta_llm.rag import read_document
from tta_llm.rag.decoding import decode
from tta_llm.rag.loaders.html import read_html
from tta_llm.rag.loading import MAX_BYTES, SourceFile, find_files, parse_document

EXAMPLES = Path(__file__).parents[2] / "examples" / "documents"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom", "utf-32"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_is_the_same_in_every_encoding_and_with_all_line_ends(encoding: str, end: str) -> None:
    text = f"naïve{end}日本{end}end"
    marks = {"utf-16-le-bom": ("\ufeff", "utf-16-le"), "utf-16-be-bom": ("\ufeff", "utf-16-be")}
    mark, codec = marks.get(encoding, ("", encoding))
    assert decode((mark + text).encode(codec)) == "naïve\n日本\nend"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x01\x02", "is binary"),
        (b"\xff\x00\xd8", "is binary"),
        (b"caf\xe9 au lait", "is not UTF-8 text (byte 0xe9 at offset 3)"),
        (b"", "is empty"),
        (b" \n\t ", "is empty"),
    ],
)
def test_what_is_no_text_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(DocumentError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        decode(data)


def test_html_has_visible_text_headings_and_source_lines() -> None:
    source = (
        "<!DOCTYPE html>\n<html><head>\n<title>The\n lamp</title>\n<style>p {}</style></head>\n"
        "<body><nav>Home</nav>\n<h1>Lamp <em>One</em></h1>\n<p>First line\nand <b>sec</b>ond &amp; "
        "caf&eacute;.</p>\n<!-- hidden\ncomment -->\n<p hidden>no</p>\n"
        "<table><tr><td>Price</td><td>9&nbsp;&euro;</td></tr>\n"
        "<tr><td>Weight</td><td>1 kg</td></tr></table>\n"
        "<script>var no = 1;</script>\n<p>Caf&eacute; last.</p></body></html>\n"
    )
    document = read_html("lamp.html", source.encode())
    assert document.title == "The lamp"
    assert [heading.text for heading in document.headings] == ["Lamp One"]
    rows = [row for row in document.text.split("\n") if row]
    assert rows == [
        *("Lamp One", "First line", "and second & café."),
        *("Price | 9\xa0€".replace("\xa0", " "), "Weight | 1 kg", "Café last."),
    ]
    lines = source.split("\n")
    for row in rows:
        line = lines[(document.line_at(document.text.index(row)) or 0) - 1]
        assert row.split()[0][:3] in line


def test_html_takes_the_encoding_it_declares() -> None:
    source = '<meta charset="iso-8859-1"><p>caf\xe9</p>'
    assert read_html("a.html", source.encode("latin-1")).text == "café"


def test_html_nested_without_end_is_refused() -> None:
    with pytest.raises(DocumentError, match="nested"):
        read_html("a.html", b"<div>" * 100_000 + b"deep")


def test_pdf_has_pages_and_a_title() -> None:
    document = read_document(EXAMPLES / "datasheet.pdf")
    assert document.title == "Heron 2 data sheet"
    assert document.page_at(document.text.index("868.3 MHz")) == 1
    assert document.page_at(document.text.index("740 g")) == 2
    assert document.line_at(0) is None


@pytest.mark.parametrize("data", [b"%PDF-1.7 broken", b"not a pdf at all"])
def test_broken_pdf_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match="broken PDF"):
        parse_document("a.pdf", data)


def test_markdown_headings_stand_outside_of_code() -> None:
    text = "Title\n=====\n\n```\n# no heading\n```\n\n## Two ##\ntext\n\nSub\n---\nx\n"
    document = parse_document("a.md", text.encode())
    assert [(each.level, each.text) for each in document.headings] == [
        *((1, "Title"), (2, "Two"), (2, "Sub")),
    ]


def test_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"")
    with pytest.raises(DocumentError, match=r"a\.md is empty"):
        read_document(tmp_path / "a.md")
    with pytest.raises(DocumentError, match=r"none\.md can't be opened"):
        read_document(tmp_path / "none.md")


def test_walk_is_sorted_and_stays_inside(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "secret.md"
    outside.write_text("secret")
    for name in ("b.md", "a.TXT", "sub/c.html", "x.docx", ".hidden.md", ".git/config.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("text")
    (root / "link.md").symlink_to(outside)
    (root / "sub" / "loop").symlink_to(root)
    files = list(find_files(root))
    assert [each.path for each in files if each.ignored is None] == ["a.TXT", "b.md", "sub/c.html"]
    assert {each.path: each.ignored for each in files if each.ignored} == {
        ".git": "hidden",
        ".hidden.md": "hidden",
        "link.md": "link",
        "sub/loop": "link",
        "x.docx": "type",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes in a folder")
def test_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    with pytest.raises(DocumentError, match="not a plain file"):
        SourceFile("pipe.md", tmp_path / "pipe.md").read()


def test_huge_sparse_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "big.txt").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DocumentError, match="too large"):
        SourceFile("big.txt", tmp_path / "big.txt").read()
