"""The sources of an answer on a report page, and where they stand in the text. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...evidence.places import name_places
from ...stats import Citation, RunReport

if TYPE_CHECKING:
    from ...documents import Document
    from .document_text import Place


@dataclass(frozen=True, slots=True)
class Source:
    """A place that supports an answer: its text, where it is in words, and the anchor it jumps to.

    The anchor is empty where there is none.
    """

    text: str
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
    """The sources of an answer.

    Args:
        report: of the answer; None has no sources.
        prefix: of their anchors.
        documents: those on the page.
        places: the sections of each document.
        marks: those of other answers; the new ones are appended.
    """
    sources = list[Source]()
    if report is None:
        return sources
    paths = [document.path for document in documents]
    for number, citation in enumerate(report.evidence.citations, start=1):
        words = name_places([citation], paths=report.paths)
        anchor = ""
        if citation.document in paths:
            at = paths.index(citation.document)
            mark = _locate(citation, documents[at], at, f"{prefix}-{number}")
            anchor = _add(mark, marks) if mark else _page_of(citation, places[at])
        sources.append(Source(citation.snippet, words, anchor))
    return sources


def _add(mark: Mark, marks: list[Mark]) -> str:
    """Append a mark unless it overlaps with another one; returns the anchor to jump to."""
    for other in marks:
        overlaps = mark.start < other.end and other.start < mark.end
        if other.document == mark.document and overlaps:
            return other.anchor
    marks.append(mark)
    return mark.anchor


def _locate(citation: Citation, document: Document, at: int, anchor: str) -> Mark | None:
    """Where a snippet stands in its document, where white space may differ; None if nowhere."""
    start, end = 0, document.num_characters
    if citation.page is not None:
        page = next((page for page in document.pages if page.number == citation.page), None)
        if page is None:
            return None
        start, end = page.start, page.end
    words = citation.snippet.removeprefix("… ").removesuffix(" …").split()
    found = re.compile(r"\s+".join(map(re.escape, words))).search(document.text, start, end)
    return Mark(at, *found.span(), anchor) if words and found else None


def _page_of(citation: Citation, places: Sequence[Place]) -> str:
    """The anchor of a citation's page; empty where it has none."""
    return next((place.anchor for place in places if place.page == citation.page), "")
