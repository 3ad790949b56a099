"""Files of the further formats to break, for fuzz_inputs.py: sheets, mail, data, books, LaTeX."""

from __future__ import annotations

import json
import sys
import zipfile
from datetime import datetime
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "documents"))

from outlook_maker import make_msg

_SPACES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "style", "text", "table", "draw", "presentation")
)
_NOTE = "<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>See above."
_TABLE = (
    "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
    '<table:table-cell table:number-columns-repeated="3" office:value="7"><text:p>7%</text:p>'
    '</table:table-cell></table:table-row><table:table-row table:number-rows-repeated="9">'
    "<table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table>"
)


def make_formats(text: str) -> dict[str, bytes]:
    """One file of each format, by name; most hold a text of several paragraphs."""
    paragraphs = [each for each in text.split("\n\n") if each]
    cells = [[str(at), each, f"{at},5"] for at, each in enumerate(paragraphs)]
    rows = "\n".join(";".join(row) for row in cells)
    records = [dict(zip(("number", "text", "price"), row, strict=True)) for row in cells]
    cues = "\n\n".join(
        f"{at + 1}\n00:00:{at:02},000 --> 00:00:{at + 1:02},500\n<i>{each}</i>"
        for at, each in enumerate(paragraphs)
    )
    mail = _mail(text)
    return {
        "sheet.xlsx": _workbook(cells),
        "letter.odt": _open_document("text", _odt_body(paragraphs)),
        "sheet.ods": _open_document("spreadsheet", _TABLE),
        "slides.odp": _open_document("presentation", _odp_body(paragraphs[:3])),
        "letter.rtf": _rtf(paragraphs).encode("ascii", "replace"),
        "mail.eml": mail.as_bytes(),
        "mail.msg": make_msg(
            {0x1A: "IPM.Note", 0x37: "Minutes", 0x1000: text, 0x1013: f"<p>{text}".encode(),
             0xC1A: "Ann", 0xC1F: "a@example.org", 0x39: datetime.fromisoformat("2031-03-04T09Z")},
            [{0x3001: "Bob", 0x39FE: "b@example.org"}],
            [{0x3707: "rows.csv", 0x3701: rows.encode()}],
        ),
        "page.mhtml": _page(text).as_bytes(),
        "book.ipynb": json.dumps(_notebook(paragraphs)).encode(),
        "rows.csv": rows.encode(),
        "rows.tsv": rows.replace(";", "\t").encode("utf-16"),
        "data.json": json.dumps({"title": "Minutes", "rows": records, "deep": [[[{}]]]}).encode(),
        "data.jsonl": "\n".join(map(json.dumps, records)).encode(),
        "film.srt": cues.encode("cp1252", "replace"),
        "film.vtt": f"WEBVTT\n\n{cues.replace(',', '.')}".encode(),
        "book.fb2": _book(paragraphs).encode(),
        "paper.tex": _latex(paragraphs).encode(),
        "run.log": "\n".join(f"12:{at:02} [info] {each}" for at, each in enumerate(paragraphs))
        .encode(),
    }  # fmt: skip


def _workbook(cells: list[list[str]]) -> bytes:
    from openpyxl import Workbook

    book, buffer = Workbook(), BytesIO()
    book.properties.created = book.properties.modified = datetime(2000, 1, 1)
    sheet = book.active
    assert sheet is not None
    for row in cells:
        sheet.append([int(row[0]), row[1], "=A1*2"])
    book.create_sheet("hidden").sheet_state = "hidden"
    book.save(buffer)
    again = BytesIO()  # the same bytes each time: openpyxl dates its members
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = b"<x/>"
            new.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return again.getvalue()


