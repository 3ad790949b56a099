"""Detect the format of bytes and choose its loader; PDF is handled elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import PurePath

from .document import LineGaps
from .encodings import encoding_of_mark
from .magic import zip_format
from .omissions import Note
from .plain_text import finish_text

_HEAD_BYTES = 4096


_Reader = Callable[[bytes, str, str | None], tuple[str, tuple[Note, ...]]]


class Format(StrEnum):
    """The supported formats, apart from PDF."""

    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    EPUB = "epub"
    DOCX = "docx"
    PPTX = "pptx"


# Suffixes picked up in folders, in lower case; a file that is named may have any name.
PDF_SUFFIX = ".pdf"
SUFFIXES: dict[str, Format] = {
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
    ".rst": Format.TEXT,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".htm": Format.HTML,
    ".html": Format.HTML,
    ".xhtml": Format.HTML,
    ".epub": Format.EPUB,
    ".docx": Format.DOCX,
    ".pptx": Format.PPTX,
}
HAS_FILE_LINES = frozenset({Format.TEXT, Format.MARKDOWN})  # line numbers are those of the file
# A page begins with its document type or first element, after comments and an XML header.
_PAGE_START = re.compile(
    r"\s*(?>(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*)<(?:!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE | re.DOTALL,
)


def format_of(data: bytes, source: str) -> Format:
    """The format of a file that is not a PDF.

    The bytes decide. The suffix counts only where they do not: between plain text, Markdown and
    HTML fragments.
    """
    packed = zip_format(data)
    if packed in set(Format):
        return Format(str(packed))
    if _PAGE_START.match(_head(data)):
        return Format.HTML
    by_suffix = SUFFIXES.get(PurePath(source).suffix.lower())
    return by_suffix if by_suffix in {Format.HTML, Format.MARKDOWN} else Format.TEXT


def read_as(
    kind: Format, data: bytes, name: str, encoding: str | None = None
) -> tuple[str, tuple[Note, ...], LineGaps]:
    """Read a file in a format.

    Args:
        kind: The format, from `format_of`.
        data: The whole file, at least one byte.
        name: The document's name in messages.
        encoding: Of text, Markdown and HTML; None to detect it.

    Returns:
        The cleaned text, notes, and the line gaps of the cleaned text.

    Raises:
        DocumentError: when the file is damaged, not text, too large or without text, or when its
            parser is not installed.
    """
    read: _Reader
    match kind:
        case Format.HTML:
            from .html import read_html as read
        case Format.MARKDOWN:
            from .markdown import read_markdown as read
        case Format.EPUB:
            from .epub import read_epub as read
        case Format.DOCX:
            from .office import read_docx as read
        case Format.PPTX:
            from .slides import read_pptx as read
        case Format.TEXT:
            from .decode_text import decode_text as read
    return finish_text(*read(data, name, encoding), name)


def _head(data: bytes) -> str:
    """The first characters, enough to detect a web page: its tags are ASCII in any encoding."""
    head = data[:_HEAD_BYTES]
    encoding = encoding_of_mark(head)
    if encoding is None and head[:2] in {b"<\0", b"\0<"}:
        encoding = "utf-16-le" if head[0] else "utf-16-be"
    return head.decode(encoding or "latin-1", "replace").removeprefix("\ufeff")
