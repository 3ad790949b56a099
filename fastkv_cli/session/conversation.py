"""A conversation: what was asked and answered, and what of it the next question stands behind."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..prompts.prompt import Turn
from ..tasks import PartStore, ask
from .session import answer

if TYPE_CHECKING:
    from ..cli.shown import Shown
    from ..stats import DocumentStats, RunReport
    from .session import Session


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and what there is of its answer.

    Attributes:
        question: as it was asked.
        answer: as it was shown, without the pages behind it.
        report: what it took; None where the answer was interrupted.
    """

    question: str
    answer: str
    report: RunReport | None


class Conversation:
    """Questions about the documents of a session, each answered behind those before.

    Attributes:
        exchanges: all since the beginning, or since they were forgotten, the oldest first.
    """

    def __init__(self, session: Session, shown: Shown) -> None:
        """Begin with nothing said; `shown` is what is seen of each answer."""
        self._session, self._shown = session, shown
        self._history: list[Turn] = []
        self.exchanges: list[Exchange] = []

    @property
    def documents(self) -> tuple[DocumentStats, ...]:
        """What the conversation is about."""
        return self._session.work.corpus.stats

    @property
    def history(self) -> tuple[Turn, ...]:
        """The turns that the next question stands behind, as far as they fitted the last time.

        Those with an answer of the model's: that the documents hold none is not its word, but it
        would soon say nothing else.
        """
        return tuple(self._history)

    @property
    def last_report(self) -> RunReport | None:
        """What the last answer took; None where there is none, or it was interrupted."""
        return self.exchanges[-1].report if self.exchanges else None

    def ask(self, question: str) -> RunReport:
        """Answer a question, showing the answer as it comes.

        Raises:
            KeyboardInterrupt: when the answer is interrupted; what was shown of it is kept.
            FastKVError: whatever went wrong; the conversation is what it was before.
        """
        shown = self._shown.afresh()
        task = partial(ask, question=question, history=self.history)
        try:
            report = answer(self._session, task, shown, PartStore(enabled=False))
        except KeyboardInterrupt:
            self._keep(question, "".join(piece.text for piece in shown.pieces), None)
            raise
        finally:
            shown.bars.close()
        self._session = self._session.again()
        del self._history[: report.turns_left_out]
        self._keep(question, "".join(piece.text for piece in shown.pieces), report)
        return report

    def clear(self) -> None:
        """Forget all that was said."""
        self.exchanges.clear()
        self._history.clear()

    def _keep(self, question: str, said: str, report: RunReport | None) -> None:
        if not said.strip():
            return
        self.exchanges.append(Exchange(question, said, report))
        if report is None or report.evidence.found is not False:
            self._history.append(Turn(question, said))
