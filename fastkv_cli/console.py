"""The only writer: answers go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from errno import EACCES
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .errors import ClosedPipeError, OutputError

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType

# What a terminal would obey: escape sequences, control characters (tab and newline are text), and
# what turns the order of letters around. An escape sequence may be split over two pieces of an
# answer: without its first character it is text. Tag characters would be copied unseen.
_CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
    "|[\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]"
)


def stderr_console() -> RichConsole:
    """A rich console on stderr that never dies of an encoding; NO_COLOR is honoured by rich."""
    from rich.console import Console as RichConsole
    from rich.console import ConsoleOptions
    from rich.segment import Segment

    class Stderr(RichConsole):
        """Writes no control characters but rich's own.

        Falls silent when its reader goes, where rich would end the program.
        """

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else _CONTROL.sub("", text), style, control)

        def on_broken_pipe(self) -> None:
            self.quiet = True
            _point_at_nothing(sys.stderr)

    if hasattr(sys.stderr, "reconfigure"):
        sys.stderr.reconfigure(errors="replace")
    return Stderr(stderr=True, highlight=False, soft_wrap=False, emoji=False)


def print_error(message: str) -> None:
    """One line on stderr."""
    if sys.stderr is None:
        return
    _write_stderr(f"fastkv: {_one_line(message)}\n")


def print_traceback() -> None:
    """The traceback of the exception that is being handled, on stderr."""
    if sys.stderr is not None:
        _write_stderr(_CONTROL.sub("\ufffd", traceback.format_exc()))


def _one_line(message: str) -> str:
    return " ".join(_CONTROL.sub(" ", message).split())


def _write_stderr(text: str) -> None:
    try:
        sys.stderr.write(text.encode("utf-8", "replace").decode())
        sys.stderr.flush()
    except (OSError, ValueError):
        _point_at_nothing(sys.stderr)


def is_at_terminal() -> bool:
    """Whether somebody can be asked: standard input and stderr are terminals."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def ask_password(name: str, tries: int) -> str | None:
    """Ask on the terminal for a document's password, which is not shown; None at Ctrl-D.

    Args:
        name: the document's name, printable.
        tries: how many passwords were wrong.
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
    """Ask on the terminal; whatever is no yes, Ctrl-D too, is a no."""
    _write_stderr(f"{_one_line(question)} [y/N] ")
    answer = sys.stdin.readline()
    if not answer:
        _write_stderr("\n")
    return answer.strip().lower() in {"y", "yes"}


class AnswerWriter:
    """Where the answer goes: stdout as it comes, or a file when it is whole.

    A file is written beside its place and then renamed, so that it is there whole or not at all.
    """

    def __init__(self, output: Path | None, *, force: bool) -> None:
        """Check that the output can be written, before any work is done.

        Raises:
            OutputError: when it cannot.
        """
        self._output = output
        self._text: list[str] = []
        self._ends_line = True
        if output is not None:
            output = self._output = _follow(output)
            check_writable(output, force=force)

    def write(self, text: str) -> None:
        """Take a piece of the answer.

        Raises:
            ClosedPipeError: when the reader of stdout has gone.
        """
        clean = _CONTROL.sub("", text)
        if not clean:
            return
        self._ends_line = clean.endswith("\n")
        if self._output is None:
            _write_stdout(clean)
        else:
            self._text.append(clean)

    def end_line(self) -> None:
        """End the line that the answer stopped in."""
        if not self._ends_line:
            self.write("\n")

    @property
    def is_streaming(self) -> bool:
        """Whether the answer is seen as it comes."""
        return self._output is None

    def finish(self) -> None:
        """End the last line, and put a file in its place.

        Raises:
            OutputError: when the file cannot be written.
        """
        self.end_line()
        if self._output is not None:
            write_file(self._output, "".join(self._text).encode("utf-8", "replace"))

    def give_up(self) -> None:
        """Keep what there is of an answer that was interrupted: on stdout, never in the file."""
        if self._text:
            _write_stdout("".join(self._text))
        if not self._ends_line:
            _write_stdout("\n")


def _write_stdout(text: str) -> None:
    stream = sys.stdout
    if stream is None:
        raise OutputError("stdout is closed", "leave it open")
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        close_stdout()
        raise ClosedPipeError("the reader of stdout closed the pipe") from None
    except OSError as error:
        close_stdout()
        message = f"cannot write to stdout ({error.strerror})"
        raise OutputError(message, "send it elsewhere") from error


def close_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush finds no closed pipe."""
    _point_at_nothing(sys.stdout)


def _point_at_nothing(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def _follow(path: Path) -> Path:
    """The file behind a link, so that the link itself is not replaced."""
    try:
        return path.resolve() if path.is_symlink() else path
    except OSError as error:
        raise _cannot_write(path, error) from error
    except RuntimeError as error:  # Python 3.11 and 3.12, where links go round in a circle
        raise OutputError(f"cannot write {path}", "its links lead nowhere") from error


def check_writable(path: Path, *, force: bool) -> None:
    """Find out whether a file could be written there, before any work is done.

    Raises:
        OutputError: when it could not, or when it exists already and `force` is not given.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            path.stat()  # exists() would take an unusable name for a free one
        if path.is_dir():
            raise OutputError(f"cannot write {path}", "it is a folder; give a file")
        if path.exists():
            if not force and path.is_file():
                raise OutputError(f"{path} exists already", "give --force to replace it")
            if not os.access(path, os.W_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))
        elif not path.parent.is_dir():
            raise OutputError(f"cannot write {path}", f"make the folder {path.parent} first")
        if not path.exists() or path.is_file():
            descriptor, probe = tempfile.mkstemp(dir=path.parent, prefix=".fastkv-")
            os.close(descriptor)
            Path(probe).unlink()
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path} ({error.strerror or error})", "name another file")


def write_file(path: Path, data: bytes) -> None:
    """Put a file in its place, whole or not at all.

    Raises:
        OutputError: when it cannot be written.
    """
    try:
        if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
            path.write_bytes(data)
            return
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".fastkv-")
        beside = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            umask = os.umask(0)
            os.umask(umask)
            beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~umask)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot_write(path, error) from error


class Messages:
    """Warnings and tables on stderr."""

    def __init__(self, console: RichConsole, *, quiet: bool) -> None:
        """Quiet leaves nothing but errors."""
        self._console = console
        self._quiet = quiet

    def warn(self, message: str) -> None:
        """One line that does not end the run."""
        if not self._quiet:
            line = f"warning: {_one_line(message)}"
            self._console.print(line, style="yellow", markup=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """One line of good news."""
        if not self._quiet:
            self._console.print(_one_line(message), markup=False, soft_wrap=True)

    def show(self, renderables: Iterator[RenderableType]) -> None:
        """Tables and the like."""
        if not self._quiet:
            for renderable in renderables:
                self._console.print(renderable, markup=not isinstance(renderable, str))
