"""Where bytes come from: files, pipes and standard input, each read once and within a limit."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from ..errors import DocumentError, UsageError

STDIN = "-"
MAX_PDF_BYTES = 512 * 2**20
MAX_TEXT_BYTES = 80_000_000  # 20 million characters, the most that is read, at 4 bytes each
_HEAD_BYTES = 1024  # a PDF says so within these


def label(source: str) -> str:
    """The source's name for messages: printable, so that a file name cannot drive a terminal."""
    if source == STDIN:
        return "standard input"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in source)


def holds_pdf_marker(head: bytes) -> bool:
    """Whether the first 1,024 bytes hold `%PDF-`; readers allow junk before it."""
    return b"%PDF-" in head[:_HEAD_BYTES]


def check_source(source: str) -> None:
    """See that a source is there and can be read, without reading it.

    Raises:
        UsageError: when it is standard input and that is a keyboard, or closed.
        DocumentError: when it is missing, a folder, a device, too large, or not readable.
    """
    if source == STDIN:
        _stdin()
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


def read_source(source: str) -> bytes:
    """All bytes of a file, a pipe or standard input.

    Raises:
        UsageError: as `check_source`.
        DocumentError: as `check_source`, and when it holds more than 512 MiB (a PDF) or 80 MB
            (anything else; an endless pipe ends here too).
    """
    check_source(source)
    try:
        if source == STDIN:
            return _read(_stdin(), source)
        with Path(source).open("rb") as handle:
            if handle.isatty():
                raise _is_keyboard()
            return _read(handle, source)
    except OSError as error:
        raise _cannot_open(source, error) from error
    except MemoryError as error:
        raise DocumentError(
            f"{label(source)} does not fit the memory", "split it, or free some memory"
        ) from error


def _read(handle: BinaryIO, source: str) -> bytes:
    head = handle.read(_HEAD_BYTES)
    limit = MAX_PDF_BYTES if holds_pdf_marker(head) else MAX_TEXT_BYTES
    data = head + handle.read(limit + 1 - len(head))
    if len(data) > limit:
        raise _too_large(source, limit)
    return data


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
        f"{label(source)} is larger than {limit // 10**6:,} MB, the most that is read",
        "split it, or give the part that matters",
    )


def _cannot_open(source: str, error: OSError | ValueError) -> DocumentError:
    """The failure to open or read, in words for people."""
    name = label(source)
    if not source:
        return DocumentError("the path is empty", "name a file, or - for standard input")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        if "://" in source:
            return DocumentError(f"{name} is not a local file", "download it first, then name it")
        return DocumentError(f"{name} does not exist", "check the path and the spelling")
    if isinstance(error, PermissionError):
        return DocumentError(
            f"{name} may not be read (permission denied)", "check its rights with ls -l"
        )
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    reason = reason or type(error).__name__
    return DocumentError(f"{name} cannot be read ({reason})", "check the path")
