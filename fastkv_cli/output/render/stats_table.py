"""The statistics of an answer as a table, brief or full. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...output.stats_level import StatsLevel
from ...stats import RunReport
from .answer_tables import (
    UNKNOWN,
    describe_document,
    describe_documents,
    describe_model,
    describe_state,
    facts_table,
    format_bytes,
    format_count,
    format_seconds,
)
from .budget_picture import LABELS, BudgetPicture
from .evidence_rows import evidence_rows
from .report_json import describe_format, describe_weights

if TYPE_CHECKING:
    from rich.console import RenderableType

Row = tuple[str, str]  # label and value


def render_tables(report: RunReport, level: StatsLevel) -> Iterator[RenderableType]:
    """The statistics table and the budget picture; nothing where the level is off.

    The brief table has at most 8 rows. It leaves out the picture where every layer kept every
    token: its columns would all be full.
    """
    if level is StatsLevel.OFF:
        return
    is_full = level is StatsLevel.FULL
    rows = list(full_rows(report) if is_full else brief_rows(report))
    label_width = max(len(label) for label in (*dict(rows), *LABELS))
    yield ""
    yield facts_table(rows, label_width)
    if is_full or _is_compressed(report):
        yield BudgetPicture(report.kv, label_width)


def brief_rows(report: RunReport) -> Iterator[Row]:
    """What was read, left out and cited, and what it cost: at most 8 rows.

    Missing pages, tokens that were left out and unsupported claims always have their place here.
    """
    stats, reading = report.generation, report.reading
    documents = describe_documents(report.documents)
    parts = f", in {reading.parts} parts{_resumed(report)}" if reading.parts > 1 else ""
    yield "Document" + ("s" if len(report.documents) > 1 else ""), documents + parts
    yield from _left_out(report)
    yield from evidence_rows(report.evidence, paths=report.paths)
    found = 0 if reading.state is None else reading.state.tokens_found
    cached = f" (prefix cache: {found:,} tokens)" if found else ""
    problem = report.model.decode_weights.problem
    slow = f" (weights not packed: {problem})" if problem else ""
    ttft = f"TTFT {format_seconds(report.ttft_s)}{cached}"
    yield "Speed", f"{ttft}, {_speed(report)} tokens/s{slow}"
    yield "Peak memory", format_bytes(stats.peak_memory_bytes)
    yield "KV cache", _kv_cache(report)
    settings = report.settings if _is_compressed(report) else ""  # else nothing followed them
    yield "Method", ", ".join(filter(None, (_method(report), settings)))


def full_rows(report: RunReport) -> Iterator[Row]:
    """Everything that was measured."""
    kv, stats, reading = report.kv, report.generation, report.reading
    for document in report.documents:
        yield "Document", describe_document(document)
    if reading.parts > 1:
        used = f"{reading.tokens_used:,} used" if reading.tokens_left_out else "all of them used"
        read = f"{reading.parts}{_resumed(report)}, {reading.tokens_read:,} tokens read, {used}"
        yield "Parts", read
    yield from _left_out(report)
    yield from evidence_rows(report.evidence, paths=report.paths)
    yield "Model", describe_model(report.model)
    yield "Prefill weights", describe_format(report.model.prefill_weights)
    yield "Decode weights", describe_weights(report.model.decode_weights)
    yield "Prompt", f"{stats.prompt_tokens:,} tokens"
    if reading.state is not None:
        yield "Prefix cache", describe_state(reading.state)
    parts = f"parts {format_seconds(reading.parts_s)} + " if reading.parts_s is not None else ""
    first = stats.ttft_s - stats.prefill_s
    yield (
        "TTFT",
        f"{format_seconds(report.ttft_s)} = {parts}prefill {format_seconds(stats.prefill_s)} "
        f"+ first token {format_seconds(first)}",
    )
    loaded = f"documents {format_seconds(report.extract_s)}, model {format_seconds(report.load_s)}"
    yield "Loading", loaded if report.extract_s or report.load_s else "none: all in memory already"
    speed = UNKNOWN if stats.decode_tokens_per_s is None else f"{_speed(report)} tokens/s"
    if report.thinking is not None:
        closed = ", not ended by the model" if report.thinking.was_closed else ""
        yield "Thinking", f"{format_count(report.thinking.tokens, 'token')}{closed}"
    per_pass = stats.tokens_per_pass or 1
    drafted = f", {per_pass:.2f} tokens a pass" if per_pass > 1 else ""
    yield "Decode", f"{format_count(stats.output_tokens, 'token')}, {speed}{drafted}"
    yield "Peak memory", format_bytes(stats.peak_memory_bytes)
    yield "KV cache", _kv_cache(report)
    yield "Method", _method(report)
    if report.settings:
        yield "Settings", report.settings
    if kv.tsp_layer is not None and kv.tsp_rate is not None:
        yield "TSP", _propagated(report)
        if kv.attention_ratio is not None:
            share = f"{kv.attention_ratio:.0%} of the pairs"
            yield "Prefill attention", f"sparse up to layer {kv.tsp_layer}: {share}"
        yield "Compute", f"{kv.compute_ratio:.0%} of a full prefill"


def _propagated(report: RunReport) -> str:
    """`layer 17 of 0–29, rate 0.2: 800 of 4,000 tokens propagated`; of several steps each."""
    kv = report.kv
    last = len(kv.layers) - 1
    if len(kv.steps) > 1:
        layers = ", ".join(str(step.layer) for step in kv.steps)
        counts = [kv.steps[0].tokens_seen, *(step.tokens_propagated for step in kv.steps)]
        return f"layers {layers} of 0–{last}: {' → '.join(f'{each:,}' for each in counts)} tokens"
    selected = kv.layers[-1].tokens_seen
    return (
        f"layer {kv.tsp_layer} of 0–{last}, rate {kv.tsp_rate:.4g}: "
        f"{selected:,} of {_num_tokens(report):,} tokens propagated"
    )


def _left_out(report: RunReport) -> Iterator[Row]:
    """Tokens read but not in the prompt, and turns of a chat that no longer fit the window."""
    reading, turns = report.reading, report.turns_left_out
    what = []
    if reading.tokens_left_out:
        what.append(f"{reading.tokens_left_out:,} of {reading.tokens_read:,} tokens")
    if turns:
        what.append(format_count(turns, "earlier turn"))
    if what:
        yield "Left out", ", ".join(what)


def _resumed(report: RunReport) -> str:
    resumed = report.reading.parts_resumed
    return f" ({resumed} from an interrupted run)" if resumed else ""


def _speed(report: RunReport) -> str:
    speed = report.generation.decode_tokens_per_s
    return UNKNOWN if speed is None else f"{speed:.1f}"


def _kv_cache(report: RunReport) -> str:
    kv = report.kv
    full, kept = map(format_bytes, (kv.full_bytes, kv.kept_bytes))
    found = f", {kv.global_layers} of {len(kv.layers)} layers are global"
    windows = "" if kv.global_layers is None else found
    levels = ", in 8 bits" if kv.dtype == "int8" else ""
    return f"{full} full → {kept} kept ({kv.kept_ratio:.1%}{levels}){windows}"


def _method(report: RunReport) -> str:
    return f"{report.kv.method}, {report.kv.note or f'budget {report.kv.budget}'}"


def _is_compressed(report: RunReport) -> bool:
    """Whether any layer kept fewer tokens than the prompt has."""
    return any(layer.tokens_kept < _num_tokens(report) for layer in report.kv.layers)


def _num_tokens(report: RunReport) -> int:
    """Tokens of the prompt: the first layer sees all of them."""
    return report.kv.layers[0].tokens_seen
