"""The sources of an answer on a report page, and where they stand in the text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...evidence.marks import find_marks
from ...evidence.places import name_places, name_quote
from ...stats import Citation, Quote, RunReport

if TYPE_CHECKING:
    from ...documents import Document
    from .document_text import Place


@dataclass(frozen=True, slots=True)
class Source:
    """A place in a document that supports an answer.

    Attributes:
        pieces: its text, in pieces, and whether each is a word of the question or the answer.
        place: where it is, in words.
        anchor: where a link to it jumps; empty if it is nowhere on the page.
    """

    pieces: tuple[tuple[str, bool], ...]
    place: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Characters of a document's text that are marked as a source; `anchor` is their name."""

    document: int
    start: int
    end: int
    anchor: str


def find_sources(
    report: RunReport | None,
    prefix: str,
    documents: Sequence[Document],
    places: Sequence[Sequence[Place]],
    marks: list[Mark],
) -> list[Source]:
    """The sources of an answer: its quotes, or the citations of a summary.

    Args:
        report: of the answer; None has no sources.
        prefix: of their anchors.
        documents: those on the page.
        places: the sections of each document.
        marks: those of other answers; the new ones are appended.
    """
    if report is None:
        return []
    paths = [document.path for document in documents]
    answer = "" if report.evidence.is_refused else report.answer
    sources = []
    for number, quote in enumerate(report.evidence.quotes, start=1):
        at = paths.index(quote.document) if quote.document in paths else None
        mark = None if at is None else _locate(quote, documents[at], at, f"{prefix}-{number}")
        words = tuple(_pieces(quote.text, report.question, answer))
        place = name_quote(quote, paths=report.paths)
        sources.append(Source(words, place, _add(mark, marks) if mark else ""))
    if not sources:
        for citation in report.evidence.citations:
            at = paths.index(citation.document) if citation.document in paths else None
            anchor = "" if at is None else _section_of(citation, places[at])
            place = name_places([citation], paths=report.paths)
            sources.append(Source(((citation.snippet, False),), place, anchor))
    return sources


def _pieces(text: str, question: str, answer: str) -> Iterator[tuple[str, bool]]:
    text = " ".join(text.split())
    at = 0
    for start, end in find_marks(text, question, answer):
        if start > at:
            yield text[at:start], False
        yield text[start:end], True
        at = end
    if at < len(text):
        yield text[at:], False


def _locate(quote: Quote, document: Document, at: int, anchor: str) -> Mark | None:
    """Where a quote stands in its document; its own offsets count in what `extract` prints."""
    start, end = 0, document.num_characters
    if quote.page is not None:
        page = next((page for page in document.pages if page.number == quote.page), None)
        if page is None:
            return None
        start, end = page.start, page.end
    elif not document.pages:
        start = quote.start  # nothing else is printed
    found = document.text.find(quote.text, start, end)
    return None if found < 0 else Mark(at, found, found + len(quote.text), anchor)


def _add(mark: Mark, marks: list[Mark]) -> str:
    """Append a mark unless it overlaps with another one; returns the anchor to jump to."""
    for other in marks:
        overlaps = mark.start < other.end and other.start < mark.end
        if other.document == mark.document and overlaps:
            return other.anchor
    marks.append(mark)
    return mark.anchor


def _section_of(citation: Citation, places: Sequence[Place]) -> str:
    """The anchor of a citation's page, or of the section with its line; empty if there is none."""
    if citation.page is not None:
        return next((place.anchor for place in places if place.page == citation.page), "")
    line = citation.line or 0
    return next((place.anchor for place in reversed(places) if (place.line or 0) <= line), "")
