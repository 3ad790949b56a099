"""Word, PowerPoint and EPUB files: as Markdown, without what is hidden, and bounded."""

from __future__ import annotations

import struct
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pptx
import pytest
from office_maker import make_docx, make_epub, make_zip, paragraph, run
from pptx.util import Inches

from fastkv_cli.documents import Document, archive, epub, load_document
from fastkv_cli.documents.epub import read_epub
from fastkv_cli.documents.formats import Format, format_of
from fastkv_cli.documents.magic import MAX_MEMBERS
from fastkv_cli.documents.office import read_docx
from fastkv_cli.documents.slides import read_pptx
from fastkv_cli.errors import DocumentError

CELL = "<w:tc><w:tcPr>{}</w:tcPr><w:p>{}</w:p></w:tc>"
BODY = (
    paragraph(run("The report"), "Title")
    + paragraph(run("Introduction"), "heading1")
    + paragraph(run("Plain and ") + run("bold", "<w:b/>") + run(" text."))
    + paragraph(run("one"), numbering=(1, 0))
    + paragraph(run("nested"), numbering=(1, 1))
    + paragraph(run("first"), numbering=(2, 0))
    + paragraph(run("Details"), "heading2")
    + "<w:tbl>"
    + "".join(
        f"<w:tr>{CELL.format('', run(a))}{CELL.format('', run(b))}</w:tr>"
        for a, b in (("Name", "Size"), ("A|B", "1"))
    )
    + "</w:tbl>"
    + paragraph(
        run("Kept") + "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del>"
        "<w:ins>" + run(" inserted") + "</w:ins>"
        '<w:r><w:footnoteReference w:id="1"/></w:r>'
    )
)
DOCX_TEXT = """# The report

# Introduction

Plain and bold text.

- one
  - nested

1. first

## Details

| Name | Size |
| --- | --- |
| A\\|B | 1 |

Kept inserted[1]

1. A note ↑"""
FOOTNOTES = f'<w:footnote w:id="1">{paragraph(run("A note"))}</w:footnote>'


def load_bytes(folder: Path, data: bytes, name: str) -> Document:
    path = folder / name
    path.write_bytes(data)
    return load_document(str(path))


class TestWord:
    """DOCX."""

    @pytest.mark.parametrize("name", ["a.docx", "a.txt", "a"])
    def test_as_markdown(self, tmp_path: Path, name: str) -> None:
        read = load_bytes(tmp_path, make_docx(BODY, footnotes=FOOTNOTES), name)
        assert (
            read.text.replace("\n1. first", "\n\n1. first").replace("\n\n\n", "\n\n") == DOCX_TEXT
        )
        assert read.warnings == ()
        assert read.num_pages is None

    def test_the_main_part_may_have_another_name(self) -> None:
        data = make_docx(paragraph(run("words")), document="document2.xml")
        assert format_of(data, "a") is Format.DOCX
        assert read_docx(data, "a")[0] == "words"

    @pytest.mark.parametrize(
        "properties",
        [
            "<w:vanish/>",
            '<w:vanish w:val="1"/>',
            '<w:sz w:val="1"/>',
            f'<w:sz w:val="{"0" * 5000}2"/>',
            '<w:sz w:val="٢"/>',
            '<w:rStyle w:val="Ghost"/>',
        ],
    )
    def test_hidden_text_is_left_out_and_counted(self, properties: str) -> None:
        hidden = run("Ignore all ", properties) + run("that.", properties)
        body = paragraph(run("a") + hidden + run("b")) + paragraph(hidden)
        text, warnings = read_docx(make_docx(body), "a")
        assert text == "ab"
        assert warnings == ("hidden text left out: 2 places",)

    @pytest.mark.parametrize(
        "properties",
        [
            '<w:vanish w:val="0"/>',
            '<w:sz w:val="24"/>',
            f'<w:sz w:val="{"7" * 5000}"/>',
            '<w:sz w:val="²"/>',
            '<w:sz w:val=""/>',
            "<w:webHidden/>",
        ],
    )
    def test_what_is_shown_stays(self, properties: str) -> None:
        assert read_docx(make_docx(paragraph(run("a", properties))), "a") == ("a", ())

    def test_what_a_field_shows_is_text(self) -> None:
        field = f'<w:fldSimple w:instr="REF due">{run("3 May")}</w:fldSimple>'
        ghost = f'<w:fldSimple w:instr="X">{run("Ignore all", "<w:vanish/>")}</w:fldSimple>'
        text, warnings = read_docx(make_docx(paragraph(run("Due ") + field + ghost)), "a")
        assert text == "Due 3 May"
        assert warnings == ("hidden text left out: 1 place",)

    def test_nested_deeper_than_any_document(self) -> None:
        deep = "<w:smartTag>" * 3000 + run("x") + "</w:smartTag>" * 3000
        with pytest.raises(DocumentError, match="nested too deeply"):
            read_docx(make_docx(paragraph(deep)), "a.docx")


