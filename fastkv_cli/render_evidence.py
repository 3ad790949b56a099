"""Evidence for people and for programs: the pages that carried an answer, what stands in none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from .stats import Citation, Evidence


def evidence_fields(evidence: Evidence) -> dict[str, Any]:
    """The fields of the JSON object."""
    missing = evidence.not_in_document
    return {
        "citations": [
            {
                "document": citation.document,
                "page": citation.page,
                "line": citation.line,
                "score": round(citation.score, 4),
                "snippet": citation.snippet,
            }
            for citation in evidence.citations
        ],
        "not_in_document": None if missing is None else list(missing),
        "found": evidence.found,
        "reason": evidence.reason,
        "guess": evidence.guess,
    }


def evidence_rows(evidence: Evidence, *, several: bool) -> Iterator[tuple[str, str]]:
    """The rows of the statistics table; none where there is nothing to say.

    Args:
        evidence: of one answer.
        several: whether there are several documents, so that each has to be named.
    """
    if evidence.citations:
        shares = (
            f"{_places([citation], several=several)} ({citation.score:.0%})"
            for citation in evidence.citations
        )
        yield "Carried by", "; ".join(shares)
    if evidence.not_in_document:
        yield "Check", f"not in the document: {', '.join(evidence.not_in_document)}"
    if evidence.found is False:
        yield "Not found", evidence.reason


def cite_mark(citations: Sequence[Citation], *, several: bool) -> str:
    """What stands behind an answer: ` [p. 12]`, ` [report.pdf, p. 3, 12]` or ` [line 212]`.

    Args:
        citations: the places to name; nothing is made of none.
        several: whether there are several documents, so that each has to be named.
    """
    marks = name_places(citations, several=several)
    return f" [{marks}]" if marks else ""


def name_places(citations: Sequence[Citation], *, several: bool) -> str:
    """`p. 3, 12` or `report.pdf, p. 3; notes.txt, line 9`: the places of each document together."""
    documents = dict.fromkeys(citation.document for citation in citations)
    groups = [[each for each in citations if each.document == name] for name in documents]
    return "; ".join(_places(group, several=several) for group in groups)


def _places(citations: Sequence[Citation], *, several: bool) -> str:
    """Where citations of one document stand, in its order."""
    name, has_pages = citations[0].document, citations[0].page is not None
    numbers = sorted((each.page if has_pages else each.line) or 0 for each in citations)
    places = f"{'p.' if has_pages else 'line'} {', '.join(map(str, numbers))}"
    return f"{'stdin' if name == '-' else PurePath(name).name}, {places}" if several else places
