"""An answer of a session, with its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import FastKVError, UsageError
from ..field_values import FieldValue
from ..stats import Citation, GenerationStats, KVStats, Quote, RunReport, Verdict
from ..tasks.reading_map import ReadingMap
from ..version import library_versions


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a session.

    Attributes:
        report: the answer and all measurements.
        mark: the citation at the end of the answer, as ` [p. 12]`; empty without `cite`.
        reading: what became of each sentence of the documents; None unless the session makes maps.
    """

    report: RunReport
    mark: str = ""
    reading: ReadingMap | None = None

    @property
    def text(self) -> str:
        """The answer, including the citation if `cite` is set."""
        return self.report.answer

    @property
    def said(self) -> str:
        """The answer without the citation."""
        return self.report.answer.removesuffix(self.mark)

    @property
    def value(self) -> Any:
        """The object of a filled schema, or the list of them; None without a schema."""
        return None if self.report.filled is None else self.report.filled.value

    @property
    def fields(self) -> tuple[FieldValue, ...]:
        """The fields of a filled schema, each with its place and quote."""
        return () if self.report.filled is None else self.report.filled.fields

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The places in the documents that support it, best first."""
        return self.report.evidence.citations

    @property
    def quotes(self) -> tuple[Quote, ...]:
        """What in the documents is likely to answer the question, best first."""
        return self.report.evidence.quotes

    @property
    def verdict(self) -> Verdict | None:
        """Whether the documents say what it says; None where that was not judged."""
        return self.report.evidence.verdict

    @property
    def found(self) -> bool | None:
        """Whether the documents answer the question; None if that was not checked."""
        return self.report.evidence.found

    @property
    def stats(self) -> GenerationStats:
        """Seconds, tokens and peak memory."""
        return self.report.generation

    @property
    def kv(self) -> KVStats:
        """The effect of the method on the KV cache."""
        return self.report.kv

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about this answer and its documents, one line each."""
        return self.report.warnings

    def to_dict(self) -> dict[str, Any]:
        """The object that the command line prints with --json (schema `fastkv/1`)."""
        from ..output.render.report_json import report_fields

        return report_fields(self.report)

    def to_html(self) -> str:
        """The page that the command line writes with --report, as one HTML file.

        Raises:
            UsageError: when the session was opened without `maps=True`.
        """
        if self.reading is None:
            raise UsageError("no reading map was recorded", "open the session with maps=True")
        return render_answer_page([(self.report.question, self)])

    def __str__(self) -> str:
        return self.text


def render_answer_page(results: Sequence[tuple[str, Answer | FastKVError]]) -> str:
    """Render answers about the same documents as one HTML file.

    Args:
        results: questions, each with its answer or its error.
    """
    from ..output.render.answer_page import PageItem, render_answers

    items = [
        PageItem(question, result.report, result.reading)
        if isinstance(result, Answer)
        else PageItem(question, None, None, str(result))
        for question, result in results
    ]
    return render_answers(items, library_versions())
