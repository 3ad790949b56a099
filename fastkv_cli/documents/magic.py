"""Recognize files that are not text by their first bytes, with a hint for each."""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import NamedTuple

_OFFICE = "save it as PDF or plain text first, e.g. with LibreOffice"
_UNPACK = "unpack it and name the files in it"
_IMAGE = "save it as PNG or PDF: pages and pictures are read by OCR"
_NO_TEXT = "name a PDF or a text"


class BinaryType(NamedTuple):
    """A file type for messages (`name`, with its article) and the next step (`hint`)."""

    name: str
    hint: str


_ZIP_CONTENTS = (
    ("docx", "word/document", BinaryType("a Word file (DOCX)", _OFFICE)),
    ("xlsx", "xl/workbook.xml", BinaryType("an Excel file (XLSX)", _OFFICE)),
    ("xlsb", "xl/workbook.bin", BinaryType("a binary Excel file (XLSB)", "save it as XLSX")),
    ("pptx", "ppt/presentation", BinaryType("a PowerPoint file (PPTX)", _OFFICE)),
    ("epub", "META-INF/container.xml", BinaryType("an EPUB book", "convert it to PDF first")),
    ("odf", "META-INF/manifest.xml", BinaryType("an OpenDocument file", _OFFICE)),
)
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
_ZIP = BinaryType("a ZIP archive", "name a file in it, as in archive.zip!/report.pdf")
_LARGE_ZIP = BinaryType("a ZIP archive of too many files for a document", _UNPACK)
MAX_MEMBERS = 20_000
_MEMBER_START = b"PK\x01\x02"  # starts each entry of a ZIP directory
_ENCRYPTED_OFFICE = "EncryptedPackage".encode("utf-16-le")
_OLD_OFFICE = BinaryType("an old Office file (DOC, XLS, PPT)", _OFFICE)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PREFIXES = (
    (b"\x1f\x8b", BinaryType("a gzip archive", "unpack it first: gunzip -c FILE | … -")),
    (b"BZh", BinaryType("a bzip2 archive", "unpack it first: bunzip2 -c FILE | … -")),
    (b"\xfd7zXZ\0", BinaryType("an xz archive", "unpack it first: xz -dc FILE | … -")),
    (b"\x28\xb5\x2f\xfd", BinaryType("a zstd archive", "unpack it first: zstd -dc FILE | … -")),
    (b"7z\xbc\xaf\x27\x1c", BinaryType("a 7z archive", _UNPACK)),
    (b"Rar!\x1a\x07", BinaryType("a RAR archive", _UNPACK)),
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


_OLE_CONTENTS = (
    ("WordDocument".encode("utf-16-le"), BinaryType("an old Word file (DOC)", _OFFICE)),
    ("Workbook".encode("utf-16-le"), BinaryType("an old Excel file (XLS)", "save it as XLSX")),
    ("PowerPoint Document".encode("utf-16-le"), BinaryType("old slides (PPT)", _OFFICE)),
)
_MAIL = "__properties_version1.0".encode("utf-16-le")


def is_outlook_mail(data: bytes) -> bool:
    """Whether it is an OLE file that holds the properties of a mail."""
    return data.startswith(_OLE) and _MAIL in data


def binary_type(data: bytes) -> BinaryType | None:
    """The type of a file known not to be text; None for all others."""
    if data.startswith(ZIP_STARTS):
        if holds_too_many_members(data):
            return _LARGE_ZIP
        found = zip_format(data)
        return next((kind for name, _, kind in _ZIP_CONTENTS if name == found), _ZIP)
    if data.startswith(_OLE) and _ENCRYPTED_OFFICE in data:
        return BinaryType(
            "an Office file with a password", "save a copy without it, then name that"
        )
    if data.startswith(_OLE):
        return next((kind for mark, kind in _OLE_CONTENTS if mark in data), _OLD_OFFICE)
    if data[257:262] == b"ustar":
        return BinaryType("a tar archive", _UNPACK)
    return next((kind for prefix, kind in _PREFIXES if data.startswith(prefix)), None)


def holds_too_many_members(data: bytes) -> bool:
    """Whether a ZIP file may have more than 20,000 members; checked before opening it.

    `zipfile` makes an object of at least 500 bytes for each directory entry, wherever the file
    places its directory and whatever length it claims. It rejects entries without their mark, so
    the number of marks, including those inside members, is an upper bound.
    """
    return data.count(_MEMBER_START) > MAX_MEMBERS


def zip_format(data: bytes) -> str | None:
    """The document format of a ZIP file, e.g. `docx`; None for other archives and other files."""
    if not data.startswith(ZIP_STARTS) or holds_too_many_members(data):
        return None
    names = _zip_names(data)
    return next(
        (
            kind
            for kind, content, _ in _ZIP_CONTENTS
            if any(name.startswith(content) for name in names)
        ),
        None,
    )


def _zip_names(data: bytes) -> list[str]:
    """The members of a ZIP file; of a damaged one, those whose names occur in its bytes."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return archive.namelist()
    except Exception:  # noqa: BLE001 (the loader of the format reports what is wrong)
        return [content for _, content, _ in _ZIP_CONTENTS if content.encode() in data]
