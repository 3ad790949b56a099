"""The way in: a path or "-" becomes a Document; the bytes, not the name, decide the format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ..config import ReadOptions
from ..errors import DocumentError, UsageError
from .document import Document
from .formats import format_of, read_as
from .source import STDIN, check_source, holds_pdf_marker, label, read_source

OnPage = Callable[[int, int], None]
"""Called after each page with the pages done and the pages to read."""

_DEFAULTS = ReadOptions()


def load_document(
    source: str, options: ReadOptions = _DEFAULTS, *, on_page: OnPage | None = None
) -> Document:
    """Read one document, a PDF or a text.

    Args:
        source: A path, or "-" for standard input.
        options: Which pages of a PDF to read, and its password.
        on_page: Called after each page of a PDF with the pages done and the pages to read.

    Raises:
        UsageError: for a page range that the document does not have, or for standard input that
            is a keyboard.
        EncryptedError: for a PDF that needs a password, or another one.
        DocumentError: for anything else that yields no text; the message says what and what to do.
    """
    data = read_source(source)
    name = label(source)
    if not data:
        raise DocumentError(f"{name} is empty", "check that it was written or downloaded in full")
    if _is_pdf(data):
        from .pdf import read_pdf

        return read_pdf(data, source, options, on_page=on_page)
    if source.lower().endswith(".pdf"):
        raise _not_a_pdf(data, name)
    if options.pages is not None:
        raise UsageError(
            f"{name} is a text and has no pages to choose from", "leave --pages out, or name a PDF"
        )
    text, warnings = read_as(format_of(data, source), data, name, options.encoding)
    return Document(path=source, text=text, num_pages=None, pages=(), warnings=warnings)


def load_documents(
    sources: Sequence[str], options: ReadOptions = _DEFAULTS, *, on_page: OnPage | None = None
) -> list[Document]:
    """Read several documents, in the order given; all are looked up before the first is read.

    Args:
        sources: Paths; "-", at most once, is standard input.
        options: Applied to every document.
        on_page: As for `load_document`; the counts start again with each document.

    Raises:
        UsageError: when there is no source or "-" occurs twice, and as `load_document`.
        EncryptedError: as `load_document`.
        DocumentError: as `load_document`.
    """
    if not sources:
        raise UsageError("no document is named", "name a file, or - for standard input")
    if sources.count(STDIN) > 1:
        raise UsageError("standard input can be read only once", "give - once")
    for source in sources:
        check_source(source)
    return [load_document(source, options, on_page=on_page) for source in sources]


def _is_pdf(data: bytes) -> bool:
    """Whether the bytes are a PDF, also with junk before the header.

    A text about PDFs may hold the marker in its first lines as well; unlike a file, it has no
    objects.
    """
    if not holds_pdf_marker(data):
        return False
    starts_with_it = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n\0").startswith(b"%PDF-")
    return starts_with_it or re.search(rb"\d\s+\d+\s+obj\b", data) is not None


def _not_a_pdf(data: bytes, name: str) -> DocumentError:
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return DocumentError(
            f"{name} is not a PDF but a web page",
            "perhaps the download ended on a log-in or error page; download it again",
        )
    return DocumentError(
        f"{name} is not a PDF, though its name says so",
        "download it again; if it is a text, give it a name that ends in .txt",
    )
