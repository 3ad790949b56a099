"""The evidence for an answer: its sources, and claims that no document supports. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...evidence.places import name_places
from ...stats import Evidence


def evidence_rows(evidence: Evidence, *, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The evidence as rows of the statistics table: sources, then unsupported claims or a refusal.

    Args:
        evidence: the evidence of one answer.
        paths: paths of all documents; with several, each source names its own.
    """
    if evidence.citations and not evidence.quotes:  # which stand above the table
        shares = (
            f"{name_places([citation], paths=paths)} ({citation.score:.0%})"
            for citation in evidence.citations
        )
        yield "Sources", "; ".join(shares)
    if evidence.not_in_document:
        yield "Unsupported", f"not in the document: {', '.join(evidence.not_in_document)}"
    if evidence.found is False:
        yield "Not found", evidence.reason
