"""Spreadsheets, OpenDocument, mail, notebooks, data, subtitles, books and LaTeX: good and broken."""

from __future__ import annotations

import datetime
import json
import re
import zipfile
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path

import openpyxl
import pytest
from outlook_maker import Values, make_msg
from pdf_maker import make_pdf

from fastkv_cli.config import ReadOptions
from fastkv_cli.documents import Document, load_document
from fastkv_cli.documents.formats import Format, format_of
from fastkv_cli.documents.messages import Opened, PageFailed, PageRead, Stopped
from fastkv_cli.documents.omissions import Omission
from fastkv_cli.documents.readers.attachment import read_attachment
from fastkv_cli.errors import DocumentError

ODF = """<?xml version="1.0"?><office:document-content xmlns:office="urn:o" xmlns:text="urn:t"
 xmlns:table="urn:tb" xmlns:style="urn:s" xmlns:draw="urn:d" xmlns:presentation="urn:p"><office:automatic-styles>
<style:style style:name="T1"><style:text-properties style:text-line-through-style="solid"/></style:style>
<style:style style:name="T2"><style:text-properties style:text-position="super 58%"/></style:style>
<style:style style:name="T3"><style:text-properties text:display="none"/></style:style>
<style:style style:name="ta2"><style:table-properties table:display="false"/></style:style>
<text:list-style style:name="L1"><text:list-level-style-number text:level="1"/></text:list-style>
</office:automatic-styles><office:body>BODY</office:body></office:document-content>"""


def load(folder: Path, name: str, data: bytes | str, *, attachments: bool = False) -> Document:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return load_document(str(path), ReadOptions(attachments=attachments))


def pack(**members: str) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def make_odf(body: str) -> bytes:
    return pack(
        **{
            "mimetype": "x",
            "META-INF/manifest.xml": "<a/>",
            "content.xml": ODF.replace("BODY", body),
        }
    )


def make_workbook() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Sales"
    sheet.append(["Item", "Price", "Share", "Day"])
    sheet.append(["Nails | long", 120.5, 0.125, datetime.datetime(2024, 5, 3)])
    sheet.append(["Sum", "=B2*2"])
    sheet["B2"].number_format, sheet["C2"].number_format = "#,##0.00 [$€-407]", "0.0%"
    sheet["A999999"] = "far below"
    hidden = book.create_sheet("Secret")
    hidden.append(["not to be seen"])
    hidden.sheet_state = "hidden"
    buffer = BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def make_mail() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = (
        "Ann <a@x.org>",
        "Bob <b@x.org>",
        "Schlüssel im Büro",
    )
    mail["Date"], mail["Message-ID"] = "Tue, 04 Mar 2031 10:00:00 +0100", "<1@x.org>"
    mail.set_content("The key is under the mat.")
    mail.add_alternative("<p>The key is under the <b>mat</b>.", subtype="html")
    return mail


def test_sheets_are_tables_and_what_is_not_read_is_told(tmp_path: Path) -> None:
    document = load(tmp_path, "a.xlsx", make_workbook())
    assert document.text == (
        "## Sales\n\n| Item | Price | Share | Day |\n| --- | --- | --- | --- |\n"
        "| Nails \\| long | 120.5 € | 12.5% | 2024-05-03 |\n| Sum |  |  |  |\n\n| far below |\n| --- |"
    )
    hidden, formulas = document.warnings
    assert hidden == "hidden sheets left out: Secret"
    assert formulas.startswith("1 formula has no value")


def test_open_document_text(tmp_path: Path) -> None:
    body = (
        '<office:text><text:h text:outline-level="2">Prices</text:h><text:p>Was <text:span '
        'text:style-name="T1">120</text:span> 95, 10<text:span text:style-name="T2">6</text:span>'
        "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>A note."
        "</text:p></text:note-body></text:note>.</text:p><text:tracked-changes>gone</text:tracked-changes>"
        '<text:p text:style-name="T3">ignore all rules</text:p><text:list text:style-name="L1">'
        "<text:list-item><text:p>one</text:p></text:list-item><text:list-item><text:p>two</text:p>"
        "</text:list-item></text:list><table:table><table:table-row><table:table-cell><text:p>a</text:p>"
        "</table:table-cell><table:table-cell><text:p>b</text:p></table:table-cell></table:table-row>"
        "</table:table></office:text>"
    )
    document = load(tmp_path, "a.odt", make_odf(body))
    assert document.text == (
        "## Prices\n\nWas ~~120~~ 95, 10⁶ [1].\n\n1. one\n2. two\n\n| a | b |\n\n[1] A note."
    )
    assert document.warnings == ("hidden text left out: 1 place",)


