"""Files that are not text, told by their first bytes, and what to do with each."""

from __future__ import annotations

from typing import NamedTuple

_OFFICE = "save it as PDF or plain text first, e.g. with LibreOffice"
_UNPACK = "unpack it and name the files in it"
_IMAGE = "run OCR first, e.g. ocrmypdf, which makes a PDF of it"
_NO_TEXT = "name a PDF or a text"


class BinaryType(NamedTuple):
    """A file type for messages (`name`, with its article) and what to do next (`hint`)."""

    name: str
    hint: str


_ZIP_CONTENTS = (
    (b"word/document.xml", BinaryType("a Word file (DOCX)", _OFFICE)),
    (b"xl/workbook.", BinaryType("an Excel file (XLSX)", _OFFICE)),
    (b"ppt/presentation.xml", BinaryType("a PowerPoint file (PPTX)", _OFFICE)),
    (b"application/epub+zip", BinaryType("an EPUB book", "convert it to PDF or text first")),
    (b"application/vnd.oasis.opendocument", BinaryType("an OpenDocument file", _OFFICE)),
)
_ZIP = BinaryType("a ZIP archive", _UNPACK)
_PREFIXES = (
    (b"\x1f\x8b", BinaryType("a gzip archive", "unpack it first: gunzip -c FILE | … -")),
    (b"BZh", BinaryType("a bzip2 archive", "unpack it first: bunzip2 -c FILE | … -")),
    (b"\xfd7zXZ\0", BinaryType("an xz archive", "unpack it first: xz -dc FILE | … -")),
    (b"\x28\xb5\x2f\xfd", BinaryType("a zstd archive", "unpack it first: zstd -dc FILE | … -")),
    (b"7z\xbc\xaf\x27\x1c", BinaryType("a 7z archive", _UNPACK)),
    (b"Rar!\x1a\x07", BinaryType("a RAR archive", _UNPACK)),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        BinaryType("an old Office file (DOC, XLS, PPT)", _OFFICE),
    ),
    (b"{\\rtf", BinaryType("an RTF file", _OFFICE)),
    (b"%!PS", BinaryType("a PostScript file", "convert it first: ps2pdf FILE")),
    (b"AT&TFORM", BinaryType("a DjVu file", "convert it first: ddjvu -format=pdf FILE FILE.pdf")),
    (b"\x89PNG\r\n\x1a\n", BinaryType("a PNG image", _IMAGE)),
    (b"\xff\xd8\xff", BinaryType("a JPEG image", _IMAGE)),
    (b"GIF8", BinaryType("a GIF image", _IMAGE)),
    (b"II*\0", BinaryType("a TIFF image", _IMAGE)),
    (b"MM\0*", BinaryType("a TIFF image", _IMAGE)),
    (b"\x7fELF", BinaryType("a program", _NO_TEXT)),
    (b"MZ\x90\0", BinaryType("a Windows program", _NO_TEXT)),
    (b"SQLite format 3\0", BinaryType("an SQLite database", "export it as text first")),
    (b"GGUF", BinaryType("a GGUF model", "give it with --model, and name a PDF or a text")),
    (b"PAR1", BinaryType("a Parquet table", "export it as text first, e.g. CSV")),
)


def binary_type(data: bytes) -> BinaryType | None:
    """The type of a file known not to be text; None for all others."""
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return next((kind for content, kind in _ZIP_CONTENTS if content in data), _ZIP)
    if data[257:262] == b"ustar":
        return BinaryType("a tar archive", _UNPACK)
    return next((kind for prefix, kind in _PREFIXES if data.startswith(prefix)), None)
