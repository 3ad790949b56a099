"""The tasks of a batch: what is asked of every document; the result of each is a JSON object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError
from ..fields.read_schema import read_schema, schema_text
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


def _fill(session: Session, *, schema: str, multi: bool) -> Answer:
    return session.fill(read_schema(schema, multi=multi))


_RUNS: dict[str, Callable[..., Answer]] = {"ask": _ask, "summarize": _summarize, "fill": _fill}


def choose_tasks(
    questions: Sequence[str],
    summary: SummaryOptions | None,
    schema: str | None = None,
    *,
    multi: bool = False,
) -> tuple[BatchTask, ...]:
    """The tasks of a batch.

    Args:
        questions: each is put to every document.
        summary: what a summary is to be like; None for no summary.
        schema: the fields to fill in, as for `read_schema`; None for none.
        multi: whether to fill them in for every row of a list.

    Raises:
        UsageError: when there is nothing to do, more than one of these is given, or a schema cannot
            be read.
    """
    given = (("--summarize", summary is not None), ("--ask", bool(questions)))
    chosen = [name for name, wanted in (*given, ("--schema", schema is not None)) if wanted]
    if len(chosen) != 1:
        what = f"both {' and '.join(chosen[:2])} are given" if chosen else "nothing is asked for"
        raise UsageError(what, 'give --summarize, --schema, or --ask "…" once or several times')
    if schema is not None:
        text = schema_text(schema)
        read_schema(text, multi=multi)
        return (BatchTask("fill", {"schema": text, "multi": multi}),)
    if summary is not None:
        summary.check_summary()
        options = {name: value and str(value) for name, value in vars(summary).items()}
        return (BatchTask("summarize", options),)
    return tuple(BatchTask("ask", {"question": check_question(each)}) for each in questions)
