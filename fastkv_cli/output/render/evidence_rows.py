"""Evidence for people and for programs: the pages that carried an answer, what stands in none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...evidence.places import name_places
from ...stats import Evidence


def evidence_rows(evidence: Evidence, *, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The rows of the statistics table; none where there is nothing to say.

    Args:
        evidence: of one answer.
        paths: of all documents; where they are several, each has to be named.
    """
    if evidence.citations:
        shares = (
            f"{name_places([citation], paths=paths)} ({citation.score:.0%})"
            for citation in evidence.citations
        )
        yield "Carried by", "; ".join(shares)
    if evidence.not_in_document:
        yield "Check", f"not in the document: {', '.join(evidence.not_in_document)}"
    if evidence.found is False:
        yield "Not found", evidence.reason
