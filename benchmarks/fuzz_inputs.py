"""Files to break, and ways to break them, for fuzz_documents.py."""

from __future__ import annotations

import random
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

from fuzz_formats import make_formats

FILES = Path(__file__).resolve().parents[1] / "tests" / "documents" / "files"
PASSWORDS = (None, "openpassword", "asdfzxcv", "Zürich")
ENGLISH = "The committee met 14 times in 1999 – “too often”, said the café’s owner.\n\n" * 40
CHINESE = "快速的棕色狐狸跳过了懒狗。这是一个测试文件，用来检查编码。\n" * 60
PAGE = (
    "<!DOCTYPE html><html><head><title>Minutes</title><style>p {color: red}</style></head><body>"
    "<h1>Minutes</h1><p>They met &amp; left.</p><table><tr><td>1<td>2</table><ul><li>a<li>b</ul>"
    "<script>hidden()</script><pre>x  y</pre></body></html>"
) * 3


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken file and how it was made; the recipe starts with the original's name."""

    name: str
    data: bytes
    password: str | None
    recipe: str


def make_originals() -> dict[str, bytes]:
    """The files to break, by name."""
    originals = {path.name: path.read_bytes() for path in sorted(FILES.iterdir()) if path.is_file()}
    for encoding in ("utf-8", "utf-16", "utf-32-be", "cp1252"):
        originals[f"english {encoding}.txt"] = ENGLISH.encode(encoding, "replace")
    for encoding in ("utf-8", "gb18030"):
        originals[f"chinese {encoding}.txt"] = CHINESE.encode(encoding)
    originals["minutes.md"] = (
        f"# Minutes\n\n{ENGLISH}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n".encode()
    )
    originals["minutes.html"] = PAGE.encode()
    for packing, name in ((zipfile.ZIP_STORED, "stored"), (zipfile.ZIP_DEFLATED, "deflated")):
        originals[f"{name}.epub"] = make_book(packing)
        originals[f"{name}.docx"] = make_word_file(packing)
    originals["slides.pptx"] = make_slides()
    originals |= make_formats(ENGLISH)
    originals["made.pdf"] = make_pdf(["first page", "second page", "", "last page"] * 3)
    return originals


def make_pdf(pages: list[str]) -> bytes:
    """A PDF, uncompressed, so that flipped bits have an effect."""
    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = PdfWriter()
    names = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    font = DictionaryObject({NameObject(key): NameObject(value) for key, value in names.items()})
    fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
    for text in pages:
        page = writer.add_blank_page(width=595, height=842)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 14 TL 50 800 Td [({text}) -250 (of it)] TJ ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
    buffer = BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def make_book(packing: int) -> bytes:
    """An EPUB of two chapters."""
    chapter = f"<html><body><h1>One</h1><p>{ENGLISH}</p></body></html>"
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Minutes</dc:title></metadata>'
        '<manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
        '<item id="b" href="b.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="a"/><itemref idref="b"/></spine></package>'
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="book.opf"/></rootfiles></container>'
    )
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": container,
        "book.opf": package,
        "a.xhtml": chapter,
        "b.xhtml": chapter,
    }
    return make_zip(members, packing)


def make_word_file(packing: int) -> bytes:
    """A DOCX of a few paragraphs."""
    space = "http://schemas.openxmlformats.org"
    paragraphs = "".join(
        f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in ENGLISH.splitlines() if line
    )
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    members = {
        "[Content_Types].xml": f'<Types xmlns="{space}/package/2006/content-types"><Override '
        f'PartName="/word/document.xml" ContentType="{word}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/package/2006/relationships"><Relationship '
        f'Id="r" Type="{space}/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{space}/wordprocessingml/2006/main"><w:body>'
        f"{paragraphs}</w:body></w:document>",
    }
    return make_zip(members, packing)


def make_slides() -> bytes:
    """A PPTX of three slides."""
    from pptx import Presentation

    slides, buffer = Presentation(), BytesIO()
    for number in range(3):
        slide = slides.slides.add_slide(slides.slide_layouts[1])
        slide.shapes.title.text = f"Minutes {number}"
        slide.placeholders[1].text = ENGLISH[: 75 * 5]
    slides.core_properties.created = slides.core_properties.modified = datetime(2000, 1, 1)
    slides.save(buffer)
    return buffer.getvalue()


def make_zip(members: dict[str, str], packing: int) -> bytes:
    """A ZIP file of these members."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name), text, packing)
    return buffer.getvalue()


def break_one(originals: dict[str, bytes], rng: random.Random) -> Broken:
    """Break one of the files in one to four ways."""
    name = rng.choice(sorted(originals))
    data = bytearray(originals[name])
    ways = rng.choices(WAYS, k=rng.choice((1, 1, 1, 2, 2, 3, 4)))
    for way in ways:
        way(data, originals[rng.choice(sorted(originals))], rng)
    recipe = f"{name}, {', '.join(way.__name__ for way in ways)}"
    return Broken(name, bytes(data), rng.choice(PASSWORDS), recipe)


def _span(data: bytearray, rng: random.Random, most: int) -> slice:
    start = rng.randrange(len(data) + 1)
    return slice(start, start + rng.randint(1, most))


def cut_off(data: bytearray, _: bytes, rng: random.Random) -> None:
    """Remove the end, as an interrupted download does, or the beginning."""
    at = rng.randrange(len(data) + 1)
    del data[at if rng.random() < 0.8 else 0 : len(data) if rng.random() < 0.8 else at]


def flip_bits(data: bytearray, _: bytes, rng: random.Random) -> None:
    """Flip up to 64 bits."""
    for _number in range(rng.randint(1, 64)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def put_in(data: bytearray, other: bytes, rng: random.Random) -> None:
    """Insert a piece of another file, or overwrite with it."""
    piece = other[_span(bytearray(other), rng, 2000)]
    span = _span(data, rng, 2000)
    data[span if rng.random() < 0.5 else slice(span.start, span.start)] = piece


def repeat(data: bytearray, _: bytes, rng: random.Random) -> None:
    """Repeat a piece up to 50 times."""
    span = _span(data, rng, 2000)
    data[span.stop : span.stop] = data[span] * rng.randint(1, 50)


def swap(data: bytearray, _: bytes, rng: random.Random) -> None:
    """Swap two pieces."""
    first, second = sorted((_span(data, rng, 500), _span(data, rng, 500)), key=lambda s: s.start)
    if first.stop <= second.start:
        data[first], data[second] = data[second], data[first]


def take_out(data: bytearray, _: bytes, rng: random.Random) -> None:
    """Remove a piece."""
    del data[_span(data, rng, 2000)]


def change_numbers(data: bytearray, _: bytes, rng: random.Random) -> None:
    """Change a few of the decimal numbers: lengths, offsets, references."""
    found = [match.span() for match in re.finditer(rb"\d+", data)]
    values = (b"0", b"-1", b"1", b"2", b"7", b"65536", b"99999999999", b"4294967295")
    for start, stop in sorted(rng.sample(found, min(len(found), 5)), reverse=True):
        data[start:stop] = rng.choice(values)


WAYS: tuple[Callable[[bytearray, bytes, random.Random], None], ...] = (
    cut_off,
    flip_bits,
    put_in,
    repeat,
    swap,
    take_out,
    change_numbers,
)