def _open_document(kind: str, body: str) -> bytes:
    styles = (
        '<style:style style:name="T1"><style:text-properties style:text-line-through-style="solid"'
        ' style:text-position="super 58%"/></style:style>'
    )
    content = (
        f"<office:document-content {_SPACES}><office:automatic-styles>{styles}"
        f"</office:automatic-styles><office:body><office:{kind}>{body}</office:{kind}>"
        "</office:body></office:document-content>"
    )
    members = {
        "mimetype": f"application/vnd.oasis.opendocument.{kind}",
        "META-INF/manifest.xml": "<manifest/>",
        "content.xml": content,
    }
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(name), member, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _odt_body(paragraphs: list[str]) -> str:
    texts = "".join(
        f'<text:p>{each} <text:span text:style-name="T1">12</text:span></text:p>'
        for each in paragraphs
    )
    items = "<text:list><text:list-item><text:p>one</text:p></text:list-item></text:list>"
    note = f"<text:p>{_NOTE}</text:p></text:note-body></text:note></text:p>"
    return f'<text:h text:outline-level="1">Minutes</text:h>{texts}{items}{_TABLE}{note}'


def _odp_body(paragraphs: list[str]) -> str:
    return "".join(
        '<draw:page><draw:frame presentation:class="title"><draw:text-box><text:p>Minutes</text:p>'
        f"</draw:text-box></draw:frame><draw:frame><draw:text-box><text:p>{each}</text:p>"
        "</draw:text-box></draw:frame><presentation:notes><draw:frame><draw:text-box><text:p>Notes"
        "</text:p></draw:text-box></draw:frame></presentation:notes></draw:page>"
        for each in paragraphs
    )


def _rtf(paragraphs: list[str]) -> str:
    body = "\\par ".join(f"{each} 10{{\\super 6}} {{\\strike 120}}" for each in paragraphs)
    return f"{{\\rtf1\\ansi{{\\fonttbl\\f0 Times;}}\\f0 {body}\\trowd a\\cell b\\cell\\row}}"


def _mail(text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ann <a@example.org>", "b@example.org", "Minutes"
    mail["Date"], mail["Message-ID"] = "Tue, 04 Mar 2031 10:00:00 +0100", "<1@example.org>"
    mail.set_content(text)
    mail.add_alternative(f"<p>{text}", subtype="html")
    mail.add_attachment(f"{text}", "plain", filename="minutes.txt")
    mail.add_attachment(b"\0\1" * 99, "application", "octet-stream", filename="a.bin")
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "Cid <c@example.org>", "Earlier"
    inner.set_content(text)
    mail.add_attachment(inner)
    parts = [mail, *mail.iter_parts(), *next(mail.iter_parts()).iter_parts()]
    for number, part in enumerate(each for each in parts if each.is_multipart()):
        if part.get_content_maintype() == "multipart":
            part.set_boundary(f"part{number}")
    return mail


def _page(text: str) -> EmailMessage:
    page = EmailMessage()
    page["Subject"], page["MIME-Version"], page["From"] = "Minutes", "1.0", "<Saved by a browser>"
    page["Snapshot-Content-Location"] = "https://example.org/"
    page.set_content(f"<h1>Minutes</h1><p>{text}", subtype="html", cte="quoted-printable")
    return page


def _notebook(paragraphs: list[str]) -> dict[str, object]:
    outputs = [
        {"output_type": "stream", "text": paragraphs[:2]},
        {"output_type": "display_data", "data": {"image/png": "AAAA", "text/html": "<b>7</b>"}},
    ]
    cells = [
        {"cell_type": "markdown", "source": [f"{each}\n" for each in paragraphs]},
        {"cell_type": "code", "source": "count()", "outputs": outputs},
    ]
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}


def _book(paragraphs: list[str]) -> str:
    texts = "".join(f"<p>{each.replace('&', '')}</p>" for each in paragraphs)
    return (
        '<?xml version="1.0"?><FictionBook xmlns="http://www.gribuser.ru/xml/fictionbook/2.0">'
        "<description><title-info><book-title>Minutes</book-title></title-info></description><body>"
        f"<section><title><p>One</p></title>{texts}</section></body></FictionBook>"
    )


def _latex(paragraphs: list[str]) -> str:
    body = "\n\n".join(paragraphs)
    return (
        "\\documentclass{article}\n\\newcommand{\\met}[1]{met #1}\n\\begin{document}\n"
        f"\\section{{Minutes}}\n{body}\n$x^2$ \\met{{twice}}\n\\begin{{tabular}}{{ll}} a & b \\\\ "
        "c & d\\end{tabular}\n\\end{document}\n"
    )
