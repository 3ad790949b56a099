"""Renders `--dry-run`: how a run would process the text, its memory and its time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from ...documents.source import label
from ...durations import format_duration
from ...forecasts import MemoryForecast, ReadingForecast, TimeForecast
from ...stats import DocumentStats
from .answer_tables import UNKNOWN, describe_document, format_bytes
from .report_json import SCHEMA
from .to_json import to_json


@dataclass(frozen=True, slots=True)
class DryRun:
    """Forecast of a run.

    Attributes:
        command: "summarize" or "ask".
        model: the model's name.
        dtype: number format of the weights.
        device: where it would run.
        max_context: the model's window, in tokens.
        documents: the documents.
        reading: how the text would be processed.
        method: the compression method.
        budget: the KV cache to keep, as users write it.
        settings: the source of the method's settings.
        note: why the method would compress less than requested; empty otherwise.
        memory: of the prompt that takes the most.
        time: of the whole run.
        extract_s: seconds to read the documents.
        warnings: one line each.
    """

    command: str
    model: str
    dtype: str
    device: str
    max_context: int
    documents: tuple[DocumentStats, ...]
    reading: ReadingForecast
    method: str
    budget: str
    settings: str
    note: str
    memory: MemoryForecast
    time: TimeForecast
    extract_s: float
    warnings: tuple[str, ...]


def render_json(run: DryRun) -> str:
    """One JSON object; all sizes are predictions in bytes, all times in seconds."""
    memory = asdict(run.memory) | {
        "peak_bytes": run.memory.peak_bytes,
        "full_peak_bytes": run.memory.full_peak_bytes,
        "fits": run.memory.fits,
    }
    reading = {
        "tokens": run.reading.tokens,
        "parts": run.reading.parts,
        "longest_prompt": run.reading.longest_prompt,
        "way": run.reading.strategy,
        "fits_window": run.reading.fits_window,
    }
    without_prompts = replace(run, reading=replace(run.reading, prompts=()))
    envelope = asdict(without_prompts) | {"memory": memory, "reading": reading}
    return to_json({"schema": SCHEMA, "dry_run": True, **envelope})


def render_text(run: DryRun) -> str:
    """One line per row, with label and value."""
    rows = list(_rows(run))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {label(value)}" for name, value in rows)


def _rows(run: DryRun) -> Iterator[tuple[str, str]]:
    for document in run.documents:
        yield "Document", describe_document(document)
    reading, memory = run.reading, run.memory
    if not reading.strategy:
        fits = f"yes: {reading.longest_prompt:,} tokens, including the longest answer,"
        yield "Fits", f"{fits} of a window of {run.max_context:,}"
    else:
        fits = "yes" if reading.fits_window else "not at once"
        window = f"and the window holds {run.max_context:,}"
        yield "Fits", f"{fits}: {reading.tokens:,} tokens, {window}"
        yield "Parts", f"{reading.parts}: {reading.strategy}"
    yield "Model", f"{run.model}, {run.dtype} on {run.device}"
    copies = f" + {format_bytes(memory.copies_bytes)} of copies" if memory.copies_bytes else ""
    yield "Weights", f"{format_bytes(memory.weights_bytes)}{copies}"
    full, kept = format_bytes(memory.full_kv_bytes), "none kept: it is scored"
    if memory.kept_kv_bytes:
        share = memory.kept_kv_bytes / memory.full_kv_bytes
        kept = f"{format_bytes(memory.kept_kv_bytes)} kept ({share:.1%})"
    yield "KV cache", f"{full} full → {kept}, after the longest prompt"
    yield "Method", f"{run.method}, {run.note or f'budget {run.budget}'}"
    if run.settings:
        yield "Settings", run.settings
    yield (
        "Peak memory",
        f"about {format_bytes(memory.peak_bytes)}; {format_bytes(memory.full_peak_bytes)} in full",
    )
    free = UNKNOWN if memory.available_bytes is None else format_bytes(memory.available_bytes)
    verdict = {True: "enough", False: "not enough", None: "unknown"}[memory.fits]
    yield "Free memory", f"{free}: {verdict}"
    yield "Time", _time(run.time)


def _time(time: TimeForecast) -> str:
    """When the first token is there, and the longest answer."""
    if time.first_token_s is None or time.answer_s is None:
        return UNKNOWN
    first = f"about {format_duration(time.first_token_s)} to the first token"
    if not time.output_tokens:
        first = f"about {format_duration(time.first_token_s)}"
    found = f" (prefix cache: {time.tokens_found:,} tokens)" if time.tokens_found else ""
    if not time.output_tokens:
        return f"{first}{found}, the model loaded"
    answer = f"{format_duration(time.answer_s)} with an answer of {time.output_tokens:,} tokens"
    return f"{first}{found}, {answer}, the model loaded"
