"""Progress bars on stderr, for work that takes longer than a second."""

from __future__ import annotations

import math
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress, TaskID

_DELAY_S = 1.0
_LABEL_COLUMNS = 24  # fits the labels of most stages, so that the bar does not move
_MAX_LABEL_COLUMNS = 32  # leaves room for the rest in 80 columns


class ProgressBars:
    """One bar at a time: label, amount done of the total, and time left.

    Nothing is drawn in the first second, or where stderr is no terminal. Any thread may call
    `update`.
    """

    def __init__(self, console: RichConsole, *, enabled: bool) -> None:
        """Draw nothing yet: the second starts with the first update."""
        self._console = console
        self._enabled = enabled and console.is_interactive
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._total: float | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()

    def update(
        self, label: str, done: float = 0, total: float | None = None, unit: str = "tokens"
    ) -> None:
        """Show the progress of a stage; a total of None is unknown."""
        if not self._enabled:
            return
        with self._lock:
            bars = self._bars if self._bars is not None else self._open()
            counts = "" if total is None else _counts(done, total, unit)
            if self._task is None or total is None or total != self._total:
                if self._task is not None:
                    bars.remove_task(self._task)
                # work done before is not counted in the pace
                self._task = bars.add_task(label, total=total, counts=counts, first=done)
                self._total = total
            bars.update(self._task, description=label, completed=done, total=total, counts=counts)

    def close(self) -> None:
        """Erase the bar, before anything else is written."""
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

    def _open(self) -> Progress:
        self._bars = _make_bars(self._console)
        self._timer = threading.Timer(_DELAY_S, self._show, [self._bars])
        self._timer.daemon = True
        self._timer.start()
        return self._bars

    def _show(self, bars: Progress) -> None:
        with self._lock:
            if bars is self._bars:  # else closed while the timer fired
                bars.start()


def _make_bars(console: RichConsole) -> Progress:
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        """Time left at the pace of the whole stage so far.

        Rich's own column takes the pace of the last 30 s alone, in which one part may be encoded
        and another one answered: its estimate jumps up and down.
        """

        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            first: float = task.fields["first"]
            left = time_left_s(task.completed - first, (task.total or 0) - first, task.elapsed)
            return Text(format_time_left(left), style="progress.remaining")

    return Progress(
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(
                min_width=_LABEL_COLUMNS,
                max_width=_MAX_LABEL_COLUMNS,
                no_wrap=True,
                overflow="ellipsis",
            ),
        ),
        BarColumn(bar_width=20, table_column=Column(min_width=10)),
        TextColumn("{task.fields[counts]}", style="cyan", table_column=Column(no_wrap=True)),
        TimeLeft(table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
        redirect_stdout=False,  # stdout carries the answer only
    )


def time_left_s(done: float, total: float, elapsed_s: float | None) -> float | None:
    """Seconds left at the pace so far; None before there is one."""
    if elapsed_s is None or done <= 0 or total <= 0:
        return None
    return elapsed_s * max(total - done, 0) / done


def format_time_left(seconds: float | None) -> str:
    """`2:05 left`, or nothing."""
    if seconds is None:
        return ""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"


def _counts(done: float, total: float, unit: str) -> str:
    """`1,024 of 4,012 tokens`, or `1.2 of 8.0 MB`."""
    if unit != "bytes":
        return f"{done:,.0f} of {total:,.0f} {unit}"
    size, name = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    return f"{done / size:,.1f} of {total / size:,.1f} {name}"
