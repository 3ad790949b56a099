"""Read bytes from files, pipes and standard input, each once and up to a limit."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ..errors import DocumentError, UsageError
from .members import split_member

STDIN = "-"
MAX_PDF_BYTES = 512 * 2**20
MAX_TEXT_BYTES = 80_000_000  # 20 million characters (`MAX_CHARACTERS`) of up to 4 bytes
HEAD_BYTES = 2**16
_CHUNK_BYTES = 2**20
_MARKER_BYTES = 1024  # a PDF has its marker within these


def label(source: str) -> str:
    """The source's name for messages: printable, so that a file name cannot control a terminal."""
    if source == STDIN:
        return "standard input"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in source)


def holds_pdf_marker(head: bytes) -> bool:
    """Whether the first 1,024 bytes hold `%PDF-`; PDF readers allow junk before it."""
    return b"%PDF-" in head[:_MARKER_BYTES]


def is_url(source: str) -> bool:
    """Whether a source is an address on the web."""
    return source[:8].lower().startswith(("http://", "https://"))


def check_source(source: str) -> None:
    """Check that a source exists and is readable, without reading it; of a URL nothing.

    Raises:
        UsageError: when it is standard input and that is a keyboard, or closed.
        DocumentError: when it is missing, a folder, a device, too large, or not readable.
    """
    if source == STDIN:
        _stdin()
        return
    if is_url(source):
        return
    if member := split_member(source):
        check_source(member[0])
        return
    try:
        status = os.stat(source)  # noqa: PTH116 (Path("") would mean the current folder)
    except (OSError, ValueError) as error:
        raise _cannot_open(source, error) from error
    mode = status.st_mode
    if stat.S_ISDIR(mode):
        raise DocumentError(
            f"{label(source)} is a folder", "name the files in it, for example with folder/*.pdf"
        )
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise DocumentError(
            f"{label(source)} is a device or a socket, not a document",
            "name a file, or - for stdin",
        )
    if stat.S_ISREG(mode) and status.st_size > MAX_PDF_BYTES:
        raise _too_large(source, MAX_PDF_BYTES)
    if not os.access(source, os.R_OK):
        raise _cannot_open(source, PermissionError(13, "Permission denied"))


def check_found(source: str) -> None:
    """Check that a source found in a folder, not named, is a regular file.

    A pipe that nobody writes to would block for ever.

    Raises:
        DocumentError: when it is a pipe, a device or a socket.
    """
    with contextlib.suppress(OSError):  # what has no status cannot be opened either
        if not stat.S_ISREG(os.stat(source).st_mode):  # noqa: PTH116 (as in check_source)
            raise DocumentError(
                f"{label(source)} is a pipe, a device or a socket", "name it directly to read it"
            )


class Source:
    """Bytes that can be read once: first the head, to detect the format, then the rest."""

    def __init__(self, handle: BinaryIO, source: str) -> None:
        """Read the head.

        Raises:
            DocumentError: when it cannot be read.
        """
        self._handle = handle
        self._source = source
        self.head = self._read(HEAD_BYTES)

    def chunks(self) -> Iterator[bytes]:
        """All bytes in chunks, starting with the head.

        Raises:
            DocumentError: when it cannot be read, or exceeds 512 MiB (a PDF) or 80 MB (anything
                else; this also ends an endless pipe).
        """
        limit = MAX_PDF_BYTES if holds_pdf_marker(self.head) else MAX_TEXT_BYTES
        length = len(self.head)
        yield self.head
        while chunk := self._read(_CHUNK_BYTES):
            length += len(chunk)
            if length > limit:
                raise _too_large(self._source, limit)
            yield chunk

    def _read(self, size: int) -> bytes:
        try:
            return self._handle.read(size)
        except OSError as error:
            raise _cannot_open(self._source, error) from error


@contextmanager
def open_source(source: str) -> Iterator[Source]:
    """Open a file, a pipe or standard input.

    Raises:
        UsageError: as `check_source`.
        DocumentError: as `check_source`.
    """
    check_source(source)
    if source == STDIN:
        yield Source(_stdin(), source)
        return
    with _open(source) as handle:
        if handle.isatty():
            raise _is_keyboard()
        yield Source(handle, source)


@contextmanager
def open_bytes(data: bytes, source: str) -> Iterator[Source]:
    """Open bytes in memory like a file of this name."""
    yield Source(BytesIO(data), source)


def _open(source: str) -> BinaryIO:
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise _cannot_open(source, error) from error


def _stdin() -> BinaryIO:
    if sys.stdin is None or sys.stdin.closed:
        raise UsageError("standard input is closed", "name a file, or pipe one in: cat FILE | …")
    if sys.stdin.isatty():
        raise _is_keyboard()
    return sys.stdin.buffer


def _is_keyboard() -> UsageError:
    return UsageError(
        "nothing is piped into standard input", "name a file, or pipe one in: cat FILE | … -"
    )


def _too_large(source: str, limit: int) -> DocumentError:
    return DocumentError(
        f"{label(source)} is larger than {limit // 10**6:,} MB, the limit",
        "split it, or give the part that matters",
    )


def _cannot_open(source: str, error: OSError | ValueError) -> DocumentError:
    """The error for a failure to open or read a source."""
    name = label(source)
    if not source:
        return DocumentError("the path is empty", "name a file, or - for standard input")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if "://" in source:
            return DocumentError(
                f"{name} is no local file, and no address that is fetched",
                "give one that begins with https://, or download it first",
            )
        return DocumentError(f"{name} does not exist", "check the path and the spelling")
    if isinstance(error, PermissionError):
        return DocumentError(
            f"{name} may not be read (permission denied)", "check its permissions with ls -l"
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    reason = reason or type(error).__name__
    return DocumentError(f"{name} cannot be read ({reason})", "check the path")
