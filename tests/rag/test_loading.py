"""Files become documents, or a reason why not."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tta_llm.errors import DocumentError
from tta_llm.rag import read_document
from tta_llm.rag.loading.decoding import decode
from tta_llm.rag.loading.loaders.html import read_html
from tta_llm.rag.loading.reading import MAX_BYTES, SourceFile, find_files, parse_document

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
    for name in ("b.md", "a.TXT", "sub/c.html", "x.bin", ".hidden.md", ".git/config.md"):
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
        "x.bin": "type",
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


def test_front_matter_is_metadata_and_lines_stay_right() -> None:
    source = b"---\ntitle: Lamp\nyear: 2024\ndraft: false\ntags: [a]\n---\nIt shines.\n"
    document = parse_document("a.md", source)
    assert document.title == "Lamp"
    assert dict(document.metadata) == {"year": 2024, "draft": False}
    assert document.text.strip() == "It shines."
    assert document.line_at(document.text.index("It")) == 7


def test_a_record_of_a_table_knows_its_line() -> None:
    table = parse_document("a.csv", b'name;note\nHeron;"two\nlines"\nEgret;\n')
    assert table.text == "name: Heron; note: two lines\nname: Egret"
    assert table.line_at(table.text.index("Egret")) == 4


def test_json_says_where_a_value_stands() -> None:
    whole = parse_document("a.json", b'{"a": [{"b": 1}, {"b": null}],\n"c": ["x", "y"]}')
    assert whole.text == "a[0].b: 1\nc: x, y"
    assert whole.line_at(whole.text.index("c:")) == 2
    lines = parse_document("a.jsonl", b'{"a": 1, "b": "x"}\n\n{"a": 2}\n')
    assert lines.text == "a: 1; b: x\na: 2"
    assert lines.line_at(lines.text.index("a: 2")) == 3


def test_code_knows_its_functions() -> None:
    code = parse_document(
        "a.py", b"# type of x\nclass A:\n    @one\n    def f(self):\n        pass\n"
    )
    assert [(each.level, each.text) for each in code.headings] == [(1, "A"), (5, "f")]


def test_ignore_files_are_followed_as_git_does(tmp_path: Path) -> None:
    for name in ("a.md", "keep.md", "build/b.md", "sub/build/c.md", "sub/d.md", "x/y/z.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text")
    (tmp_path / ".gitignore").write_text("*.md\n!keep.md\n/build/\n!x/**/z.md\n")
    (tmp_path / "sub" / ".ttaignore").write_text("!d.md\n")
    found = [each.path for each in find_files(tmp_path) if each.ignored is None]
    assert found == ["keep.md", "sub/d.md", "x/y/z.md"]


def test_a_link_put_in_a_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "secret.md").write_text("harmless")
    [file] = find_files(root)
    (root / "sub").rename(root / "old")
    (root / "sub").symlink_to(tmp_path)
    with pytest.raises(DocumentError, match="can't be opened"):
        file.read()


def test_the_number_of_files_is_bounded_and_said(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.md").write_text("text")
    *read, last = find_files(tmp_path, max_files=2)
    assert [each.path for each in read] == ["a.md", "b.md"]
    with pytest.raises(DocumentError, match="more than 2 files"):
        last.read()


def test_installed_loaders_are_found_and_a_broken_one_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loads_notes.py").write_text(
        "from tta_llm.rag import Document\n"
        "def read(path, data): return Document(path, 'note', data.decode(), 'text')\n"
        "def fail(path, data): raise KeyError('no')\n"
    )
    about = tmp_path / "notes-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: notes\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[tta_llm.loaders]\nnote = loads_notes:read\n.bad = loads_notes:fail\ngone = nowhere:x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert parse_document("a.NOTE", b"text").title == "note"
    assert parse_document("a.txt", b"text").kind == "text"
    for name in ("a.bad", "a.gone"):
        with pytest.raises(DocumentError, match=r"installed loader .* of notes"):
            parse_document(name, b"text")
