"""The loop of `fastkv chat`: read a line, answer it or run its command, until the user leaves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...config import DEFAULT_ANSWER_TOKENS, StoreMode, cache_dir
from ...errors import (
    ClosedPipeError,
    FastKVError,
    OutputError,
    PartlyFailedError,
    UsageError,
    as_failure,
)
from ...output.console import (
    AnswerWriter,
    Messages,
    is_at_terminal,
    print_error,
    print_traceback,
)
from ...output.render.answer_tables import describe_document, printable
from ...output.render.quotes_table import render_quotes
from ...output.render.report_json import render_failure, render_json
from ...output.render.stats_table import render_tables
from ...output.stats_level import StatsLevel
from ...session.conversation import Chat
from ...session.session import Session
from ...thinking_mode import Thinking
from ..run import Run
from .line_input import Input, PipedInput, TerminalInput
from .slash_commands import COMMANDS, LeavingError, as_question, run_command
from .transcript import INTERRUPTED

if TYPE_CHECKING:
    from ..option_sets import ChatOptions

COMMAND = "chat"
HISTORY_NAME = "chat-history"
_HINT = "Ctrl-D or /exit leaves"


def run(sources: list[str], options: ChatOptions) -> None:
    """Hold a conversation about documents.

    Args:
        sources: the documents.
        options: the command's options.

    Raises:
        FastKVError: when it cannot start; through a pipe also at the end, if a question failed.
    """
    at_terminal = is_at_terminal()
    writer = _ChatWriter()
    with (
        Run(
            quiet=options.quiet,
            debug=options.debug,
            streams=not options.json,
            max_tokens=options.max_tokens or DEFAULT_ANSWER_TOKENS,
            writer=writer,
            shows_thinking=options.thinking is Thinking.SHOW,
        ) as running,
        Session(sources, options, running.observer, command=COMMAND, maps=True) as session,
    ):
        running.bars.close()
        uses_disk = options.store_mode is not StoreMode.OFF
        history = cache_dir() / HISTORY_NAME if uses_disk else None
        chat = _Chat(
            session.chat(),
            _open_input(history, running.messages) if at_terminal else PipedInput(),
            running,
            writer,
            options,
            at_terminal=at_terminal,
        )
        chat.greet()
        chat.loop()


def _open_input(history: Path | None, messages: Messages) -> Input:
    return TerminalInput(history, COMMANDS, messages.warn)


class _ChatWriter(AnswerWriter):
    """Writes answers to stdout, separated by an empty line unless stdout is a terminal.

    On a terminal the prompt separates them.
    """

    def __init__(self) -> None:
        super().__init__(None, force=False)
        self._separates = sys.stdout is not None and not sys.stdout.isatty()
        self._has_written = self._needs_separator = False

    def begin(self) -> None:
        """Start the next answer."""
        self._needs_separator = self._has_written and self._separates

    def write(self, text: str) -> None:
        if text and self._needs_separator:
            self._needs_separator = False
            super().write("\n")
        self._has_written = self._has_written or bool(text)
        super().write(text)


class _Chat:
    """The loop over the user's lines, and its state."""

    def __init__(
        self,
        conversation: Chat,
        questions: Input,
        running: Run,
        writer: _ChatWriter,
        options: ChatOptions,
        *,
        at_terminal: bool,
    ) -> None:
        self._conversation, self._input = conversation, questions
        self._running, self._writer = running, writer
        self._messages, self._shown = running.messages, running.shown
        self._options, self._at_terminal = options, at_terminal
        self._num_asked = 0
        self._failures: list[FastKVError] = []

    def greet(self) -> None:
        """List the documents and the first commands, if at a terminal."""
        if self._at_terminal:
            for document in self._conversation.session.document_stats:
                self._messages.note(printable(describe_document(document)))
            self._messages.note("Ask a question. /help lists the commands, Ctrl-D leaves.")
            self._messages.show(iter([""]))

    def loop(self) -> None:
        """Read and handle lines until the user leaves.

        Raises:
            PartlyFailedError: when a question from a pipe could not be answered.
            KeyboardInterrupt: at Ctrl-C, unless at a terminal.
        """
        while True:
            try:
                text = self._input.read().strip()
                if text:
                    self._handle(text)
            except (EOFError, LeavingError):
                break
            except UsageError as error:  # the line is too long for a question
                self._num_asked += 1
                self._fail("", error)
            except KeyboardInterrupt:
                if not self._at_terminal:
                    raise
                self._shown.note(_HINT)
        if self._failures and not self._at_terminal:
            raise PartlyFailedError(self._failures, self._num_asked)

    def _handle(self, text: str) -> None:
        """Run a command or answer a question; print failures, and continue."""
        question = as_question(text)
        try:
            if question is None:
                self._shown.show(run_command(self._conversation, text))
            else:
                self._answer(question)
        except (ClosedPipeError, LeavingError):
            raise
        except Exception as error:
            if question is not None and isinstance(error, OutputError):
                raise
            self._print_failure(error)
        if self._at_terminal:
            self._shown.show(iter([""]))

    def _answer(self, question: str) -> None:
        self._num_asked += 1
        if not self._options.json:
            self._writer.begin()
        try:
            self._running.observer.begin()
            report = self._conversation.ask(question).report
            line = render_json(report, indent=None) if self._options.json else ""
        except KeyboardInterrupt:
            self._writer.end_line()
            if not self._at_terminal:
                raise
            self._shown.note(f"({INTERRUPTED})")
            return
        except (ClosedPipeError, OutputError):
            raise
        except Exception as error:  # noqa: BLE001 (the conversation continues)
            self._writer.end_line()
            self._fail(question, error)
            return
        finally:
            self._running.bars.close()
        if line:
            self._writer.write(f"{line}\n")
        if self._at_terminal and not self._options.json:
            self._messages.show(render_quotes(report))
        level = StatsLevel.OFF if self._options.no_stats else self._options.stats
        self._messages.show(render_tables(report, level))

    def _fail(self, question: str, error: Exception) -> None:
        """Record that a question failed, and print the error."""
        failure = as_failure(error)
        self._failures.append(failure)
        if self._options.json:
            self._writer.write(f"{render_failure(COMMAND, question, failure)}\n")
        self._print_failure(error)

    def _print_failure(self, error: Exception) -> None:
        """Print the exception being handled, as a line, and with `--debug` its traceback."""
        if self._options.debug:
            print_traceback()
        print_error(str(as_failure(error)))