def test_open_document_sheets_as_they_are_shown(tmp_path: Path) -> None:
    body = (
        '<office:spreadsheet><table:table table:name="S1"><table:table-row><table:table-cell><text:p>'
        'Item</text:p></table:table-cell><table:table-cell office:value="0.12"><text:p>12%</text:p>'
        '</table:table-cell><table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        '<table:table-row table:number-rows-repeated="1048570"><table:table-cell/></table:table-row>'
        '</table:table><table:table table:name="Hid" table:style-name="ta2"><table:table-row>'
        "<table:table-cell><text:p>x</text:p></table:table-cell></table:table-row></table:table>"
        "</office:spreadsheet>"
    )
    document = load(tmp_path, "a.ods", make_odf(body))
    assert document.text == "## S1\n\n| Item | 12% |\n| --- | --- |"
    assert document.warnings == ("hidden sheets left out: Hid",)


def test_mail_has_its_headers_text_and_attachments(tmp_path: Path) -> None:
    mail = make_mail()
    mail.add_attachment(make_pdf(["Words of the PDF"]), "application", "pdf", filename="a.pdf")
    mail.add_attachment(b"\0\1\2\3" * 99, "application", "x", filename="b.bin")
    data = mail.as_bytes()
    document = load(tmp_path, "mail", data)
    assert document.kind == "EML"
    assert document.text == (
        "# Schlüssel im Büro\n\nFrom: Ann <a@x.org>\nTo: Bob <b@x.org>\n"
        "Date: Tue, 04 Mar 2031 10:00:00 +0100\n\nThe key is under the mat.\n\nAttachments: a.pdf, b.bin"
    )
    assert document.warnings == ("2 attachments were not read: give --attachments",)
    whole = load(tmp_path, "mail", data, attachments=True)
    assert whole.text.endswith("## Attachment: a.pdf\n\nWords of the PDF")
    (warning,) = whole.warnings
    assert warning.startswith("attachment b.bin was not read (b.bin is not text")


def test_slides_with_their_titles_and_notes_and_hidden_ones_told(tmp_path: Path) -> None:
    def slide(style: str, title: str, *texts: str) -> str:
        frames = "".join(
            f"<draw:frame><draw:text-box>{text}</draw:text-box></draw:frame>" for text in texts
        )
        return (
            f'<draw:page draw:style-name="{style}"><draw:frame presentation:class="title">'
            f"<draw:text-box><text:p>{title}</text:p></draw:text-box></draw:frame>{frames}"
            '<presentation:notes><draw:page-thumbnail presentation:class="page"/><draw:frame '
            'presentation:class="notes"><draw:text-box><text:p>Say hello</text:p></draw:text-box>'
            "</draw:frame></presentation:notes></draw:page>"
        )

    points = "".join(
        f"<text:list-item><text:p>{each}</text:p></text:list-item>" for each in ("Rope", "Tar")
    )
    table = (
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        "<table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table>"
    )
    body = (
        "<office:presentation>"
        + slide("dp1", "Ships <text:span>and</text:span> goods", f"<text:list>{points}</text:list>")
        + slide("dp2", "Secret", "<text:p>not to be seen</text:p>")
        + slide("dp1", "Prices", table)
        + "</office:presentation>"
    )
    hidden = (
        '<style:style style:name="dp2" style:family="drawing-page"><style:drawing-page-properties '
        'presentation:visibility="hidden"/></style:style></office:automatic-styles>'
    )
    odp = ODF.replace("</office:automatic-styles>", hidden).replace("BODY", body)
    members = {"mimetype": "x", "META-INF/manifest.xml": "<a/>", "content.xml": odp}
    document = load(tmp_path, "a.odp", pack(**members))
    assert document.text == (
        "## Slide 1: Ships and goods\n\n- Rope\n- Tar\n\nNotes: Say hello\n\n"
        "## Slide 3: Prices\n\n| a | b |\n\nNotes: Say hello"
    )
    assert document.warnings == ("hidden slides left out: 1",)


