"""The evidence for an answer: its sources, and claims that no document supports. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from ...documents.source import STDIN, label
from ...stats import Citation, Evidence


def evidence_fields(evidence: Evidence) -> dict[str, Any]:
    """The evidence as fields of the JSON object."""
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


def evidence_rows(evidence: Evidence, *, paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The evidence as rows of the statistics table: sources, then unsupported claims or a refusal.

    Args:
        evidence: the evidence of one answer.
        paths: paths of all documents; with several, each source names its own.
    """
    if evidence.citations:
        shares = (
            f"{_places([citation], paths=paths)} ({citation.score:.0%})"
            for citation in evidence.citations
        )
        yield "Sources", "; ".join(shares)
    if evidence.not_in_document:
        yield "Unsupported", f"not in the document: {', '.join(evidence.not_in_document)}"
    if evidence.found is False:
        yield "Not found", evidence.reason


def cite_mark(citations: Sequence[Citation], *, paths: Sequence[str]) -> str:
    """The mark that `--cite` appends: ` [p. 12]`, ` [report.pdf, p. 3, 12]` or ` [line 212]`.

    Args:
        citations: the places to name; without any, the mark is empty.
        paths: paths of all documents; with several, each place names its own.
    """
    marks = name_places(citations, paths=paths)
    return f" [{marks}]" if marks else ""


def name_places(citations: Sequence[Citation], *, paths: Sequence[str]) -> str:
    """`p. 3, 12` or `report.pdf, p. 3; notes.txt, line 9`: the places of each document together."""
    documents = dict.fromkeys(citation.document for citation in citations)
    groups = [[each for each in citations if each.document == name] for name in documents]
    return "; ".join(_places(group, paths=paths) for group in groups)


def _places(citations: Sequence[Citation], *, paths: Sequence[str]) -> str:
    """The pages or lines of citations of one document, ascending."""
    name, has_pages = citations[0].document, citations[0].page is not None
    numbers = sorted((each.page if has_pages else each.line) or 0 for each in citations)
    places = f"{'p.' if has_pages else 'line'} {', '.join(map(str, numbers))}"
    return f"{_short_name(name, paths)}, {places}" if len(paths) > 1 else places


def _short_name(path: str, paths: Sequence[str]) -> str:
    """A document's file name; its whole path where another document has the same name."""
    name = PurePath(path).name
    is_alone = sum(PurePath(other).name == name for other in paths) <= 1
    return "stdin" if path == STDIN else label(name if is_alone else path)
