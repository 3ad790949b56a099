"""The only writer: answers go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .errors import ClosedPipeError, OutputError

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID

# Escape sequences and control characters, which a terminal would obey; tab and newline are text.
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def stderr_console() -> RichConsole:
    """A rich console on stderr that never dies of an encoding; NO_COLOR is honoured by rich."""
    from rich.console import Console as RichConsole

    if hasattr(sys.stderr, "reconfigure"):
        sys.stderr.reconfigure(errors="replace")
    return RichConsole(stderr=True, highlight=False, soft_wrap=False)


def print_error(message: str) -> None:
    """One line on stderr."""
    line = " ".join(_CONTROL.sub(" ", message).split())
    with contextlib.suppress(OSError):
        sys.stderr.write(f"fastkv: {line}\n".encode("utf-8", "replace").decode())
        sys.stderr.flush()


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
            _check_writable(output, force=force)

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

    def finish(self) -> None:
        """End the last line, and put a file in its place.

        Raises:
            OutputError: when the file cannot be written.
        """
        self.end_line()
        if self._output is not None:
            _write_atomically(self._output, "".join(self._text))

    def give_up(self) -> None:
        """Keep what there is of an answer that was interrupted: on stdout, never in the file."""
        if self._text:
            _write_stdout("".join(self._text))
        if not self._ends_line:
            _write_stdout("\n")


def _write_stdout(text: str) -> None:
    stream = sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        close_stdout()
        raise ClosedPipeError("the reader of stdout closed the pipe") from None
    except OSError as error:
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def close_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush finds no closed pipe."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_writable(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise OutputError(f"cannot write {path}", "it is a folder; give a file")
    if path.exists():
        if not force and path.is_file():
            raise OutputError(f"{path} exists already", "give --force to replace it")
        if not os.access(path, os.W_OK):
            raise OutputError(f"cannot write {path}", "permission denied")
    elif not path.parent.is_dir():
        raise OutputError(f"cannot write {path}", f"there is no folder {path.parent}")
    if not path.exists() or path.is_file():
        try:
            descriptor, probe = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        except OSError as error:
            raise OutputError(f"cannot write {path}", error.strerror or str(error)) from error
        os.close(descriptor)
        Path(probe).unlink()


def _write_atomically(path: Path, text: str) -> None:
    try:
        if path.exists() and not path.is_file():  # a device or a pipe cannot be replaced
            path.write_text(text, encoding="utf-8")
            return
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        beside = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            umask = os.umask(0)
            os.umask(umask)
            beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~umask)
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {path}", error.strerror or str(error)) from error


class ProgressBars:
    """Bars on stderr for what takes longer than a second; silent where nobody looks.

    One bar at a time: a label, how much is done of how much, and the time left.
    """

    def __init__(self, console: RichConsole, *, enabled: bool) -> None:
        """Start the clock; nothing is shown for the first second."""
        self._console = console
        self._enabled = enabled and console.is_terminal
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._total: float | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def update(self, label: str, done: float = 0, total: float | None = None) -> None:
        """Show a stage; a total of None is one that cannot be foreseen."""
        if not self._enabled:
            return
        if self._bars is None:
            self._bars = _make_bars(self._console)
            self._timer = threading.Timer(1.0, self._show)
            self._timer.daemon = True
            self._timer.start()
        if self._task is None or total is None or total != self._total:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task, self._total = self._bars.add_task(label, total=total), total
        self._bars.update(self._task, description=label, completed=done, total=total)

    def close(self) -> None:
        """Take the bars away, before anything else is written."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._bars is not None:
                self._bars.stop()
            self._timer = self._bars = self._task = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _show(self) -> None:
        with self._lock:
            if self._bars is not None:
                self._bars.start()


def _make_bars(console: RichConsole) -> Progress:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Counts(TextColumn):
        """`1,024 of 4,012 tokens`, or nothing where the total is not known."""

        def render(self, task: RichTask) -> Text:
            if task.total is None:
                return Text("")
            return Text(f"{task.completed:,.0f} of {task.total:,.0f}", style="cyan")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        Counts(""),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )


class Messages:
    """Warnings and tables on stderr."""

    def __init__(self, console: RichConsole, *, quiet: bool) -> None:
        """Quiet leaves nothing but errors."""
        self._console = console
        self._quiet = quiet

    def warn(self, message: str) -> None:
        """One line that does not end the run."""
        if not self._quiet:
            line = " ".join(_CONTROL.sub(" ", message).split())
            self._console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)

    def show(self, renderables: Iterator[RenderableType]) -> None:
        """Tables and the like."""
        if not self._quiet:
            for renderable in renderables:
                self._console.print(renderable)
