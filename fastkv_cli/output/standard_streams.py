"""Safe standard streams: a shell may close or redirect each of them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import TextIO

from ..errors import ClosedPipeError, OutputError

# Rich and Typer parse these as numbers, also on import, and fail on others, as abc or ².
_SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
_SIZE = re.compile(r"[1-9][0-9]{0,3}")


def prepare_streams() -> None:
    """Make the standard streams safe, before a file is opened or a line is written.

    The null device is opened in place of a closed descriptor. Otherwise the next file that is
    opened would get its number, and what a library prints would land in that file. A failed write
    to stdout, by Typer and Rich too, raises a ClosedPipeError or an OutputError; a closed stdout
    fails like a full disk. Writing to stderr never fails: a message that nobody can read is no
    reason to lose an answer. Characters that an encoding lacks become question marks.
    """
    for name in _SIZES:
        if not _SIZE.fullmatch(os.environ.get(name, "80")):
            del os.environ[name]
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            _open_null(number, os.O_RDONLY if number == 1 else os.O_RDWR)
    at_terminal = sys.stdout is not None and sys.stdout.isatty()
    sys.stdout = _Stdout(*_like(1, sys.stdout), line_buffering=at_terminal)
    sys.stderr = _Stderr(*_like(2, sys.stderr), line_buffering=True)


# Both catch errors in the text stream. In a raw stream, Ctrl-C could come between its write and the
# buffer's record of it, and the same bytes would be written again.


class _Stdout(io.TextIOWrapper):
    """Raises a FastKVError at the first failed write, then drops everything."""

    def write(self, text: str, /) -> int:
        """Write a text; returns its length.

        Raises:
            ClosedPipeError: when the reader has gone.
            OutputError: when it is full or closed.
        """
        with _explained():
            return super().write(text)

    def flush(self) -> None:
        """Flush the buffer, with the same errors."""
        with _explained():
            super().flush()


class _Stderr(io.TextIOWrapper):
    """Drops what cannot be written, to a full disk or a closed pipe."""

    def write(self, text: str, /) -> int:
        """Write a text; returns its length."""
        with _silent():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the buffer."""
        with _silent():
            super().flush()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _open_null(1, os.O_WRONLY)  # for the interpreter's last flush
        raise ClosedPipeError("the reader of stdout closed the pipe") from None
    except OSError as error:
        _open_null(1, os.O_WRONLY)
        message = f"cannot write to stdout ({error.strerror})"
        raise OutputError(message, "send it elsewhere") from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    try:
        yield
    except BlockingIOError:  # a slow terminal: the next message may get through
        pass
    except OSError:
        _open_null(2, os.O_WRONLY)


def _like(number: int, before: TextIO | None) -> tuple[io.BufferedWriter, str, str]:
    """Buffer, encoding and error handler for a stream; the encoding is that of Python's own."""
    raw = io.FileIO(number, "w", closefd=False)
    return io.BufferedWriter(raw), "utf-8" if before is None else before.encoding, "replace"


def _open_null(number: int, mode: int) -> None:
    """Open the null device as a given descriptor."""
    null = os.open(os.devnull, mode)
    if null != number:
        os.dup2(null, number)
        os.close(null)
