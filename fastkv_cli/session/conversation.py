"""A conversation: its questions and answers, and the history in the next prompt."""

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
    """A question and its answer, which may be incomplete.

    Attributes:
        question: the user's question.
        text: the answer without the citation, or the part of it before an interruption.
        answer: the answer with its report; None if it was interrupted.
    """

    question: str
    text: str
    answer: Answer | None


class Chat:
    """Follow-up questions about the documents of a session; each prompt holds the earlier turns.

    Attributes:
        exchanges: all questions and answers since the start, or since `clear`, the oldest first.
    """

    def __init__(self, session: Session) -> None:
        """Start an empty conversation."""
        self.session = session
        self._history: list[Turn] = []
        self.exchanges: list[Exchange] = []

    @property
    def history(self) -> tuple[Turn, ...]:
        """The turns to put before the next question; those that no longer fit are dropped.

        Turns answered with "No answer found in the document." are not among them: that text is not
        the model's, but with it in the prompt the model would soon repeat nothing else.
        """
        return tuple(self._history)

    @property
    def last(self) -> Answer | None:
        """The last answer; None if there is none, or it was interrupted."""
        return self.exchanges[-1].answer if self.exchanges else None

    def ask(self, question: str) -> Answer:
        """Answer a question.

        Raises:
            KeyboardInterrupt: when the answer is interrupted; its text so far stays in `exchanges`.
            FastKVError: on any other failure; the conversation is unchanged.
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
            self._append(question, "".join(pieces), None)
            raise
        answer = self.session.last
        assert answer is not None
        del self._history[: answer.report.turns_left_out]
        self._append(question, answer.said, answer)

    def clear(self) -> None:
        """Remove all exchanges."""
        self.exchanges.clear()
        self._history.clear()

    def _append(self, question: str, text: str, answer: Answer | None) -> None:
        if not text.strip():
            return
        self.exchanges.append(Exchange(question, text, answer))
        if answer is None or answer.found is not False:
            self._history.append(Turn(question, text))
