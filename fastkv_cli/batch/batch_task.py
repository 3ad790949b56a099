"""The tasks of a batch: what is asked of every document; the result of each is a JSON object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..session.answer import Answer
from ..session.answer_options import check_question
from ..session.session import Session
from ..session.summary_options import SummaryOptions


@dataclass(frozen=True, slots=True)
class BatchTask:
    """A task with its options, which are JSON values: they go to workers and into the manifest.

    Attributes:
        kind: which task, as in `_RUNS`.
        options: of this task.
    """

    kind: str
    options: Mapping[str, Any]

    def run(self, session: Session) -> Answer:
        """Do it, on the documents of a session; raises as the task."""
        return _RUNS[self.kind](session, **self.options)


def _ask(session: Session, *, question: str) -> Answer:
    return session.ask(question)


def _summarize(session: Session, *, length: str, style: str | None, language: str | None) -> Answer:
    return session.summarize(length, style=style, language=language)


_RUNS: dict[str, Callable[..., Answer]] = {"ask": _ask, "summarize": _summarize}


def choose_tasks(questions: Sequence[str], summary: SummaryOptions | None) -> tuple[BatchTask, ...]:
    """The tasks of a batch.

    Args:
        questions: each is put to every document.
        summary: what a summary is to be like; None for no summary.

    Raises:
        UsageError: when there is nothing to do, or a summary as well as questions.
    """
    if bool(questions) == (summary is not None):
        what = "both --summarize and --ask are given" if questions else "nothing is asked for"
        raise UsageError(what, 'give --summarize, or --ask "…" once or several times')
    if summary is not None:
        summary.check_summary()
        options = {name: value and str(value) for name, value in vars(summary).items()}
        return (BatchTask("summarize", options),)
    return tuple(BatchTask("ask", {"question": check_question(each)}) for each in questions)