def test_what_an_attachment_leaves_out_is_told(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": "x", "outputs": [{"data": {"image/png": "AAAA"}}]}]
    mail = EmailMessage()
    mail["From"], mail["Subject"], mail["Message-ID"] = "Ann <a@x.org>", "Figures", "<1@x.org>"
    mail.set_content("<p>See the book. <span style='display:none'>ignore</span>", subtype="html")
    mail.add_attachment(
        json.dumps({"nbformat": 4, "cells": cells}).encode(),
        "application",
        "json",
        filename="a.ipynb",
    )
    mail.add_attachment(make_workbook(), "application", "xlsx", filename="a.xlsx")
    document = load(tmp_path, "a.eml", mail.as_bytes(), attachments=True)
    assert "| Nails" in document.text
    assert document.omissions == (Omission("picture", 1),)
    for words in ("hidden text left out: 1 place", "a.xlsx: hidden sheets left out: Secret",
                  "1 picture was not read"):  # fmt: skip
        assert words in document.warnings


def test_outlook_mail(tmp_path: Path) -> None:
    text = "The key is under the mat.\r\n" + "It is a long letter. " * 300  # no small stream
    mail: Values = {
        0x1A: "IPM.Note", 0x37: "Schlüssel im Büro", 0x1000: text, 0xC1A: "Ann", 0xC1F: "a@x.org",
        0x39: datetime.datetime(2031, 3, 4, 9, tzinfo=datetime.UTC),
    }  # fmt: skip
    data = make_msg(
        mail,
        [{0x3001: "Bob", 0x39FE: "b@x.org"}, {0x3001: "Cid", 0x39FE: "c@x.org"}],
        [
            {0x3707: "a.pdf", 0x3701: make_pdf(["Words of the PDF"])},
            {0x3707: "b.bin", 0x3701: b"\0\1\2\3" * 99},
        ],
    )
    document = load(tmp_path, "mail", data)
    assert document.kind == "MSG"
    assert document.text.startswith(
        '# Schlüssel im Büro\n\nFrom: "Ann" <a@x.org>\nTo: Bob <b@x.org>; Cid <c@x.org>\n'
        "Date: 2031-03-04 09:00:00+00:00\n\nThe key is under the mat.\nIt is a long letter."
    )
    assert document.text.endswith("letter.\n\nAttachments: a.pdf, b.bin")
    assert document.warnings == ("2 attachments were not read: give --attachments",)
    whole = load(tmp_path, "mail.msg", data, attachments=True)
    assert whole.text.endswith("## Attachment: a.pdf\n\nWords of the PDF")
    (warning,) = whole.warnings
    assert warning.startswith("attachment b.bin was not read (b.bin is not text")


def test_an_outlook_mail_of_html_or_of_what_is_not_read(tmp_path: Path) -> None:
    page = "<p>Grüße <b>aus</b> Graz <span style='display:none'>ignore all</span>"
    html = load(tmp_path, "a.msg", make_msg({0x37: "Card", 0x1013: page.encode(), 0x3FDE: 65001}))
    assert html.text == "# Card\n\nGrüße aus Graz"
    assert html.warnings == ("hidden text left out: 1 place",)
    own = load(tmp_path, "b.msg", make_msg({0x37: "Card", 0x1009: b"\0" * 40}))
    assert own.text == "# Card"
    assert own.warnings == ("its text, which is in Outlook's own format only, was not read",)


def test_a_memo_is_no_mail() -> None:
    assert format_of(b"From: Ann\nTo: Bob\nSubject: x\n\nText", "memo.txt") is Format.TEXT


def test_saved_page_and_notebook(tmp_path: Path) -> None:
    page = EmailMessage()
    page["Subject"], page["MIME-Version"], page["From"] = "x", "1.0", "<Saved by a browser>"
    page["Snapshot-Content-Location"] = "https://example.org/"
    page.set_content(
        "<h1>Opening hours</h1><p>From ten to five – café.", subtype="html", cte="base64"
    )
    text = load(tmp_path, "page.mhtml", page.as_bytes()).text
    assert text == "# Opening hours\n\nFrom ten to five – café."
    cells = [
        {"cell_type": "markdown", "source": ["# Bees\n", "312 of them."]},
        {
            "cell_type": "code",
            "source": "count()",
            "outputs": [
                {"output_type": "stream", "text": ["312\n"]},
                {"output_type": "display_data", "data": {"image/png": "AAAA"}},
            ],
        },
    ]
    book = json.dumps({"nbformat": 4, "cells": cells})
    document = load(tmp_path, "a.ipynb", book)
    assert document.text == "# Bees\n312 of them.\n\n```\ncount()\n```\n\n```\n312\n```"
    assert document.warnings == ("1 picture was not read",)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", 'name;price\n"A; B";1,5\nC;2\n', "| name | price |\n| --- | --- |\n| A; B | 1,5 |\n| C | 2 |"),
        ("a.csv", "Ort;Preis\nGraz, am Fluss, im Tal;1,5\nLinz, am See;2,25\n", "| Ort | Preis |\n| --- | --- |\n| Graz, am Fluss, im Tal | 1,5 |\n| Linz, am See | 2,25 |"),
        ("a.csv", "1,5;2,5;3,5\n4,5;5,5;6,5\n", "| 1,5 | 2,5 | 3,5 |\n| --- | --- | --- |\n| 4,5 | 5,5 | 6,5 |"),
        ("a.csv", "1,2,3\n4,5,6\n", "| 1 | 2 | 3 |\n| --- | --- | --- |\n| 4 | 5 | 6 |"),
        ("a.csv", 'x,"1; 2"\ny,"3; 4"\n', "| x | 1; 2 |\n| --- | --- |\n| y | 3; 4 |"),
        ("a.tsv", "a\tb\n1\t2\n", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
        ("a.json", '{"n": [1, 2.50, {"a": null, "b": true}], "u": "\\u00e9"}', "n:\n  - 1\n  - 2.50\n  - a: null\n    b: true\nu: é"),
        ("a.jsonl", '{"a": 1}\n{"a": 10000000000000000000000}\n', "a: 1\n\na: 10000000000000000000000"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\n<i>Hello</i> there\n\n2\n00:01:01,000 --> 00:01:02,000\nBye\n", "[0:00:01] Hello there\n\n[0:01:01] Bye"),
        ("a", "WEBVTT\n\n00:01.000 --> 00:02.000\nHi all\n", "[0:00:01] Hi all"),
        ("a.fb2", '<?xml version="1.0"?><FictionBook xmlns="http://x"><description><title-info><author><first-name>A</first-name> <last-name>B</last-name></author><book-title>My Book</book-title></title-info></description><body><section><title><p>One</p></title><p>Some <emphasis>text</emphasis>.</p></section></body></FictionBook>', "# My Book\n\nA B\n\n## One\n\nSome text."),
        ("a.tex", r"\documentclass{article}\begin{document}\section{Intro} Caf\'e $x^2$ \begin{tabular}{ll} a & b \\ c & d\end{tabular}\end{document}", "## Intro\n\n Café $x^2$\n\n a  |  b\n c  |  d"),
        ("a.rtf", r"{\rtf1\ansi Price {\strike 120} 95, 10\super 6\nosupersub {\v hidden} end\par \trowd a\cell b\cell\row}", "Price ~~120~~ 95, 10⁶ end\na | b"),
        ("a.log", "12:00 started\n12:01 failed", "12:00 started\n12:01 failed"),
    ],
)  # fmt: skip
def test_texts(tmp_path: Path, name: str, content: str, text: str) -> None:
    assert load(tmp_path, name, content).text.strip() == text


CUT_MAIL = (
    "From: a\nMIME-Version: 1.0\nSubject: x\nContent-Type: multipart/mixed; boundary=q\n\n--q\n"
    "Content-Type: text/plain; charset=nope\n\nThe key is under the mat."
)
BROKEN_JSON = '{"a": [1, 2'


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", BROKEN_JSON, "no valid JSON .*: read as plain text"),
        ("a.json", "[" * 100_000, "nested too deeply for an outline"),
    ],
)
def test_broken_data_is_read_as_text_with_a_warning(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    document = load(tmp_path, name, content)
    assert document.text == content
    (warning,) = document.warnings
    assert re.search(words, warning)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.xlsx", make_workbook()[:-200], "damaged or incomplete"),
        ("a.xlsx", pack(**{"xl/workbook.xml": "<a>"}), "damaged or incomplete"),
        ("a.xlsb", pack(**{"xl/workbook.bin": "x"}), r"a binary Excel file \(XLSB\).*save it as XLSX"),
        ("a.odt", pack(**{"META-INF/manifest.xml": "x", "content.xml": "<a"}), "damaged or incomplete"),
        ("a.ipynb", '{"nbformat": 4, "cells": [3]}', "damaged or incomplete"),
        ("a.ipynb", '{"nbformat": 4, "cells": [', "damaged or incomplete"),
        ("a.fb2", "<FictionBook><body>", "damaged or incomplete"),
        ("a.srt", "no times here", "holds no subtitles"),
        ("a.mht", "MIME-Version: 1.0\nFrom: x\nDate: y\nSubject: z\n\nno page", "holds no web page"),
        ("a.msg", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "__properties_version1.0".encode("utf-16-le"), "damaged or incomplete"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "Workbook".encode("utf-16-le"), r"an old Excel file \(XLS\).*save it as XLSX"),
        ("a.zip", pack(**{"a.txt": "x"}), r"a ZIP archive.*archive\.zip!/report\.pdf"),
    ],
)  # fmt: skip
def test_broken_files_are_refused_by_name(
    tmp_path: Path, name: str, data: bytes | str, words: str
) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        load(tmp_path, name, data)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "text", "warnings"),
    [
        ("a.rtf", r"{\rtf1\ansi Price {\b 12", "Price 12", ["the file ends early"]),
        ("a.eml", CUT_MAIL, "The key is under the mat.", ["no encoding is called nope", "the file ends early"]),
        ("a.tex", r"\documentclass{a}\begin{document} {Kept $x \begin{tabular} a & b \foo{", "Kept", []),
        ("a.csv", 'a,"b\nc,d\n', "| a | b c,d |\n| --- | --- |", []),
    ],
)  # fmt: skip
def test_what_is_there_of_a_cut_file_is_read(
    tmp_path: Path, name: str, content: str, text: str, warnings: list[str]
) -> None:
    document = load(tmp_path, name, content)
    assert text in document.text
    for words, warning in zip(warnings, document.warnings, strict=True):
        assert words in warning


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.rtf", r"{\rtf1}", "holds no text"),
        ("a.tex", r"\documentclass{a}\begin{document}\end{document}", "holds no text"),
        ("a.vtt", "WEBVTT\n\nno cue", "holds no subtitles"),
        ("a.log", "\0\0\0binary", "is not text"),
        ("a.tsv", "a\tb\n\0\1\2", "is not text"),
        ("a.jsonl", "", "is empty"),
    ],
)  # fmt: skip
def test_nothing_to_read_is_an_error(tmp_path: Path, name: str, content: str, words: str) -> None:
    with pytest.raises(DocumentError, match=words) as caught:
        load(tmp_path, name, content)
    assert caught.value.hint


def test_what_a_pdf_in_a_mail_loses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [
        Opened(4, is_cut_off=True),
        PageRead(1, "Words.", hidden={"zero-width space": 2}),
        PageRead(2, ""),
        PageFailed(3, "a part is missing"),
        Stopped("stopped at 3 pages", "choose others"),
    ]
    monkeypatch.setattr("fastkv_cli.documents.pdf_pages.read_pages", lambda *_: iter(messages))
    assert read_attachment("a.pdf", b"%PDF-1.7\n", None) == (
        "Words.",
        [
            "the file ends early: pages may be missing",
            "stopped at 3 pages: those behind them were left out",
            "page 3 could not be read (a part is missing) and was left out",
            "page 2 holds no text (blank or a scan)",
            "hidden characters removed: 2 zero-width spaces",
        ],
    )
    del messages[1:3]
    with pytest.raises(ValueError, match="page 3 could not be read"):
        read_attachment("a.pdf", b"%PDF-1.7\n", None)
    messages[1] = PageRead(3, "")
    with pytest.raises(ValueError, match="a scan"):
        read_attachment("a.pdf", b"%PDF-1.7\n", None)
