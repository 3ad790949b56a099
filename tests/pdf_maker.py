"""Makes PDFs for the tests: a text a page, one text operator a line, or the page's own operators.

All pages share one font, F1: Helvetica.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

FILES = Path(__file__).parent / "documents" / "files"


# A page that takes more than 5 seconds to lay out: 150,000 strings in different places.
SLOW_PAGE = (
    b"BT /F1 9 Tf\n"
    + b"".join(
        b"1 0 0 1 %d %d Tm (ab%dgh) Tj\n" % (at % 7 * 80, at // 7 % 75 * 10, at)
        for at in range(150_000)
    )
    + b"ET"
)


def make_pdf(pages: Sequence[str | bytes], *, user_password: str | None = None) -> bytes:
    """A PDF of these pages, texts (in Latin-1) or content streams."""
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
            NameObject("/Encoding"): NameObject("/WinAnsiEncoding"),
        }
    )
    for text in pages:
        page = writer.add_blank_page(width=595, height=842)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
        )
        content = DecodedStreamObject()
        content.set_data(text if isinstance(text, bytes) else _operators(text))
        page[NameObject("/Contents")] = writer._add_object(content.flate_encode())
    if user_password is not None:
        writer.encrypt(user_password, algorithm="AES-256")
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def _operators(text: str) -> bytes:
    lines = [
        line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        for line in text.split("\n")
    ]
    shown = "\n".join(f"({line}) Tj T*" for line in lines)
    return f"BT /F1 12 Tf 14 TL 50 800 Td\n{shown}\nET".encode("cp1252")


def text_at(x: float, y: float, text: str) -> bytes:
    """Operators that show a text at a place, in points from the page's lower left corner."""
    return f"BT /F1 12 Tf {x} {y} Td ({text}) Tj ET\n".encode("cp1252")
