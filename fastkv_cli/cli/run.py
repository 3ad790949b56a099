"""What every command runs in: console, bars, writer, and what becomes of it at Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..errors import InterruptedRunError
from ..output.console import AnswerWriter, Messages, stderr_console
from ..output.console_observer import ConsoleObserver
from ..output.progress import ProgressBars
from ..output.render.quotes_table import render_quotes
from ..output.render.report_json import render_json
from ..output.render.stats_table import render_tables
from ..session.session import Session
from ..tasks import NOTHING_TO_RESUME

if TYPE_CHECKING:
    from .option_sets import RunOptions


class Run:
    """A command at work; use as a context manager.

    Whatever ends it, the bars go, and what there is of an answer is shown. Ctrl-C becomes an
    InterruptedRunError with a word on what is left.

    Attributes:
        messages: where warnings and tables go.
        writer: where the answer goes.
        bars: shown while nothing else is.
        observer: shows a session.
        what_is_left: called at Ctrl-C; gives the hint of the error.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        debug: bool = False,
        output: Path | None = None,
        force: bool = False,
        streams: bool = False,
        max_tokens: int = 0,
        writer: AnswerWriter | None = None,
    ) -> None:
        """Check that the output can be written, before any work is done.

        Args:
            quiet: nothing on stderr but errors.
            debug: whether the traceback of a failure is shown that does not end the run.
            output: a file in place of stdout.
            force: replace a file that exists.
            streams: whether the answer is written as it comes.
            max_tokens: the most tokens that the answer may have, for the bar.
            writer: where the answer goes, in place of `output`.

        Raises:
            OutputError: when the output cannot be written.
        """
        console = stderr_console()
        self.messages = Messages(console, quiet=quiet)
        self.shown = Messages(console, quiet=False)  # for what a user asks to see
        self.writer = writer if writer is not None else AnswerWriter(output, force=force)
        self.bars = ProgressBars(console, enabled=not quiet)
        self.observer = ConsoleObserver(
            self.bars,
            self.messages,
            self.writer if streams else None,
            max_tokens=max_tokens,
            debug=debug,
        )
        self._output = output
        self.what_is_left: Callable[[], str] = lambda: self.unwritten

    @property
    def unwritten(self) -> str:
        """That there is no output file, where there was to be one."""
        return f"{self._output} was not written" if self._output else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.close()
        if isinstance(error, KeyboardInterrupt):
            self.writer.give_up()
            raise InterruptedRunError("interrupted", self.what_is_left()) from None
        if isinstance(error, Exception):  # as where the disk filled up meanwhile
            self.writer.give_up()


def answer_once(
    command: str,
    sources: list[str],
    options: RunOptions,
    max_tokens: int,
    stream: Callable[[Session], Iterator[str]],
) -> None:
    """Open a session, do one task and show it.

    Args:
        command: the command's name, for the report.
        sources: the documents.
        options: of the command.
        max_tokens: the most tokens to answer with.
        stream: begins the task, and gives its answer piece by piece.

    Raises:
        FastKVError: whatever went wrong, with its exit code.
    """
    options.check_all()
    with Run(
        quiet=options.quiet,
        debug=options.debug,
        output=options.output,
        force=options.force,
        streams=not options.json,
        max_tokens=max_tokens,
    ) as run:
        session = Session(
            sources, options, run.observer, command=command, resume=options.resume, asks_again=False
        )
        run.what_is_left = lambda: "; ".join(filter(None, (run.unwritten, _kept(session))))
        with session:
            for _ in stream(session):  # the observer shows it
                pass
            assert session.last is not None
            report = session.last.report
            if options.resume and not session.read_in_parts:
                run.observer.note(NOTHING_TO_RESUME)
            run.bars.close()
            if options.json:
                run.writer.write(render_json(report))
            run.writer.finish()
    if not options.json:
        run.messages.show(render_quotes(report))
    run.messages.show(render_tables(report, options.stats_level))


def _kept(session: Session) -> str:
    """What an interrupted run can go on from."""
    return f"{session.kept_parts}, run again with --resume" if session.kept_parts else ""
