"""The report page of answers: one HTML file with what was read, found and kept. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...stats import Evidence, RunReport, Verdict
from .answer_tables import UNKNOWN, format_bytes, format_count, format_seconds
from .cost_charts import HEIGHT, LayerChart, TimeSpan, draw_layers, draw_times
from .document_overview import OVERVIEW_HEIGHT, draw_overview, show_documents
from .document_text import STRIP_HEIGHT, find_places, merge_blocks
from .page_template import render_page
from .reading_strip import WIDTH
from .source_marks import Mark, Source, find_sources
from .stats_table import full_rows

if TYPE_CHECKING:
    from ...tasks.reading_map import ReadingMap

_VERDICTS = {
    Verdict.SUPPORTED: "Supported by the document",
    Verdict.UNSUPPORTED: "Not supported by the document",
    Verdict.NOT_FOUND: "Not found in the document",
}
_DRAWN = {"TTFT", "Sources", "Unsupported", "Not found"}  # rows that the page shows elsewhere


@dataclass(frozen=True, slots=True)
class PageItem:
    """An answer on a page, or a question without one.

    Attributes:
        question: as it was asked; empty for a summary.
        report: the answer and what was measured; None where it failed.
        reading: what became of each sentence; None where it failed.
        error: why it failed.
    """

    question: str
    report: RunReport | None
    reading: ReadingMap | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class AnswerView:
    """All that a template shows of one answer."""

    item: PageItem
    number: int
    heading: str
    verdict: tuple[str, str]  # its kind, a class of the style sheet; and its words
    sources: tuple[Source, ...]
    figures: tuple[tuple[str, str, str], ...]  # label, value, note
    facts: tuple[tuple[str, str], ...]
    layers: LayerChart | None
    times: tuple[TimeSpan, ...]


def render_answers(items: Sequence[PageItem], versions: Mapping[str, str]) -> str:
    """A page with answers about the same documents, as one HTML file.

    Args:
        items: one or more, in order; of several, the text is marked for all of them together.
        versions: of fastkv and what it stands on, by name.
    """
    reports = [item.report for item in items if item.report is not None]
    maps = [item.reading for item in items if item.reading is not None]
    documents = [each.document for each in maps[0].documents] if maps else []
    blocks = [
        merge_blocks([reading.documents[at].blocks for reading in maps])
        for at in range(len(documents))
    ]
    places = [find_places(document, at) for at, document in enumerate(documents, start=1)]
    marks: list[Mark] = []
    answers = []
    for number, item in enumerate(items, start=1):
        sources = find_sources(item.report, f"q{number}", documents, places, marks)
        answers.append(_view(item, number, sources))
    first = reports[0] if reports else None
    shown = show_documents(documents, places, blocks, marks)
    return render_page(
        "answers.html",
        title=_title(items),
        answers=answers,
        documents=shown,
        overview=draw_overview(documents, shown, blocks, marks),
        warnings=list(dict.fromkeys(warning for report in reports for warning in report.warnings)),
        model=first.model if first else None,
        command=first.command if first else "ask",
        versions=versions,
        strip_width=WIDTH,
        strip_height=STRIP_HEIGHT,
        overview_height=OVERVIEW_HEIGHT,
        chart_height=HEIGHT,
    )


def _title(items: Sequence[PageItem]) -> str:
    first = items[0].question or "Summary"
    return first if len(items) == 1 else f"{first} and {len(items) - 1} more"


def _view(item: PageItem, number: int, sources: Sequence[Source]) -> AnswerView:
    report = item.report
    return AnswerView(
        item=item,
        number=number,
        heading=item.question or "Summary",
        verdict=("failed", "No answer") if report is None else _verdict(report.evidence),
        sources=tuple(sources),
        figures=() if report is None else tuple(_figures(report)),
        facts=() if report is None else tuple(_facts(report)),
        layers=draw_layers(report.kv) if report is not None and report.kv.layers else None,
        times=() if report is None else draw_times(report),
    )


def _verdict(evidence: Evidence) -> tuple[str, str]:
    """What the documents say of the answer: a class of the style sheet and words, or neither."""
    if evidence.verdict is not None:
        return evidence.verdict.value, _VERDICTS[evidence.verdict]
    if evidence.not_in_document:
        return Verdict.UNSUPPORTED.value, "Partly unsupported"
    return "", ""


def _figures(report: RunReport) -> Iterator[tuple[str, str, str]]:
    """The few numbers that stand out: label, value, note."""
    kv, stats, reading = report.kv, report.generation, report.reading
    tokens = format_count(sum(document.tokens for document in report.documents), "token")
    parts = f"{tokens} in {reading.parts} parts" if reading.parts > 1 else tokens
    yield "Time to first token", format_seconds(report.ttft_s), f"for {parts}"
    if kv.layers:  # an extractive answer generates nothing
        kept, full = format_bytes(kv.kept_bytes), format_bytes(kv.full_bytes)
        yield "KV cache kept", f"{kv.kept_ratio:.0%}", f"{kept} of {full}"
        speed = stats.decode_tokens_per_s
        words = UNKNOWN if speed is None else f"{speed:.1f} tokens/s"
        yield "Decode", words, format_count(stats.output_tokens, "token")
    yield "Peak memory", format_bytes(stats.peak_memory_bytes), report.model.device


def _facts(report: RunReport) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in full_rows(report) if name not in _DRAWN)
