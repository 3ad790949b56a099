"""What a person sees while a session is at work: bars, warnings, and the answer as it comes."""

from __future__ import annotations

from ..session.observer import Observer
from .console import AnswerWriter, Messages, ask_password, is_at_terminal, print_traceback
from .progress import ProgressBars


class ConsoleObserver(Observer):
    """Shows a session on a console: the answer on stdout or in a file, the rest on stderr."""

    def __init__(
        self,
        bars: ProgressBars,
        messages: Messages,
        writer: AnswerWriter | None,
        *,
        max_tokens: int = 0,
        debug: bool = False,
    ) -> None:
        """Show nothing yet.

        Args:
            bars: shown while nothing else is.
            messages: where warnings go.
            writer: where the answer goes as it comes; without one it is not streamed.
            max_tokens: the most tokens that the answer may have, for the bar.
            debug: whether the traceback of a failure is shown.
        """
        self._bars, self._messages, self._writer = bars, messages, writer
        self._max_tokens, self._debug = max_tokens, debug
        self._prefix, self._num_pieces = "", 0

    def begin(self, prefix: str = "") -> None:
        """A further answer begins; the prefix stands before what the bars say is being done."""
        self._prefix, self._num_pieces = prefix, 0

    def progress(
        self, label: str, done: float = 0, total: float | None = None, unit: str = "tokens"
    ) -> None:
        """Move the bar."""
        self._bars.update(f"{self._prefix}{label}", done, total, unit)

    def warning(self, text: str) -> None:
        """Print a line."""
        self._bars.close()
        self._messages.warn(text)

    def note(self, text: str) -> None:
        """Print a line."""
        self._bars.close()
        self._messages.note(text)

    def piece(self, text: str) -> None:
        """Write it, or, where the answer is not seen as it comes, show that it grows."""
        self._num_pieces += 1
        is_seen = self._writer is not None and self._writer.is_streaming
        if is_seen:
            self._bars.close()
        if self._writer is not None:
            self._writer.write(text)
        if not is_seen:
            self.progress("answering", self._num_pieces, self._max_tokens)

    def end_answer(self) -> None:
        """End the answer's last line, so that the warnings on stderr stand below it."""
        self._bars.close()
        if self._writer is not None:
            self._writer.end_line()

    def failure(self, error: Exception, text: str) -> None:  # noqa: ARG002
        """Warn of it, with the traceback where that is wanted."""
        self.end_answer()
        if self._debug:
            print_traceback()
        self._messages.warn(text)

    @property
    def asks_passwords(self) -> bool:
        """Whether somebody can be asked."""
        return is_at_terminal()

    def password(self, name: str, tries: int) -> str | None:
        """Ask on the terminal."""
        self._bars.close()
        return ask_password(name, tries)
