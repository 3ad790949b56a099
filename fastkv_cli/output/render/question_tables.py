"""The statistics of several questions as one table. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...errors import FastKVError
from ...evidence.places import name_places
from ...output.stats_level import StatsLevel
from ...stats import RunReport, Verdict
from .answer_tables import (
    UNKNOWN,
    describe_document,
    describe_documents,
    describe_model,
    facts_table,
    format_seconds,
    printable,
)
from .report_json import describe_format, describe_weights

if TYPE_CHECKING:
    from rich.console import RenderableType

_VERDICTS = {
    Verdict.SUPPORTED: "yes",
    Verdict.UNSUPPORTED: "no",
    Verdict.NOT_FOUND: "not found",
    None: UNKNOWN,
}


def render_tables(
    questions: Sequence[str], results: Sequence[RunReport | FastKVError], level: StatsLevel
) -> Iterator[RenderableType]:
    """Rows that all answers share, and a row for each question, in 80 columns.

    Args:
        questions: the questions.
        results: the report of each, or the error that it failed with.
        level: full names every document and the settings; off prints nothing.
    """
    if level is StatsLevel.OFF:
        return
    from rich.table import Table
    from rich.text import Text

    style, padding = "bold cyan", (0, 2, 0, 0)
    table = Table(box=None, header_style=style, padding=padding, pad_edge=False, expand=True)
    table.add_column("#", justify="right", no_wrap=True)
    # the other columns keep their widths; questions are cut to the rest
    table.add_column("Question", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("TTFT", "Tokens", "Tokens/s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Supported", no_wrap=True)
    table.add_column("Sources", overflow="ellipsis", no_wrap=True, max_width=16)
    for number, (question, result) in enumerate(zip(questions, results, strict=True), start=1):
        table.add_row(str(number), *map(Text, (printable(question), *_cells(result))))
    yield ""
    yield facts_table(_shared_rows(results, is_full=level is StatsLevel.FULL))
    yield ""
    yield table


def _shared_rows(
    results: Sequence[RunReport | FastKVError], *, is_full: bool
) -> Iterator[tuple[str, str]]:
    reports = [result for result in results if isinstance(result, RunReport)]
    if not reports:
        return
    first = reports[0]
    if is_full:
        for document in first.documents:
            yield "Document", describe_document(document)
    else:
        label = "Document" if len(first.documents) == 1 else "Documents"
        yield label, describe_documents(first.documents)
    most = max((report.reading for report in reports), key=lambda each: each.tokens_left_out)
    if most.tokens_left_out:
        yield "Left out", f"up to {most.tokens_left_out:,} of {most.tokens_read:,} tokens"
    yield "Model", describe_model(first.model)
    if is_full:
        yield "Prefill weights", describe_format(reports[-1].model.prefill_weights)
        yield "Decode weights", describe_weights(first.model.decode_weights)
    yield "Method", f"{first.kv.method}, budget {first.kv.budget}"
    if is_full and first.settings:
        yield "Settings", first.settings
    yield (
        "Loading",
        f"documents {format_seconds(first.extract_s)}, model {format_seconds(first.load_s)}",
    )


def _cells(result: RunReport | FastKVError) -> Iterator[str]:
    """The cells behind the question."""
    if isinstance(result, FastKVError):
        yield from (UNKNOWN,) * 3
        yield "failed"
        yield ""
        return
    speed = result.generation.decode_tokens_per_s
    yield format_seconds(result.ttft_s)
    yield f"{result.generation.output_tokens:,}"
    yield UNKNOWN if speed is None else f"{speed:.1f}"
    yield _VERDICTS[result.evidence.verdict]
    yield printable(name_places(result.evidence.citations, paths=result.paths))
