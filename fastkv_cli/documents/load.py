"""Load a document from a path or "-"; its bytes decide the format, not its name."""

from __future__ import annotations

import contextlib
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
from .members import split_member
from .ocr.extra import check_readable
from .ocr.images import image_format
from .ocr.scans import NO_OBSERVER, ScanObserver
from .omissions import split_notes
from .pdf import read_pdf
from .process import read_in_process, read_member
from .source import (
    STDIN,
    check_source,
    holds_pdf_marker,
    is_url,
    label,
    open_bytes,
    open_source,
)

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
    data: bytes | None = None,
    on_page: OnPage | None = None,
    ask_password: AskPassword | None = None,
    scan_observer: ScanObserver = NO_OBSERVER,
) -> Document:
    """Load one document.

    It is parsed in a separate process, under the time limit of `options` and a memory limit, unless
    it is a short plain text or Markdown.

    Args:
        source: A path, or "-" for standard input.
        options: Page range and password of a PDF, encoding of a text, and the time limit.
        data: Its bytes, if they are here already; the source then is only a name.
        on_page: Called after each page of a PDF with the pages done and the pages to read.
        ask_password: Called for the password of an encrypted PDF, unless `options` has it or the
            source can be read only once.
        scan_observer: Keeps recognized pages, and is told the progress of OCR.

    Raises:
        UsageError: for a page range that the document does not have, or if standard input is a
            keyboard.
        EncryptedError: when a PDF needs a password, or another one.
        DocumentError: when the source yields no text for any other reason.
    """
    if options.password is not None:
        ask_password = None
    tries = 0
    while True:
        try:
            clock = _Clock()
            document = _load(source, options, on_page, scan_observer, clock, data)
            return replace(document, read_s=clock.elapsed_s)
        except EncryptedError:
            # A pipe cannot be read twice.
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
    scan_observer: ScanObserver = NO_OBSERVER,
) -> list[Document]:
    """Load several documents in the order given; all are checked before the first is loaded.

    Args:
        sources: Paths; "-", at most once, is standard input.
        options: Applied to every document.
        on_page: As for `load_document`; the counts start again with each document.
        ask_password: As for `load_document`.
        scan_observer: As for `load_document`.

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
        load_document(
            source,
            options,
            on_page=on_page,
            ask_password=ask_password,
            scan_observer=scan_observer,
        )
        for source in sources
    ]


class _Clock:
    """Seconds since the last byte arrived, so that a slow pipe does not count."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def restart_after(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks, and restart the clock after the last."""
        yield from chunks
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started


def _load(
    source: str,
    options: ReadOptions,
    on_page: OnPage | None,
    scan_observer: ScanObserver,
    clock: _Clock,
    data: bytes | None = None,
) -> Document:
    if data is None:
        if is_url(source) or (options.url and source != STDIN):
            return _load_url(source, options, on_page, scan_observer)
        if member := split_member(source):
            data = _unpack(*member, options)
    name = label(source)
    with open_source(source) if data is None else open_bytes(data, source) as opened:
        if not opened.head:
            raise DocumentError(
                f"{name} is empty", "check that it was written or downloaded in full"
            )
        paged = "PDF" if _is_pdf(opened.head) else image_format(opened.head)
        if paged is not None:
            check_readable(paged, options, name)
            return read_pdf(
                clock.restart_after(opened.chunks()),
                source,
                options,
                kind=paged,
                on_page=on_page,
                scan_observer=scan_observer,
            )
        if source.lower().endswith(".pdf"):
            raise _not_a_pdf(opened.head, name)
        if options.pages is not None:
            raise UsageError(
                f"{name} is not a PDF and has no pages to choose from",
                "leave --pages out, or name a PDF",
            )
        data = b"".join(clock.restart_after(opened.chunks()))
    kind = format_of(data, source) if _is_short(data) and options.encoding is None else None
    if kind in HAS_FILE_LINES:
        text, notes, gaps = read_as(kind, data, name)
    else:
        kind, text, notes, gaps = read_in_process(data, name, options)
    warnings, omissions = split_notes(notes)
    return Document(
        path=source,
        text=text,
        num_pages=None,
        pages=(),
        warnings=warnings,
        omissions=omissions,
        kind=kind.value if kind in HAS_FILE_LINES else kind.value.upper(),
        gaps=gaps,
    )


def _load_url(
    source: str, options: ReadOptions, on_page: OnPage | None, scan_observer: ScanObserver
) -> Document:
    """Fetch a document, and load it like a local one; redirects are told."""
    from .fetch import fetch

    fetched = fetch(source if is_url(source) else f"https://{source}", options)
    if options.encoding is None and fetched.charset is not None:
        with contextlib.suppress(UsageError):  # of an encoding that nobody knows
            options = replace(options, encoding=fetched.charset)
    document = load_document(
        fetched.name, options, data=fetched.data, on_page=on_page, scan_observer=scan_observer
    )
    told = tuple(f"redirected to {target}" for target in fetched.redirects)
    return replace(document, path=source, warnings=(*told, *document.warnings))


def _unpack(archive: str, member: str, options: ReadOptions) -> bytes:
    """The bytes of a file in an archive, unpacked in a process of its own."""
    name = label(archive)
    with open_source(archive) as opened:
        return read_member(b"".join(opened.chunks()), name, member, options)


def _is_short(data: bytes) -> bool:
    """Whether it is at most 64 KiB of UTF-8, and not a ZIP file.

    A text that short takes 70 ms at most, less than starting a process (0.15 s). Guessing another
    encoding may take 0.7 s.
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

    A text about PDFs may have the marker in its first lines too; unlike a PDF, it has no objects.
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
