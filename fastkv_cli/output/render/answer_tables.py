"""The values of a report in words and units. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...stats import DocumentStats, ModelStats, StateStats

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN = "–"


def facts_table(rows: Iterable[tuple[str, str]], label_width: int = 0) -> Table:
    """Two columns, label in bold and value; values wrap.

    Args:
        rows: label and value of each row.
        label_width: the label column has at least as many columns of the terminal.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True, min_width=label_width)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(printable(value)))  # a Text: names may look like markup
    return table


def describe_state(state: StateStats) -> str:
    """`6,812 tokens loaded (97.0 MiB), early layers 0.22 s`: the layers before the TSP layer."""
    stored = "stored" if state.mode != "off" else "held in memory"
    counts = [
        f"{tokens:,} tokens {what} ({format_bytes(size)})"
        for tokens, what, size in (
            (state.tokens_found, "loaded", state.bytes_found),
            (state.tokens_kept, stored, state.bytes_kept),
        )
        if tokens
    ]
    early = f"early layers {format_seconds(state.stage_one_s)}"
    return ", ".join([*(counts or ["nothing stored"]), early])


def describe_model(model: ModelStats) -> str:
    """`smollm2-135m, bfloat16 on cpu, blocked attention`."""
    return f"{model.name}, {model.dtype} on {model.device}, {model.attention} attention"


def describe_document(document: DocumentStats) -> str:
    """`report.pdf: 117 pages, 34,000 tokens`."""
    return f"{document.path}: {_pages(document)}{document.tokens:,} tokens"


def describe_documents(documents: Sequence[DocumentStats]) -> str:
    """`a.pdf and 3 more: 12 of 14 pages (2 failed), 5,000 tokens`: the sums of all."""
    first, num_others = documents[0], len(documents) - 1
    if not num_others:
        return describe_document(first)
    paged = [document for document in documents if document.pages is not None]
    together = DocumentStats(
        path=f"{first.path} and {num_others:,} more",
        pages=sum(document.pages or 0 for document in paged) if paged else None,
        characters=sum(document.characters for document in documents),
        tokens=sum(document.tokens for document in documents),
        num_pages=sum(document.num_pages or document.pages or 0 for document in paged),
        pages_empty=sum(document.pages_empty for document in paged),
        pages_failed=sum(document.pages_failed for document in paged),
        pages_left_out=sum(document.pages_left_out for document in paged),
    )
    return describe_document(together)


def _pages(document: DocumentStats) -> str:
    """`117 pages, `, or `16 of 19 pages (3 failed), `; empty where the format has no pages."""
    if document.pages is None:
        return ""
    if document.num_pages in {None, document.pages}:
        return f"{format_count(document.pages, 'page')}, "
    missing = [
        f"{number:,} {what}"
        for number, what in (
            (document.pages_failed, "failed"),
            (document.pages_empty, "without text"),
            (document.pages_left_out, "not reached"),
        )
        if number
    ]
    why = f" ({', '.join(missing)})" if missing else ""
    return f"{document.pages:,} of {format_count(document.num_pages or 0, 'page')}{why}, "


def printable(text: str) -> str:
    """Replace control characters: a file name may hold some, and they would drive a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def format_count(number: int, noun: str) -> str:
    """`1 page`, `1,200 pages`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def format_seconds(value: float | None) -> str:
    """Seconds, or milliseconds below 0.1 s."""
    if value is None:
        return UNKNOWN
    return f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.1f} ms"


def format_bytes(value: int | None) -> str:
    """Bytes in binary units (KiB, MiB, GiB), as memory is sold."""
    if value is None:
        return UNKNOWN
    size, units = float(value), ["B", "KiB", "MiB", "GiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:,.0f} {units[0]}" if units[0] == "B" else f"{size:,.1f} {units[0]}"
