"""An answer, and all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..stats import Citation, GenerationStats, KVStats, Quote, RunReport


@dataclass(frozen=True, slots=True)
class Answer:
    """What a session answered.

    Attributes:
        report: the answer and all that was measured.
        mark: the pages behind the answer, as ` [p. 12]`; empty without `cite`.
    """

    report: RunReport
    mark: str = ""

    @property
    def text(self) -> str:
        """The answer, with the pages behind it where `cite` is set."""
        return self.report.answer

    @property
    def said(self) -> str:
        """The answer without the pages behind it."""
        return self.report.answer.removesuffix(self.mark)

    @property
    def citations(self) -> tuple[Citation, ...]:
        """The places that carried it, best first."""
        return self.report.evidence.citations

    @property
    def quotes(self) -> tuple[Quote, ...]:
        """What in the documents is likely to answer the question, best first."""
        return self.report.evidence.quotes

    @property
    def found(self) -> bool | None:
        """Whether the documents answer the question; None where that was not checked."""
        return self.report.evidence.found

    @property
    def stats(self) -> GenerationStats:
        """Seconds, tokens and peak memory."""
        return self.report.generation

    @property
    def kv(self) -> KVStats:
        """What was kept of the KV cache."""
        return self.report.kv

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line each."""
        return self.report.warnings

    def to_dict(self) -> dict[str, Any]:
        """The object that the command line prints with --json (schema `fastkv/1`)."""
        from ..output.render.report_json import report_fields

        return report_fields(self.report)

    def __str__(self) -> str:
        return self.text
