"""The conversation itself: read, answer, show, until the user leaves."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...config import StoreMode, cache_dir
from ...errors import (
    ClosedPipeError,
    FastKVError,
    InterruptedRunError,
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
    stderr_console,
)
from ...output.progress import ProgressBars
from ...output.render.answer_tables import (
    describe_document,
    printable,
    render_failure,
    render_json,
)
from ...output.render.stats_table import render_tables
from ...session.conversation import Conversation
from ...session.session import open_session
from ..shown import Shown
from .line_input import Input, PipedInput, TerminalInput
from .slash_commands import COMMANDS, LeavingError, as_question, run_command
from .transcript import INTERRUPTED

if TYPE_CHECKING:
    from ...session.request import Display, Request

COMMAND = "chat"
HISTORY_NAME = "chat-history"
_HINT = "Ctrl-D or /exit leaves"


def run(request: Request, max_tokens: int, display: Display) -> None:
    """Hold a conversation about documents.

    Args:
        request: the documents, and how to answer.
        max_tokens: the most tokens to answer each question with.
        display: how to show it.

    Raises:
        FastKVError: when it cannot begin; through a pipe also at the end, where a question failed.
    """
    console = stderr_console()
    messages = Messages(console, quiet=display.quiet)
    at_terminal = is_at_terminal()
    writer = _Answers()
    bars = ProgressBars(console, enabled=not display.quiet)
    writes = None if display.json else writer
    opening = Shown(bars, messages, writes, max_tokens, display.cite, display.debug)
    try:
        with bars:
            session = open_session(COMMAND, request, max_tokens, opening, asks_again=True)
        history = None if request.store is StoreMode.OFF else cache_dir() / HISTORY_NAME
        chat = _Chat(
            Conversation(session, opening),
            _open_input(history, messages) if at_terminal else PipedInput(),
            writer,
            messages,
            # what a command is to show is asked for
            Messages(console, quiet=False),
            display,
            at_terminal=at_terminal,
        )
        chat.greet()
        chat.hold()
    except KeyboardInterrupt:
        bars.close()
        writer.end_line()
        raise InterruptedRunError("interrupted") from None


def _open_input(history: Path | None, messages: Messages) -> Input:
    return TerminalInput(history, COMMANDS, messages.warn)


class _Answers(AnswerWriter):
    """Answers on stdout, with an empty line between them where they go elsewhere than a terminal.

    There the prompt stands between them.
    """

    def __init__(self) -> None:
        super().__init__(None, force=False)
        self._separates = sys.stdout is not None and not sys.stdout.isatty()
        self._has_written = self._begins = False

    def begin(self) -> None:
        """What comes next is another answer."""
        self._begins = self._has_written and self._separates

    def write(self, text: str) -> None:
        if text and self._begins:
            self._begins = False
            super().write("\n")
        self._has_written = self._has_written or bool(text)
        super().write(text)


class _Chat:
    """One conversation with its user."""

    def __init__(
        self,
        conversation: Conversation,
        questions: Input,
        writer: _Answers,
        messages: Messages,
        told: Messages,
        display: Display,
        *,
        at_terminal: bool,
    ) -> None:
        self._conversation, self._input = conversation, questions
        self._writer, self._messages, self._told = writer, messages, told
        self._display, self._at_terminal = display, at_terminal
        self._num_asked = 0
        self._failures: list[FastKVError] = []

    def greet(self) -> None:
        """Say what the conversation is about, to somebody at a terminal."""
        if self._at_terminal:
            for document in self._conversation.documents:
                self._messages.note(printable(describe_document(document)))
            self._messages.note("Ask about it. /help lists commands, Ctrl-D leaves.")
            self._messages.show(iter([""]))

    def hold(self) -> None:
        """Go on until the user leaves.

        Raises:
            PartlyFailedError: when a question that came through a pipe has no answer.
            KeyboardInterrupt: at Ctrl-C, not at a terminal.
        """
        while True:
            try:
                text = self._input.read().strip()
                if text:
                    self._do(text)
            except (EOFError, LeavingError):
                break
            except UsageError as error:  # of a line that is too long to be a question
                self._num_asked += 1
                self._fail("", error)
            except KeyboardInterrupt:
                if not self._at_terminal:
                    raise
                self._told.note(_HINT)
        if self._failures and not self._at_terminal:
            raise PartlyFailedError(self._failures, self._num_asked)

    def _do(self, text: str) -> None:
        """Obey a command or answer a question, whatever comes of it."""
        question = as_question(text)
        try:
            if question is None:
                self._told.show(run_command(self._conversation, text))
            else:
                self._answer(question)
        except (ClosedPipeError, LeavingError):
            raise
        except Exception as error:
            if question is not None and isinstance(error, OutputError):
                raise
            self._tell(error)
        if self._at_terminal:
            self._told.show(iter([""]))

    def _answer(self, question: str) -> None:
        self._num_asked += 1
        if not self._display.json:
            self._writer.begin()
        try:
            report = self._conversation.ask(question)
            line = render_json(report, indent=None) if self._display.json else ""
        except KeyboardInterrupt:
            self._writer.end_line()
            if not self._at_terminal:
                raise
            self._told.note(f"({INTERRUPTED})")
            return
        except (ClosedPipeError, OutputError):
            raise
        except Exception as error:  # noqa: BLE001 (the conversation goes on)
            self._writer.end_line()
            self._fail(question, error)
            return
        if line:
            self._writer.write(f"{line}\n")
        self._messages.show(render_tables(report, self._display.stats_level))

    def _fail(self, question: str, error: Exception) -> None:
        """Note that a question has no answer, and tell why."""
        failure = as_failure(error)
        self._failures.append(failure)
        if self._display.json:
            self._writer.write(f"{render_failure(COMMAND, question, failure)}\n")
        self._tell(error)

    def _tell(self, error: Exception) -> None:
        """A line about what is being handled; with its traceback where that is wanted."""
        if self._display.debug:
            print_traceback()
        print_error(str(as_failure(error)))
