"""The way in: a path or "-" becomes a Document; the bytes, not the name, decide the format."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..config import ReadOptions
from ..errors import DocumentError, EncryptedError, UsageError
from .document import Document
from .formats import HAS_FILE_LINES, format_of, read_as
from .magic import ZIP_STARTS
from .pdf import read_pdf
from .process import read_apart
from .source import STDIN, check_source, holds_pdf_marker, label, open_source

OnPage = Callable[[int, int], None]
"""Called after each page with the pages done and the pages to read."""
AskPassword = Callable[[str, int], str | None]
"""Called with the document's name and the tries so far; None gives up."""

_MAX_TRIES = 3
_OBJECT = re.compile(rb"\d\s++\d++\s++obj\b")  # of a PDF
_DEFAULTS = ReadOptions()
_MAX_SHORT_BYTES = 2**16


def load_document(
    source: str,
    options: ReadOptions = _DEFAULTS,
    *,
    on_page: OnPage | None = None,
    ask_password: AskPassword | None = None,
) -> Document:
    """Read one document.

    It is read in a process of its own, under the limit of time in `options` and one of memory,
    unless it is a short plain text or Markdown.

    Args:
        source: A path, or "-" for standard input.
        options: Which pages of a PDF to read, its password, the encoding of a text, and the time
            that may be taken.
        on_page: Called after each page of a PDF with the pages done and the pages to read.
        ask_password: Asked for the password of a PDF that needs one, unless `options` has it or the
            document can be read only once.

    Raises:
        UsageError: for a page range that the document does not have, or for standard input that
            is a keyboard.
        EncryptedError: for a PDF that needs a password, or another one.
        DocumentError: for anything else that yields no text; the message says what and what to do.
    """
    if options.password is not None:
        ask_password = None
    tries = 0
    while True:
        try:
            clock = _Clock()
            document = _load(source, options, on_page, clock)
            return replace(document, read_s=clock.elapsed_s)
        except EncryptedError:
            # A pipe cannot be read a second time.
            if ask_password is None or tries == _MAX_TRIES or not Path(source).is_file():
                raise
            password = ask_password(label(source), tries)
            if password is None:
                raise
            tries += 1
            options = replace(options, password=password)


def load_documents(
    sources: Sequence[str],
    options: ReadOptions = _DEFAULTS,
    *,
    on_page: OnPage | None = None,
    ask_password: AskPassword | None = None,
) -> list[Document]:
    """Read several documents, in the order given; all are looked up before the first is read.

    Args:
        sources: Paths; "-", at most once, is standard input.
        options: Applied to every document.
        on_page: As for `load_document`; the counts start again with each document.
        ask_password: As for `load_document`.

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
    return [
        load_document(source, options, on_page=on_page, ask_password=ask_password)
        for source in sources
    ]


class _Clock:
    """Seconds since the last byte of a document came: a slow pipe is not the document's fault."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def start_behind(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on, and start anew behind the last."""
        yield from chunks
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds up to now."""
        return time.monotonic() - self._started


def _load(source: str, options: ReadOptions, on_page: OnPage | None, clock: _Clock) -> Document:
    name = label(source)
    with open_source(source) as opened:
        if not opened.head:
            raise DocumentError(
                f"{name} is empty", "check that it was written or downloaded in full"
            )
        if _is_pdf(opened.head):
            return read_pdf(clock.start_behind(opened.chunks()), source, options, on_page=on_page)
        if source.lower().endswith(".pdf"):
            raise _not_a_pdf(opened.head, name)
        if options.pages is not None:
            raise UsageError(
                f"{name} is no PDF and has no pages to choose from",
                "leave --pages out, or name a PDF",
            )
        data = b"".join(clock.start_behind(opened.chunks()))
    kind = format_of(data, source) if _is_short(data) and options.encoding is None else None
    if kind in HAS_FILE_LINES:
        text, warnings, gaps = read_as(kind, data, name)
    else:
        kind, text, warnings, gaps = read_apart(data, name, options)
    return Document(
        path=source,
        text=text,
        num_pages=None,
        pages=(),
        warnings=warnings,
        kind=kind.value if kind in HAS_FILE_LINES else kind.value.upper(),
        gaps=gaps,
    )


def _is_short(data: bytes) -> bool:
    """Whether it is no ZIP file, short, and in UTF-8.

    If it is a text, it takes less time than the start of a process, 0.15 s: 64 KiB take 70 ms at
    most. To guess another encoding may take 0.7 s.
    """
    if len(data) > _MAX_SHORT_BYTES or data.startswith(ZIP_STARTS):
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_pdf(data: bytes) -> bool:
    """Whether the bytes are a PDF, also with junk before the header.

    A text about PDFs may hold the marker in its first lines as well; unlike a file, it has no
    objects.
    """
    if not holds_pdf_marker(data):
        return False
    starts_with_it = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n\0").startswith(b"%PDF-")
    return starts_with_it or _OBJECT.search(data) is not None


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
