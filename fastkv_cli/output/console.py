"""The console: answers go to stdout, everything else to stderr. Nothing else writes to them."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from io import UnsupportedOperation
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FastKVError, OutputError
from .output_file import check_writable, find_descriptor, write_file

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType

_STDOUT = 1  # its descriptor
_MAX_WORD = 1000  # characters of a word in a message
# What drives a terminal: escape sequences, control characters (tab and newline are text) and marks
# that reverse the order of letters. An escape sequence may be split over two pieces of an answer:
# without its first character it is text. Tag characters are invisible, and would be copied along.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    "|[\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


def stderr_console() -> RichConsole:
    """A rich console on stderr; what its encoding lacks is replaced. Rich honours NO_COLOR."""
    from rich.console import Console as RichConsole
    from rich.console import ConsoleOptions
    from rich.segment import Segment

    class Stderr(RichConsole):
        """Removes control characters from text; rich's own stay."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else _CONTROL.sub("", text), style, control)

    if hasattr(sys.stderr, "reconfigure"):
        sys.stderr.reconfigure(errors="replace")
    return Stderr(stderr=True, highlight=False, soft_wrap=False, emoji=False)


def print_error(message: str) -> None:
    """Print an error on stderr, as one line."""
    _write_stderr(f"fastkv: {_one_line(message)}\n")


def print_traceback() -> None:
    """Print the traceback of the exception being handled, on stderr."""
    _write_stderr(_CONTROL.sub("\ufffd", traceback.format_exc()))


def strip_controls(text: str) -> str:
    """Remove what would drive a terminal."""
    return _CONTROL.sub("", text)


def _one_line(message: str) -> str:
    words = _CONTROL.sub(" ", message).split()
    return " ".join(map(_shorten, words))


def _shorten(word: str) -> str:
    """Cut the middle out of a word longer than any path, so that a line stays legible."""
    return word if len(word) <= _MAX_WORD else f"{word[: _MAX_WORD // 2]}…{word[-100:]}"


def _write_stderr(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text.encode("utf-8", "replace").decode())
        sys.stderr.flush()


def is_at_terminal() -> bool:
    """Whether the user can be prompted: standard input and stderr are terminals."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask_password(name: str, tries: int) -> str | None:
    """Prompt for a document's password, without echo; None at Ctrl-D.

    Args:
        name: the document's name, printable.
        tries: number of wrong passwords so far.
    """
    import getpass

    again = " (that was not it)" if tries else ""
    try:
        return getpass.getpass(f"Password for {name}{again}: ", stream=sys.stderr)
    except EOFError:
        print(file=sys.stderr)
        return None
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise


def ask_yes(question: str) -> bool:
    """Ask a yes-or-no question on the terminal; anything but yes, Ctrl-D included, is no."""
    _write_stderr(f"{_one_line(question)} [y/N] ")
    answer = sys.stdin.readline()
    if not answer:
        _write_stderr("\n")
    return answer.strip().lower() in {"y", "yes"}


class AnswerWriter:
    """Writes the answer: to stdout piece by piece, or to a file once it is complete.

    A file is written beside its place and then renamed, so that it is never there in part.
    """

    def __init__(self, output: Path | None, *, force: bool) -> None:
        """Check that the output can be written, before any work starts.

        Raises:
            OutputError: when it cannot.
        """
        self._text: list[str] = []
        self._ends_line = True
        self._output = output
        if output is not None:
            check_writable(output, force=force)
            if find_descriptor(output) == _STDOUT:  # stdout itself: streamed, as without a file
                self._output = None
        if self._output is None:
            _check_stdout()

    def write(self, text: str) -> None:
        """Write a piece of the answer to stdout, or keep it for the file.

        Raises:
            ClosedPipeError: when the reader of stdout has gone.
        """
        clean = strip_controls(text)
        if not clean:
            return
        self._ends_line = clean.endswith("\n")
        if self._output is None:
            _write_stdout(clean)
        else:
            self._text.append(clean)

    def end_line(self) -> None:
        """Write a newline unless the answer ended with one."""
        if not self._ends_line:
            self.write("\n")

    @property
    def is_streaming(self) -> bool:
        """Whether pieces are written to stdout at once."""
        return self._output is None

    def finish(self) -> None:
        """End the last line, and write the file if there is one.

        Raises:
            OutputError: when the file cannot be written.
        """
        self.end_line()
        if self._output is not None:
            write_file(self._output, "".join(self._text).encode("utf-8", "replace"))

    def give_up(self) -> None:
        """Write an incomplete answer to stdout if possible, never to the file.

        Raises nothing: the error that ended the answer is the one to report.
        """
        with contextlib.suppress(FastKVError):
            _write_stdout("".join(self._text) + ("" if self._ends_line else "\n"))


def _write_stdout(text: str) -> None:
    sys.stdout.write(text.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding))
    sys.stdout.flush()


def _check_stdout() -> None:
    """Raise an OutputError if stdout is closed, or open for reading only."""
    with contextlib.suppress(UnsupportedOperation):  # stdout is a buffer in memory
        try:
            os.write(sys.stdout.fileno(), b"")
        except OSError as error:
            message = f"cannot write to stdout ({error.strerror})"
            raise OutputError(message, "send it elsewhere") from error


class Messages:
    """Prints warnings, notes and tables on stderr."""

    def __init__(self, console: RichConsole, *, quiet: bool) -> None:
        """Print to a console; quiet prints nothing."""
        self._console = console
        self._quiet = quiet

    def warn(self, message: str) -> None:
        """Print a warning, as one line."""
        if not self._quiet:
            line = f"warning: {_one_line(message)}"
            self._console.print(line, style="yellow", markup=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """Print a note, as one line."""
        if not self._quiet:
            self._console.print(_one_line(message), markup=False, soft_wrap=True)

    def stream(self, text: str) -> None:
        """Print a piece of a text that goes on, dimmed on a terminal."""
        if not self._quiet:
            self._console.print(text, style="dim", markup=False, soft_wrap=True, end="")

    def show(self, renderables: Iterator[RenderableType]) -> None:
        """Print tables, pictures and plain lines."""
        if not self._quiet:
            for renderable in renderables:
                self._console.print(renderable, markup=not isinstance(renderable, str))
