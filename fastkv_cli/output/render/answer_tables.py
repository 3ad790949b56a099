"""A report as tables for people, or as one JSON object for programs. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ...stats import DocumentStats, ModelStats, RunReport, StateStats
from .budget_picture import budget_picture
from .evidence_rows import evidence_rows
from .report_json import describe_weights

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

UNKNOWN = "–"


def render_tables(report: RunReport) -> Iterator[RenderableType]:
    """The statistics table, and the picture of the budget layer by layer; 80 columns hold both."""
    yield ""
    yield facts_table(_rows(report))
    yield budget_picture(report.kv)


def facts_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Names in bold, and what there is to say of each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(printable(value)))  # a Text: names may look like markup
    return table


def _rows(report: RunReport) -> Iterator[tuple[str, str]]:
    kv, stats, reading = report.kv, report.generation, report.reading
    for document in report.documents:
        yield "Document", describe_document(document)
    if reading.parts > 1:
        used = (
            "all of them used"
            if not reading.tokens_left_out
            else f"answered from {reading.tokens_used:,}, left out {reading.tokens_left_out:,}"
        )
        kept = (
            f" ({reading.parts_resumed} kept from an earlier run)" if reading.parts_resumed else ""
        )
        yield "Read", f"{reading.parts} parts{kept}, {reading.tokens_read:,} tokens: {used}"
    yield from evidence_rows(report.evidence, paths=report.paths)
    yield "Model", describe_model(report.model)
    yield "Decodes from", describe_weights(report.model.decode_weights)
    yield "Prompt", f"{stats.prompt_tokens:,} tokens"
    if reading.state is not None:
        yield "Document state", describe_state(reading.state)
    parts = f"parts {format_seconds(reading.parts_s)} + " if reading.parts_s is not None else ""
    first = stats.ttft_s - stats.prefill_s
    yield (
        "TTFT",
        f"{format_seconds(report.ttft_s)} = {parts}prefill {format_seconds(stats.prefill_s)} "
        f"+ first token {format_seconds(first)}",
    )
    loaded = f"documents {format_seconds(report.extract_s)}, model {format_seconds(report.load_s)}"
    yield "Loading", loaded if report.extract_s or report.load_s else "none: all was there already"
    speed = stats.decode_tokens_per_s
    yield (
        "Decode",
        f"{format_count(stats.output_tokens, 'token')}, "
        + (UNKNOWN if speed is None else f"{speed:.1f} tokens/s"),
    )
    yield "Peak memory", format_bytes(stats.peak_memory_bytes)
    yield (
        "KV cache",
        f"{format_bytes(kv.full_bytes)} full → {format_bytes(kv.kept_bytes)} kept "
        f"({kv.kept_ratio:.1%})",
    )
    yield "Method", f"{kv.method}, {kv.note or f'budget {kv.budget}'}"
    if report.settings:
        yield "Settings", report.settings
    if kv.tsp_layer is not None and kv.tsp_rate is not None:
        behind = kv.layers[-1].tokens_seen
        seen = kv.layers[0].tokens_seen
        yield (
            "TSP",
            f"layer {kv.tsp_layer} of 0–{len(kv.layers) - 1}, rate {kv.tsp_rate:.4g}: "
            f"{behind:,} of {seen:,} tokens go on",
        )
        yield "Compute", f"{kv.compute_ratio:.0%} of a full prefill"


def describe_state(state: StateStats) -> str:
    """`6,812 tokens from cache (97 MiB), stage one 0.2 s`."""
    kept = "kept" if state.mode != "off" else "held for this run"
    known = [
        f"{tokens:,} tokens {what} ({format_bytes(taken)})"
        for tokens, what, taken in (
            (state.tokens_found, "from cache", state.bytes_found),
            (state.tokens_kept, kept, state.bytes_kept),
        )
        if tokens
    ]
    stage_one = f"stage one {format_seconds(state.stage_one_s)}"
    return ", ".join([*(known or ["not kept"]), stage_one])


def describe_model(model: ModelStats) -> str:
    """`smollm2-135m, bfloat16 on cpu, blocked attention`."""
    return f"{model.name}, {model.dtype} on {model.device}, {model.attention} attention"


def describe_document(document: DocumentStats) -> str:
    """`report.pdf: 117 pages, 34,000 tokens`."""
    return f"{document.path}: {_pages(document)}{document.tokens:,} tokens"


def _pages(document: DocumentStats) -> str:
    """`117 pages, `, or `16 of 19 pages (3 failed), `; nothing where a format has none."""
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
    """Without the control characters that a file name may hold and a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def format_count(number: int, noun: str) -> str:
    """`1 page`, `1,200 pages`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def format_seconds(value: float | None) -> str:
    """Seconds, or milliseconds where it is less than a tenth of one."""
    if value is None:
        return UNKNOWN
    return f"{value:.2f} s" if value >= 0.1 else f"{1000 * value:.1f} ms"


def format_bytes(value: int | None) -> str:
    """Binary units, as memory is sold."""
    if value is None:
        return UNKNOWN
    size, units = float(value), ["B", "KiB", "MiB", "GiB"]
    while size >= 1024 and len(units) > 1:
        size, units = size / 1024, units[1:]
    return f"{size:,.0f} {units[0]}" if units[0] == "B" else f"{size:,.1f} {units[0]}"
