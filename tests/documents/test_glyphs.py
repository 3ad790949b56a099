"""Type 3 fonts, as old TeX files hold them: words stay whole, and numbers lose their slashes."""

from __future__ import annotations

from io import BytesIO

import pytest
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DecodedStreamObject,
    DictionaryObject,
    FloatObject,
    NameObject,
    NumberObject,
)

from fastkv_cli.documents.glyphs import drop_slashes, scale_widths

GLYPHS = "Weproposlmntayx"


def type_3_pdf(content: bytes) -> bytes:
    """One page in a font whose glyphs are 45 units wide, with a unit of one point at size 1."""
    writer = PdfWriter()
    page = writer.add_blank_page(width=595, height=842)
    drawing = DecodedStreamObject()
    drawing.set_data(b"45 0 0 0 40 60 d1")
    codes = ArrayObject()
    for glyph in sorted(set(GLYPHS)):
        codes += [NumberObject(ord(glyph)), NameObject(f"/{glyph}")]
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type3"),
            NameObject("/FontMatrix"): ArrayObject(map(FloatObject, (1, 0, 0, 1, 0, 0))),
            NameObject("/FontBBox"): ArrayObject(map(FloatObject, (0, 0, 100, 100))),
            NameObject("/FirstChar"): NumberObject(0),
            NameObject("/LastChar"): NumberObject(127),
            NameObject("/Widths"): ArrayObject(
                NumberObject(45 if chr(code) in GLYPHS else 0) for code in range(128)
            ),
            NameObject("/Encoding"): DictionaryObject({NameObject("/Differences"): codes}),
            NameObject("/CharProcs"): DictionaryObject(
                {NameObject(f"/{glyph}"): writer._add_object(drawing) for glyph in set(GLYPHS)}
            ),
        }
    )
    page[NameObject("/Resources")] = DictionaryObject(
        {NameObject("/Font"): DictionaryObject({NameObject("/F1"): font})}
    )
    stream = DecodedStreamObject()
    stream.set_data(content)
    page[NameObject("/Contents")] = writer._add_object(stream)
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def test_kerning_in_units_of_the_font_is_no_space() -> None:
    content = b"BT /F1 0.24 Tf 50 700 Td (W) Tj 10.3 0 Td [(e)-12000(prop)-900(ose)] TJ ET"
    page = PdfReader(BytesIO(type_3_pdf(content))).pages[0]
    assert page.extract_text() != "We propose", "pypdf reads it right, so this is needed no more"
    scale_widths(page)
    assert page.extract_text() == "We propose"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (
            "in /1/9/9/6/, page /1/2/. Speci/\x0cc /1/./2 and /3/.",
            "in 1996, page 12. Specific 1.2 and 3.",
        ),
        ("12/31/2020, 11/30/2020, 10/31/2020.", None),
        ("/1/2/3 is a path", None),
        ("see /usr/lib and/or a.b, 1/2", None),
    ],
)
def test_slashes_go_where_every_number_has_one(raw: str, text: str | None) -> None:
    assert drop_slashes(raw) == (raw if text is None else text)
