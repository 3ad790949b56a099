"""What a person sees while a task is at work: bars, warnings, and the answer as it comes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..engine.generation import Piece
from ..errors import as_failure
from ..output.console import AnswerWriter, Messages, print_traceback
from ..output.progress import ProgressBars
from ..tasks import Outcome


@dataclass(frozen=True, slots=True)
class Shown:
    """What is seen of one answer, and what was said on the way to it.

    Attributes:
        bars: shown while nothing else is.
        messages: where warnings go.
        writer: where the answer goes as it comes; without one it is not streamed.
        max_tokens: the most tokens that the answer may have.
        cites: whether the pages that carried an answer stand behind it.
        debug: whether tracebacks are shown.
        prefix: stands before what the bars say is being done.
        warnings: those that were told so far.
        pieces: the answer so far.
    """

    bars: ProgressBars
    messages: Messages
    writer: AnswerWriter | None
    max_tokens: int
    cites: bool
    debug: bool = False
    prefix: str = ""
    warnings: list[str] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    def afresh(self, prefix: str = "") -> Shown:
        """The same for the next answer, of which nothing was seen yet."""
        return replace(self, prefix=prefix, warnings=[], pieces=[])

    def progress(self, label: str, done: int, total: int) -> None:
        """Show how many tokens of how many were read."""
        self.bars.update(f"{self.prefix}{label}", done, total)

    def warn(self, text: str) -> None:
        """Tell of something that does not end the run."""
        self.bars.close()
        self.warnings.append(text)
        self.messages.warn(text)

    def warn_of(self, error: Exception, what: str) -> None:
        """Warn of an exception that is being handled; with its traceback where that is wanted."""
        self.bars.close()
        if self.writer is not None:
            self.writer.end_line()
        if self.debug:
            print_traceback()
        self.warn(f"{what}: {as_failure(error)}")

    def note(self, text: str) -> None:
        """Tell of something that is no trouble."""
        self.bars.close()
        self.messages.note(text)

    def piece(self, piece: Piece) -> None:
        """Show some of the answer, or, where it is not seen as it comes, that it grows."""
        self.pieces.append(piece)  # before it is shown: Ctrl-C may come in between
        is_seen = self.writer is not None and self.writer.is_streaming
        if is_seen:
            self.bars.close()
        if self.writer is not None:
            self.writer.write(piece.text)
        if not is_seen:
            self.progress("answering", len(self.pieces), self.max_tokens)

    def end_answer(self, mark: str, outcome: Outcome) -> None:
        """Close the answer's last line, so that the warnings on stderr stand below it."""
        self.bars.close()
        if self.writer is not None:
            self.writer.write(mark)
            self.writer.end_line()
        if not outcome.generation.text.strip():
            self.warn("the model gave an empty answer")
        for text in outcome.warnings:
            self.warn(text)
