"""The console of `fastkv batch`: its progress bar, its warnings, and the lines of --jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..batch.batch_observer import BatchObserver
from ..batch.run_batch import run_batch
from ..documents.source import label
from ..errors import PartlyDoneError
from ..output.console import AnswerWriter, Messages
from ..output.progress import ProgressBars
from .run import Run

if TYPE_CHECKING:
    from ..batch.batch_task import BatchTask
    from .option_sets import BatchRunOptions


class _Printer(BatchObserver):
    """Prints the events of a batch: results on stdout if they are wanted, the rest on stderr."""

    def __init__(
        self, bars: ProgressBars, messages: Messages, writer: AnswerWriter, *, prints: bool
    ) -> None:
        self._bars, self._messages, self._writer, self._prints = bars, messages, writer, prints
        self.done = self.total = 0

    def progress(self, done: int, total: int, failed: int, pages: int) -> None:
        """Update the bar."""
        self.done, self.total = done, total
        parts = (f"{pages:,} pages" if pages else "", f"{failed:,} failed" if failed else "")
        shown = ", ".join(filter(None, parts))
        self._bars.update(shown or "working", done, total, "documents")

    def finding(self, number: int) -> None:
        """Say how many were found, in the bar."""
        self._bars.update(f"found {number:,} documents")

    def result(self, line: str) -> None:
        """Write the line, if lines are wanted."""
        if self._prints:
            self._bars.close()
            self._writer.write(line)

    def failed(self, path: str, exit_code: int, message: str) -> None:  # noqa: ARG002
        """Print a warning."""
        self._bars.close()
        name = label(path)
        self._messages.warn(message if name in message else f"{name}: {message}")

    def note(self, text: str) -> None:
        """Print a note."""
        self._bars.close()
        self._messages.note(text)


def run(paths: Sequence[str], tasks: tuple[BatchTask, ...], options: BatchRunOptions) -> None:
    """Run a batch with a progress bar.

    Raises:
        PartlyDoneError: when documents failed.
        FastKVError: on any other failure, with its exit code.
    """
    prints = options.jsonl is not None
    with Run(quiet=options.quiet, debug=options.debug) as running:
        printer = _Printer(running.bars, running.messages, running.writer, prints=prints)
        running.what_is_left = lambda: (
            f"{printer.done:,} of {printer.total:,} documents are done; run again to go on"
        )
        counts = run_batch(paths, tasks, options.session, options, printer, debug=options.debug)
        running.bars.close()
    if counts.failed:
        raise PartlyDoneError(
            f"{counts.failed:,} of {counts.total:,} documents failed",
            f"see {options.out}/failures.csv, and try them again with --retry-failed",
        )
    skipped = f", {counts.skipped:,} skipped" if counts.skipped else ""
    running.messages.note(f"{counts.done:,} documents done{skipped}: {options.out}")