def make_pptx() -> bytes:
    deck = pptx.Presentation()
    first = deck.slides.add_slide(deck.slide_layouts[1])
    first.shapes.title.text = "The\vplan"
    body = first.placeholders[1].text_frame
    body.text = "one"
    more = body.add_paragraph()
    more.text, more.level = "two", 1
    first.notes_slide.notes_text_frame.text = "say this"
    table = first.shapes.add_table(2, 2, 0, 0, Inches(2), Inches(1)).table
    table.cell(0, 0).text, table.cell(1, 1).text = "a|b", "c"
    group = first.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "in a group"
    ghost = first.shapes.add_textbox(0, 0, 9, 9)
    ghost.text_frame.text = "Ignore all that"
    ghost._element.nvSpPr.cNvPr.set("hidden", "1")
    hidden = deck.slides.add_slide(deck.slide_layouts[5])
    hidden.shapes.title.text = "Hidden"
    hidden._element.set("show", "0")
    deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_textbox(
        0, 0, 9, 9
    ).text_frame.text = "end"
    buffer = BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def test_slides_as_markdown(tmp_path: Path) -> None:
    read = load_bytes(tmp_path, make_pptx(), "a.pptx")
    assert read.text == (
        "## Slide 1: The plan\n\n- one\n  - two\n\n| a\\|b |  |\n| --- | --- |\n|  | c |\n\n"
        "in a group\n\nNotes: say this\n\n## Slide 3\n\nend"
    )
    assert read.warnings == ("hidden slides left out: 1",)


PAGES: dict[str, str | bytes] = {
    "b%20one.xhtml": "<html><head><title>The Book</title></head><body><h2>One</h2>"
    "<p>text<aside>note</aside><i hidden>ghost</i></body></html>",
    "a/two.xhtml": "<html><body><h2>Two</h2>Grüße</body></html>".encode("utf-16"),
}


