"""`fastkv extract`: the text of documents, page by page. Pure: nothing is written."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ...documents import Document
from ...documents.printed import (
    BREAK,
    EMPTY,
    FAILED,
    LEFT_OUT,
    READ,
    find_runs,
    name_pages,
    name_span,
)
from ...documents.source import label
from .answer_tables import UNKNOWN, format_count
from .report_json import SCHEMA
from .to_json import to_json

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True)
class PageExtract:
    """One page.

    Attributes:
        number: from 1.
        status: "read", or why there is no text.
        characters: of its text.
        tokens: None where they were not counted.
        confidence: of OCR, from 0 to 1; None where the text is the file's own.
        text: as the model would read it.
    """

    number: int
    status: str
    characters: int
    tokens: int | None
    confidence: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Extract:
    """One document; `pages` is empty and `num_pages` None where the format has none.

    `left_out` is what was not read of its content: kind, count and pages of each.
    """

    path: str
    kind: str
    num_pages: int | None
    characters: int
    tokens: int | None
    pages: tuple[PageExtract, ...]
    text: str
    warnings: tuple[str, ...]
    left_out: tuple[dict[str, Any], ...] = ()


def extract(document: Document, token_starts: Sequence[int] | None = None) -> Extract:
    """Split a document into its pages.

    Args:
        document: the document.
        token_starts: offset of each token in its text, in characters; None counts no tokens.
    """

    def tokens(start: int, end: int) -> int | None:
        if token_starts is None:
            return None
        return bisect_left(token_starts, end) - bisect_left(token_starts, start)

    pages = [
        PageExtract(
            number=page.number,
            status=READ,
            characters=page.end - page.start,
            tokens=tokens(page.start, page.end),
            confidence=page.confidence,
            text=document.text[page.start : page.end],
        )
        for page in document.pages
    ]
    none = 0 if token_starts is not None else None
    for status, numbers in (
        (EMPTY, document.empty),
        (FAILED, document.failed),
        (LEFT_OUT, document.left_out),
    ):
        pages += [PageExtract(number, status, 0, none, None, "") for number in numbers]
    return Extract(
        path=document.path,
        kind=document.kind,
        num_pages=document.num_pages,
        characters=document.num_characters,
        tokens=None if token_starts is None else len(token_starts),
        pages=tuple(sorted(pages, key=lambda page: page.number)),
        text=document.text,
        warnings=document.warnings,
        left_out=tuple(omission._asdict() for omission in document.omissions),
    )


def render_text(extracts: Sequence[Extract]) -> str:
    """The texts, with a heading before each page and, with several documents, before each one."""
    return BREAK.join(
        part for one in extracts for part in _marked(one, is_alone=len(extracts) == 1)
    )


def _marked(extract: Extract, *, is_alone: bool) -> Iterator[str]:
    if not is_alone:
        yield f"=== {label(extract.path)} ==="
    if extract.num_pages is None:
        yield extract.text
    for run in find_runs(extract.pages):
        heading, text = name_pages(run, extract.num_pages or 0), run[0].text
        yield f"{heading}{BREAK}{text}" if text else heading


def render_json(extracts: Sequence[Extract]) -> str:
    """One JSON object; a text is in its pages, or in the document where the format has no pages."""
    documents: list[dict[str, Any]] = []
    for one in extracts:
        document = asdict(one)
        if one.num_pages is not None:
            del document["text"]
        documents.append(document)
    envelope = {"schema": SCHEMA, "command": "extract", "documents": documents}
    return to_json(envelope)


def render_tables(extract: Extract) -> Iterator[RenderableType]:
    """A table of the characters and tokens of each page, under the document's name."""
    from rich.table import Table
    from rich.text import Text

    of_pages = "" if extract.num_pages is None else f", {format_count(extract.num_pages, 'page')}"
    yield ""
    yield Text(f"{label(extract.path)} ({extract.kind}{of_pages})", style="bold")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold cyan")
    table.add_column("Page", justify="right")
    table.add_column("Characters", justify="right")
    table.add_column("Tokens", justify="right")
    table.add_column("")
    for run in find_runs(extract.pages):
        page = run[0]
        table.add_row(
            name_span(run),
            f"{page.characters:,}",
            _number(page.tokens),
            Text(_remark(page), style="" if page.status == READ else "yellow"),
        )
    table.add_row(Text("all", style="bold"), f"{extract.characters:,}", _number(extract.tokens), "")
    yield table


def _remark(page: PageExtract) -> str:
    if page.confidence is not None:
        return f"OCR, {100 * page.confidence:.0f}% sure"
    return "" if page.status == READ else page.status


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"
