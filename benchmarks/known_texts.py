"""Documents made of texts that are known, for extraction.py; needs `pip install reportlab`.

Prose, prose with running heads and page numbers, two columns, lines of a typewriter, and a chapter
with headings, lists and a table as PDF, Word file, web page, book, slides and spreadsheet. What a
reader should give is the text as it was put in; running heads and page numbers are no part of it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from fuzz_inputs import make_zip

from fastkv_cli.evaluation import data as shipped

SHIPPED = Path(str(shipped.__path__[0]))
_OFFICE = "http://schemas.openxmlformats.org"


@dataclass(frozen=True, slots=True)
class Known:
    """A document: file name, bytes, its text, and where that is from."""

    name: str
    data: bytes
    text: str
    source: str


def make_documents() -> Iterator[Known]:
    """All documents, the same each time."""
    novel = (SHIPPED / "time-machine.txt").read_text("utf-8")
    prose = [" ".join(part.split()) for part in novel[20_000:62_000].split("\n\n") if part.strip()]
    text = "\n\n".join(prose)
    yield Known("prose.pdf", typeset(prose), text, "a novel, typeset with ReportLab")
    yield Known("running.pdf", typeset(prose, running=True), text, "the same, with running heads")
    yield Known("columns.pdf", typeset(prose, columns=2), text, "the same, in two columns")
    lines = (SHIPPED / "rfc1951.txt").read_text("utf-8").replace("\f", "")
    yield Known("lines.pdf", typewrite(lines), lines, "RFC 1951, line by line with ReportLab")
    yield from make_chapter(prose)


def typeset(paragraphs: Sequence[str], *, columns: int = 1, running: bool = False) -> bytes:
    """Justified paragraphs on A4 pages."""
    from reportlab.lib.enums import TA_JUSTIFY
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph

    def draw_edges(canvas: Any, document: Any) -> None:
        if running:
            canvas.setFont("Times-Italic", 9)
            canvas.drawString(72, 800, "The Time Machine")
            canvas.drawRightString(523, 40, f"page {document.page}")

    buffer = BytesIO()
    document = BaseDocTemplate(buffer, pagesize=A4, invariant=1)
    width = 451 / columns
    frames = [Frame(72 + at * width, 60, width - 10 * (columns > 1), 720) for at in range(columns)]
    document.addPageTemplates(PageTemplate(frames=frames, onPage=draw_edges))
    style = ParagraphStyle(
        "body", fontName="Times-Roman", fontSize=11, leading=14, alignment=TA_JUSTIFY, spaceAfter=6
    )
    document.build([Paragraph(escape(each, quote=False), style) for each in paragraphs])
    return buffer.getvalue()


def typewrite(text: str) -> bytes:
    """Lines in Courier as they are, 58 on a page."""
    from reportlab.lib.pagesizes import A4
    from reportlab.pdfgen.canvas import Canvas

    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=A4, invariant=1)
    lines = text.split("\n")
    for first in range(0, len(lines), 58):
        shown = canvas.beginText(50, 790)
        shown.setFont("Courier", 9, leading=12.5)
        for line in lines[first : first + 58]:
            shown.textLine(line)
        canvas.drawText(shown)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def make_chapter(prose: Sequence[str]) -> Iterator[Known]:
    """A heading, paragraphs, a list and a table, in the formats of offices and of the web."""
    table = [["Place", "2030", "2031"], ["Mill", "1,204", "88"], ["Inn", "31", "(7)"]]
    points = ["Bring the key.", "Close the gate behind you.", "Feed the goats."]
    body = list(prose[:12])
    rows = [" ".join(row) for row in table]
    text = "\n".join(["Report of the warden", *body, "Duties", *points, "Visitors", *rows])
    source = "the novel's first pages, a list and a table"
    page = (
        f"<h1>Report of the warden</h1>{''.join(f'<p>{escape(each)}</p>' for each in body)}"
        f"<h2>Duties</h2><ul>{''.join(f'<li>{each}</li>' for each in points)}</ul>"
        f"<h2>Visitors</h2><table>{_cells(table, 'tr', 'td')}</table>"
    )
    site = (
        "<!DOCTYPE html><html><head><title>Report</title><style>p {margin: 0}</style></head>"
        f"<body><main>{page}</main><script>var a = 1;</script></body></html>"
    )
    yield Known("chapter.html", site.encode(), text, source)
    yield Known("chapter.docx", _word_file(body, points, table), text, source)
    yield Known("chapter.epub", _book(page), text, source)
    yield Known("chapter.pptx", _slides(body, points), _slides_text(body, points), source)
    yield Known("chapter.xlsx", _workbook(table), "\n".join(["Visitors", *rows]), "the table")


def _cells(table: Sequence[Sequence[str]], row_tag: str, cell_tag: str) -> str:
    rows = ("".join(f"<{cell_tag}>{cell}</{cell_tag}>" for cell in row) for row in table)
    return "".join(f"<{row_tag}>{row}</{row_tag}>" for row in rows)


def _word_file(body: Sequence[str], points: Sequence[str], table: Sequence[Sequence[str]]) -> bytes:
    def paragraph(text: str, style: str = "", numbering: str = "") -> str:
        properties = f'<w:pStyle w:val="{style}"/>' if style else ""
        return (
            f"<w:p><w:pPr>{properties}{numbering}</w:pPr><w:r>"
            f'<w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'
        )

    bullet = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
    rows = "".join(
        f"<w:tr>{''.join(f'<w:tc>{paragraph(cell)}</w:tc>' for cell in row)}</w:tr>"
        for row in table
    )
    content = "".join((
        paragraph("Report of the warden", "Heading1"),
        *map(paragraph, body),
        paragraph("Duties", "Heading2"),
        *(paragraph(point, numbering=bullet) for point in points),
        paragraph("Visitors", "Heading2"),
        f"<w:tbl>{rows}</w:tbl>",
    ))  # fmt: skip
    main, relations = f"{_OFFICE}/wordprocessingml/2006/main", f"{_OFFICE}/officeDocument/2006"
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml"
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="Heading{level}"><w:name w:val="heading {level}"/>'
        "</w:style>"
        for level in (1, 2)
    )
    links = "".join(
        f'<Relationship Id="r{name}" Type="{relations}/relationships/{name}" Target="{name}.xml"/>'
        for name in ("styles", "numbering")
    )
    package = f'xmlns="{_OFFICE}/package/2006'
    return make_zip(
        {
            "[Content_Types].xml": f'<Types {package}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
            'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kind}.document.main+xml"/>'
            f'<Override PartName="/word/styles.xml" ContentType="{kind}.styles+xml"/>'
            f'<Override PartName="/word/numbering.xml" ContentType="{kind}.numbering+xml"/>'
            "</Types>",
            "_rels/.rels": f'<Relationships {package}/relationships"><Relationship Id="r" '
            f'Type="{relations}/relationships/officeDocument" Target="word/document.xml"/>'
            "</Relationships>",
            "word/_rels/document.xml.rels": f'<Relationships {package}/relationships">{links}'
            "</Relationships>",
            "word/document.xml": f'<w:document xmlns:w="{main}"><w:body>{content}</w:body>'
            "</w:document>",
            "word/styles.xml": f'<w:styles xmlns:w="{main}">{styles}</w:styles>',
            "word/numbering.xml": f'<w:numbering xmlns:w="{main}"><w:abstractNum '
            'w:abstractNumId="0"><w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/></w:lvl>'
            '</w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
            "</w:numbering>",
        },
        zipfile.ZIP_DEFLATED,
    )


def _book(page: str) -> bytes:
    chapter = (
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Report</title></head>'
        f"<body>{page}</body></html>"
    )
    return make_zip(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container version="1.0" '
            'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
            'full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles>'
            "</container>",
            "book.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
            'xmlns:dc="http://purl.org/dc/elements/1.1/"/><manifest><item id="a" href="a.xhtml" '
            'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="a"/></spine>'
            "</package>",
            "a.xhtml": chapter,
        },
        zipfile.ZIP_DEFLATED,
    )


def _slides(body: Sequence[str], points: Sequence[str]) -> bytes:
    from pptx import Presentation

    slides, buffer = Presentation(), BytesIO()
    for title, content in (("Report of the warden", body[0]), ("Duties", "\n".join(points))):
        slide = slides.slides.add_slide(slides.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = content
    slides.save(buffer)
    return buffer.getvalue()


def _slides_text(body: Sequence[str], points: Sequence[str]) -> str:
    return "\n".join(["Report of the warden", body[0], "Duties", *points])


def _workbook(table: Sequence[Sequence[str]]) -> bytes:
    from openpyxl import Workbook

    book, buffer = Workbook(), BytesIO()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Visitors"
    for row in table:
        sheet.append(row)
    book.save(buffer)
    return buffer.getvalue()
