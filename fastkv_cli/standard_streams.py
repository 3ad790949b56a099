"""Standard input, stdout and stderr as a process finds them: a shell may close or redirect each."""

from __future__ import annotations

import io
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

from .errors import ClosedPipeError, OutputError

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Read as numbers by Rich and Typer, on import too, which fail on what is none, as abc or ².
_SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
_SIZE = re.compile(r"[1-9][0-9]{0,3}")


def prepare_streams() -> None:
    """Make the standard streams safe, before a file is opened or a line is written.

    A descriptor that was closed is taken by the null device. Otherwise the next file that is opened
    gets its number, and what a library prints lands in that file. Whoever writes to stdout, Typer
    and Rich too, gets a ClosedPipeError or an OutputError where that fails, and stdout that was
    closed fails as a full disk does. Writing to stderr never fails: a message that nobody can read
    is no reason to lose an answer. What an encoding lacks is written as a question mark.
    """
    for name in _SIZES:
        if not _SIZE.fullmatch(os.environ.get(name, "80")):
            del os.environ[name]
    for number, stream in enumerate((sys.stdin, sys.stdout, sys.stderr)):
        if stream is None:
            _open_null(number, os.O_RDONLY if number == 1 else os.O_RDWR)
    sys.stdout = _text(_Stdout(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Stderr(2, "w", closefd=False), sys.stderr, line_buffering=True)


class _Stdout(io.FileIO):
    """Explains why it cannot be written to, once; then it takes all and drops it."""

    def write(self, data: Buffer, /) -> int | None:  # type: ignore[override, unused-ignore]
        """Write bytes; gives their number.

        Raises:
            ClosedPipeError: when the reader has gone.
            OutputError: when it is full or closed.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            _open_null(1, os.O_WRONLY)  # for the interpreter's last flush
            raise ClosedPipeError("the reader of stdout closed the pipe") from None
        except OSError as error:
            _open_null(1, os.O_WRONLY)
            message = f"cannot write to stdout ({error.strerror})"
            raise OutputError(message, "send it elsewhere") from error


class _Stderr(io.FileIO):
    """Drops what cannot be written, on a full disk or into a closed pipe."""

    def write(self, data: Buffer, /) -> int:
        """Write bytes; gives their number."""
        try:
            written = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


def _text(raw: io.FileIO, before: TextIO | None, *, line_buffering: bool = False) -> TextIO:
    """A stream in the encoding that Python chose for the one before."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if before is None else before.encoding,
        errors="replace",
        line_buffering=line_buffering or raw.isatty(),
    )


def _open_null(number: int, mode: int) -> None:
    """Open the null device under a descriptor's number."""
    null = os.open(os.devnull, mode)
    if null != number:
        os.dup2(null, number)
        os.close(null)
