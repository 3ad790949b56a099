"""A conversation: what was asked and answered, and what of it the next question stands behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..prompts.prompt import Turn
from .answer import Answer

if TYPE_CHECKING:
    from .session import Session


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and what there is of its answer.

    Attributes:
        question: as it was asked.
        text: the answer as it was shown, without the pages behind it.
        answer: what it took; None where the answer was interrupted.
    """

    question: str
    text: str
    answer: Answer | None


class Chat:
    """Questions about the documents of a session, each answered behind those before.

    Attributes:
        exchanges: all since the beginning, or since `clear`, the oldest first.
    """

    def __init__(self, session: Session) -> None:
        """Begin with nothing said."""
        self.session = session
        self._history: list[Turn] = []
        self.exchanges: list[Exchange] = []

    @property
    def history(self) -> tuple[Turn, ...]:
        """The turns that the next question stands behind, as far as they fitted the last time.

        Those with an answer of the model's: that the documents hold none is not its word, but it
        would soon say nothing else.
        """
        return tuple(self._history)

    @property
    def last(self) -> Answer | None:
        """The last answer; None where there is none, or it was interrupted."""
        return self.exchanges[-1].answer if self.exchanges else None

    def ask(self, question: str) -> Answer:
        """Answer a question.

        Raises:
            KeyboardInterrupt: when the answer is interrupted; what there was of it is kept.
            FastKVError: whatever went wrong; the conversation is what it was before.
        """
        for _ in self.stream(question):
            pass
        assert self.last is not None
        return self.last

    def stream(self, question: str) -> Iterator[str]:
        """Answer a question piece by piece; raises as `ask`."""
        pieces: list[str] = []
        try:
            for piece in self.session.stream_turn(question, self.history):
                pieces.append(piece)
                yield piece
        except (KeyboardInterrupt, GeneratorExit):
            self._keep(question, "".join(pieces), None)
            raise
        answer = self.session.last
        assert answer is not None
        del self._history[: answer.report.turns_left_out]
        self._keep(question, answer.said, answer)

    def clear(self) -> None:
        """Forget all that was said."""
        self.exchanges.clear()
        self._history.clear()

    def _keep(self, question: str, text: str, answer: Answer | None) -> None:
        if not text.strip():
            return
        self.exchanges.append(Exchange(question, text, answer))
        if answer is None or answer.found is not False:
            self._history.append(Turn(question, text))
