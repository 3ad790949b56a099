"""Where citations stand, in words: pages and lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from ..documents.source import STDIN, label
from ..stats import Citation, Quote


def cite_mark(citations: Sequence[Citation], *, paths: Sequence[str]) -> str:
    """What stands behind an answer: ` [p. 12]`, ` [report.pdf, p. 3, 12]` or ` [line 212]`.

    Args:
        citations: the places to name; nothing is made of none.
        paths: of all documents; where they are several, each has to be named.
    """
    marks = name_places(citations, paths=paths)
    return f" [{marks}]" if marks else ""


def name_places(citations: Sequence[Citation], *, paths: Sequence[str]) -> str:
    """`p. 3, 12` or `report.pdf, p. 3; notes.txt, line 9`: the places of each document together."""
    documents = dict.fromkeys(citation.document for citation in citations)
    groups = [[each for each in citations if each.document == name] for name in documents]
    return "; ".join(_places(group, paths=paths) for group in groups)


def name_quote(quote: Quote, *, paths: Sequence[str]) -> str:
    """`p. 12`, `p. iv (page 4)` where that is printed on it, `line 40` or `report.pdf, p. 12`."""
    if quote.page is None:
        place = f"line {quote.line}"
    elif quote.page_label is None:
        place = f"p. {quote.page}"
    else:
        place = f"p. {label(quote.page_label)} (page {quote.page})"
    return f"{_short_name(quote.document, paths)}, {place}" if len(paths) > 1 else place


def _places(citations: Sequence[Citation], *, paths: Sequence[str]) -> str:
    """Where citations of one document stand, in its order."""
    name, has_pages = citations[0].document, citations[0].page is not None
    numbers = sorted((each.page if has_pages else each.line) or 0 for each in citations)
    places = f"{'p.' if has_pages else 'line'} {', '.join(map(str, numbers))}"
    return f"{_short_name(name, paths)}, {places}" if len(paths) > 1 else places


def _short_name(path: str, paths: Sequence[str]) -> str:
    """A document's name without its folder; with it where another document is called the same."""
    name = PurePath(path).name
    is_alone = sum(PurePath(other).name == name for other in paths) <= 1
    return "stdin" if path == STDIN else label(name if is_alone else path)
