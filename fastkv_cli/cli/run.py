"""The context that every command runs in: console, progress bars, writer, Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..errors import IncompleteError, InterruptedRunError, NotSupportedError, UsageError
from ..output.console import AnswerWriter, Messages, stderr_console
from ..output.console_observer import ConsoleObserver
from ..output.output_file import check_writable, write_file
from ..output.progress import ProgressBars
from ..output.render.quotes_table import render_quotes
from ..output.render.report_json import render_json
from ..output.render.stats_table import render_tables
from ..session.session import Session
from ..tasks import NOTHING_TO_RESUME
from ..thinking_mode import Thinking

if TYPE_CHECKING:
    from .option_sets import RunOptions


class Run:
    """The console of a running command; use it as a context manager.

    However the command ends, the bars are erased and an incomplete answer is printed. Ctrl-C
    becomes an InterruptedRunError whose hint names the results that are left.

    Attributes:
        messages: prints warnings and tables, unless `quiet`.
        shown: prints what the user asked to see, even with `quiet`.
        writer: writes the answer.
        bars: the progress bars.
        observer: prints the events of a session.
        what_is_left: called at Ctrl-C; returns the hint of the error.
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
        report: Path | None = None,
        shows_thinking: bool = False,
    ) -> None:
        """Check that the output can be written, before any work is done.

        Args:
            quiet: print only errors on stderr.
            debug: print the tracebacks of failures that do not end the run.
            output: a file to write instead of stdout.
            force: replace an existing file.
            streams: whether the answer is written piece by piece.
            max_tokens: the maximum length of the answer, for the progress bar.
            writer: writes the answer, instead of one for `output`.
            report: a file for the report page; None writes none.
            shows_thinking: whether to print what the model thinks, on stderr.

        Raises:
            OutputError: when the output or the report cannot be written.
            UsageError: when both are the same file.
        """
        console = stderr_console()
        self.messages = Messages(console, quiet=quiet)
        self.shown = Messages(console, quiet=False)
        self.writer = writer if writer is not None else AnswerWriter(output, force=force)
        self.bars = ProgressBars(console, enabled=not quiet)
        self.observer = ConsoleObserver(
            self.bars,
            self.messages,
            self.writer if streams else None,
            max_tokens=max_tokens,
            debug=debug,
            shows_thinking=shows_thinking,
        )
        self._output, self._report = output, report
        if report is not None:
            if output is not None and os.path.realpath(output) == os.path.realpath(report):
                raise UsageError(f"-o and --report both name {report}", "give two files")
            check_writable(report, force=force)
        self.what_is_left: Callable[[], str] = lambda: self.unwritten

    @property
    def unwritten(self) -> str:
        """`FILE was not written`; empty if the output is stdout."""
        return f"{self._output} was not written" if self._output else ""

    def write_report(self, render: Callable[[], str]) -> None:
        """Write the report page, if one is wanted.

        Args:
            render: gives the page.

        Raises:
            OutputError: when it cannot be written.
        """
        if self._report is not None:
            write_file(self._report, render().encode("utf-8"))

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
        if isinstance(error, Exception):  # for example if the disk filled up meanwhile
            self.writer.give_up()


def answer_once(
    command: str,
    sources: list[str],
    options: RunOptions,
    max_tokens: int,
    stream: Callable[[Session], Iterator[str]],
    *,
    asks_again: bool = False,
) -> None:
    """Open a session, run one task, and print its answer and statistics.

    Args:
        command: the command's name, for the report.
        sources: the documents.
        options: the command's options.
        max_tokens: the maximum length of the answer.
        stream: starts the task and returns the pieces of its answer.
        asks_again: whether the task has several prompts about the documents.

    Raises:
        FastKVError: on any failure, with its exit code.
    """
    options.check_all()
    with Run(
        quiet=options.quiet,
        debug=options.debug,
        output=options.output,
        force=options.force,
        streams=not options.json,
        max_tokens=max_tokens,
        report=options.report,
        shows_thinking=options.thinking is Thinking.SHOW,
    ) as run:
        session = Session(
            sources,
            options,
            run.observer,
            command=command,
            resume=options.resume,
            asks_again=asks_again,
            maps=options.report is not None,
        )
        run.what_is_left = lambda: "; ".join(filter(None, (run.unwritten, _resume_hint(session))))
        with session:
            for _ in stream(session):  # the observer prints the pieces
                pass
            answer = session.last
            assert answer is not None
            report = answer.report
            if options.resume and not session.read_in_parts:
                run.observer.note(NOTHING_TO_RESUME)
            run.bars.close()
            if options.json:
                run.writer.write(render_json(report))
            run.writer.finish()
            run.write_report(answer.to_html)
    if not options.json:
        run.messages.show(render_quotes(report))
    run.messages.show(render_tables(report, options.stats_level))
    if report.filled is not None and report.filled.missing:
        raise IncompleteError(report.filled.missing, len(report.filled.fields))
    if options.strict and report.evidence.is_refused:
        raise NotSupportedError(1, 1)


def _resume_hint(session: Session) -> str:
    """`12 of 40 parts are kept, run again with --resume`; empty if none are."""
    return f"{session.kept_parts}, run again with --resume" if session.kept_parts else ""
