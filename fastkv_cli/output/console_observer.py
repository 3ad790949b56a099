"""The observer of the command line: progress bars, warnings, and the streamed answer."""

from __future__ import annotations

from ..session.observer import Observer
from .console import AnswerWriter, Messages, ask_password, is_at_terminal, print_traceback
from .progress import ProgressBars


class ConsoleObserver(Observer):
    """Prints the events of a session: the answer on stdout or to a file, the rest on stderr."""

    def __init__(
        self,
        bars: ProgressBars,
        messages: Messages,
        writer: AnswerWriter | None,
        *,
        max_tokens: int = 0,
        debug: bool = False,
        shows_thinking: bool = False,
    ) -> None:
        """Print nothing yet.

        Args:
            bars: the progress bars, erased before anything else is printed.
            messages: prints warnings and notes.
            writer: writes the pieces of the answer; without one it is not streamed.
            max_tokens: the maximum length of the answer, for the progress bar.
            debug: whether to print the tracebacks of failures.
            shows_thinking: whether to print what the model thinks.
        """
        self._shows_thinking, self._is_line_open = shows_thinking, False
        self._bars, self._messages, self._writer = bars, messages, writer
        self._max_tokens, self._debug = max_tokens, debug
        self._prefix, self._num_pieces = "", 0

    def begin(self, prefix: str = "") -> None:
        """Start the next answer; the prefix is put before the labels of the progress bars."""
        self._prefix, self._num_pieces = prefix, 0

    def progress(
        self, label: str, done: float = 0, total: float | None = None, unit: str = "tokens"
    ) -> None:
        """Update the progress bar."""
        self._end_thought()
        self._bars.update(f"{self._prefix}{label}", done, total, unit)

    def warning(self, text: str) -> None:
        """Print a warning."""
        self._end_thought()
        self._bars.close()
        self._messages.warn(text)

    def note(self, text: str) -> None:
        """Print a note."""
        self._end_thought()
        self._bars.close()
        self._messages.note(text)

    def piece(self, text: str) -> None:
        """Write a piece of the answer; if it does not appear on stdout, count it in the bar."""
        self._end_thought()
        self._num_pieces += 1
        is_streaming = self._writer is not None and self._writer.is_streaming
        if is_streaming:
            self._bars.close()
        if self._writer is not None:
            self._writer.write(text)
        if not is_streaming:
            self.progress("answering", self._num_pieces, self._max_tokens)

    def thought(self, text: str, num_tokens: int, most: int) -> None:
        """Print a piece of the thinking on stderr, or count its tokens in the bar."""
        if not self._shows_thinking:
            self.progress("thinking", num_tokens, most)
        elif text:
            self._bars.close()
            self._messages.stream(text)
            self._is_line_open = True

    def end_answer(self) -> None:
        """End the answer's last line, so that warnings on stderr appear below it."""
        self._end_thought()
        self._bars.close()
        if self._writer is not None:
            self._writer.end_line()

    def failure(self, error: Exception, text: str) -> None:  # noqa: ARG002
        """Print a warning, and with `--debug` the traceback."""
        self.end_answer()
        if self._debug:
            print_traceback()
        self._messages.warn(text)

    @property
    def asks_passwords(self) -> bool:
        """Whether there is a terminal to ask on."""
        return is_at_terminal()

    def password(self, name: str, tries: int) -> str | None:
        """Prompt for it on the terminal."""
        self._bars.close()
        return ask_password(name, tries)

    def _end_thought(self) -> None:
        """End the line of the thinking, before anything else is printed."""
        if self._is_line_open:
            self._is_line_open = False
            self._messages.stream("\n")