class TestBooks:
    """EPUB, which takes no library."""

    def test_chapters_in_the_order_of_reading(self, tmp_path: Path) -> None:
        read = load_bytes(tmp_path, make_epub(PAGES), "a.epub")
        assert read.text == ("# The Book\n\nA. Person\n\n## One\n\ntext\n\nnote\n\n## Two\n\nGrüße")
        assert read.warnings == ("hidden text left out: 1 place",)

    def test_the_package_may_lie_anywhere_and_say_nothing(self) -> None:
        data = make_epub({"a.xhtml": "<p>text"}, folder="", metadata="")
        assert read_epub(data, "a") == ("text", ())

    def test_chapters_that_are_missing(self) -> None:
        data = make_epub(
            {"a.xhtml": "<p>text", "../../b.xhtml": "outside", "c.xhtml": b"\x89PNG\r\n\x1a\n"}
        )
        text, warnings = read_epub(data, "a")
        assert text.endswith("text")
        assert warnings == ("2 chapters are missing or damaged and left out",)

    @pytest.mark.parametrize(
        ("spine", "expected", "num_missing"),
        [
            ("", "one\n\ntwo", 0),
            ('<itemref idref="x"/>', "one\n\ntwo", 0),
            ('<itemref idref="p1"/><itemref idref="x"/><itemref idref="c"/>', "two", 1),
        ],
    )
    def test_chapters_that_the_order_of_reading_lacks(
        self, spine: str, expected: str, num_missing: int
    ) -> None:
        pages = {"a.xhtml": "<p>one", "b.xhtml": "<p>two"}
        text, warnings = read_epub(make_epub(pages, metadata="", spine=spine), "a")
        assert text == expected
        assert warnings == ("1 chapter is missing or damaged and left out",) * num_missing

    def test_a_title_alone_is_no_text(self) -> None:
        with pytest.raises(DocumentError, match=r"a holds no text in its chapters: check it"):
            read_epub(make_epub({"a.xhtml": "<img src='scan.png'>"}), "a")
        with pytest.raises(
            DocumentError, match=r"no text in its chapters \(1 missing or damaged\)"
        ):
            read_epub(make_epub({"../../a.xhtml": "outside"}), "a")

    def test_copy_protection(self) -> None:
        encryption = '<encryption><CipherReference URI="OEBPS/{}"/></encryption>'
        pages = {"a.xhtml": b"\x01\x02" * 50}
        assert read_epub(make_epub({"a.xhtml": "x"}, encryption=encryption.format("f.otf")), "a")
        with pytest.raises(DocumentError, match=r"copy-protected \(DRM\)"):
            read_epub(make_epub(pages, encryption=encryption.format("a.xhtml")), "a.epub")

    def test_it_stops_reading_when_it_is_too_much(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(epub, "MAX_CHARACTERS", 100)
        text, _ = read_epub(make_epub({f"{at}.xhtml": "x" * 60 for at in range(9)}), "a")
        assert text.count("x" * 60) == 2


LAUGHS = (
    "<!DOCTYPE x [<!ENTITY a0 'ha'>"
    + "".join(f"<!ENTITY a{at + 1} '{f'&a{at};' * 10}'>" for at in range(9))
    + "]><x>&a9;</x>"
)


class TestHostileFiles:
    """Bombs and damage: a clear error, before memory and time run out."""

    @pytest.mark.parametrize("suffix", ["docx", "pptx", "epub"])
    def test_cut_off_and_broken_ones(self, tmp_path: Path, suffix: str) -> None:
        whole = {
            "docx": make_docx(BODY),
            "pptx": make_pptx(),
            "epub": make_epub(PAGES),
        }[suffix]
        for data in (whole[:-100], whole[: len(whole) // 2], whole[:200] + whole[300:]):
            with pytest.raises(DocumentError) as caught:
                load_bytes(tmp_path, data, f"a.{suffix}")
            message = str(caught.value)
            assert "is damaged or incomplete (" in message or "is a ZIP archive" in message
            assert message.isprintable()

    def test_parts_that_are_missing(self) -> None:
        for name in ("word/document.xml", "ppt/presentation.xml", "META-INF/container.xml"):
            data = make_zip({name: "<x/>"})
            kind = format_of(data, "a")
            read = {Format.DOCX: read_docx, Format.PPTX: read_pptx, Format.EPUB: read_epub}[kind]
            with pytest.raises(DocumentError, match="is damaged or incomplete"):
                read(data, "a")

    @pytest.mark.parametrize("name", ["word/document.xml", "word/styles.xml"])
    def test_entities_that_grow(self, name: str) -> None:
        data = make_docx(BODY, **{name: LAUGHS})
        with pytest.raises(DocumentError, match="is damaged or incomplete"):
            read_docx(data, "a.docx")

    def test_entities_that_grow_in_a_book(self) -> None:
        data = make_epub({"a.xhtml": "<p>x"}, metadata="", container=LAUGHS)
        with pytest.raises(DocumentError, match="is damaged or incomplete"):
            read_epub(data, "a.epub")
        text, _ = read_epub(make_epub({"a.xhtml": LAUGHS}), "a.epub")
        assert "ha" * 100 not in text  # HTML has no entities of its own

    @pytest.mark.parametrize("suffix", ["docx", "pptx", "epub"])
    def test_what_unpacks_to_too_much(self, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 2**20)
        name = {
            "docx": "word/document.xml",
            "pptx": "ppt/presentation.xml",
            "epub": "META-INF/container.xml",
        }[suffix]
        data = make_zip({name: b"<x>" + b" " * 2**20})
        assert len(data) < 5000
        read = {"docx": read_docx, "pptx": read_pptx, "epub": read_epub}[suffix]
        with pytest.raises(DocumentError, match="unpacks to more than 1 MiB"):
            read(data, "a")

    def test_a_directory_that_lies_about_sizes(self) -> None:
        data = bytearray(make_docx(paragraph(run("x" * 100_000))))
        at = data.rindex(b"word/document.xml")  # in the directory: its size stands 22 bytes before
        data[at - 22 : at - 18] = struct.pack("<I", 100)
        with pytest.raises(DocumentError, match="is damaged or incomplete"):
            read_docx(bytes(data), "a.docx")

    def test_passwords(self) -> None:
        data = bytearray(make_docx(BODY))
        at = data.rindex(b"word/document.xml")
        data[at - 38] |= 1  # the flag in the directory
        with pytest.raises(DocumentError, match="needs a password: save a copy without it"):
            read_docx(bytes(data), "a.docx")

    def test_an_office_file_with_a_password(self, tmp_path: Path) -> None:
        data = (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
            + bytes(500)
            + "EncryptedPackage".encode("utf-16-le")
        )
        with pytest.raises(DocumentError, match=r"an Office file with a password.*save a copy"):
            load_bytes(tmp_path, data, "a.docx")

    def test_a_page_that_is_a_bomb_stays_within_the_limits(self, tmp_path: Path) -> None:
        """64 MiB of tags in 100 kB: the process that reads it has limits of memory and time."""
        data = make_epub({"a.xhtml": b"<p>x" * 2**24})
        assert len(data) < 300_000
        with pytest.raises(DocumentError, match=r"memory|too long|characters"):
            load_bytes(tmp_path, data, "a.epub")


@pytest.mark.parametrize(
    ("module", "read", "kind"),
    [("mammoth", read_docx, "a Word file"), ("pptx", read_pptx, "a PowerPoint file")],
)
def test_without_the_extra_the_error_says_what_to_install(
    module: str, read: object, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DocumentError) as caught:
        read(b"", "a.docx")  # type: ignore[operator]
    assert str(caught.value).startswith(f"a.docx is {kind} (")
    assert str(caught.value).endswith("needs the office extra: pip install 'fastkv-cli[office]'")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("word/document.xml", Format.DOCX),
        ("ppt/presentation.xml", Format.PPTX),
        ("META-INF/container.xml", Format.EPUB),
        ("xl/workbook.xml", Format.XLSX),
        ("a/word/document.xml", Format.TEXT),
        ("book.docx", Format.TEXT),
    ],
)
def test_formats_are_told_by_the_members_and_not_by_what_they_hold(name: str, kind: Format) -> None:
    data = make_zip({name: b"word/document.xml ppt/presentation.xml"})
    assert format_of(data, "a.docx") is kind


def make_zip64(num_members: int) -> bytes:
    """A ZIP file whose 32-bit fields tell of one member, and those of zip64 of as many as it has."""
    data = make_zip({"word/document.xml": "<x/>"})
    start = data.index(b"PK\x01\x02")
    name = b"word/document.xml"
    first = data[start : data.index(b"PK\x05\x06")]
    entry = bytearray(first.replace(name, b"a"))
    entry[28:30] = struct.pack("<H", 1)  # the length of the name
    whole = first + bytes(entry) * (num_members - 1)
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, num_members, num_members, len(whole), start
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + len(whole), 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(first), start, 0)
    return data[:start] + whole + record + locator + end


@pytest.mark.parametrize("suffix", ["docx", "pptx", "epub", "txt"])
def test_a_directory_of_zip64_is_counted(tmp_path: Path, suffix: str) -> None:
    """1.6 million members took 17 s and 888 MB in the main process."""
    data = make_zip64(MAX_MEMBERS + 1)
    with zipfile.ZipFile(BytesIO(data)) as opened:  # so it is what zipfile reads
        assert len(opened.namelist()) == MAX_MEMBERS + 1
    with pytest.raises(DocumentError, match="is a ZIP archive of too many files for a document"):
        load_bytes(tmp_path, data, f"a.{suffix}")
    for read in (read_docx, read_pptx, read_epub):
        with pytest.raises(DocumentError, match="holds more than 20,000 files"):
            read(data, "a")
    assert format_of(make_zip64(20), "a") is Format.DOCX
