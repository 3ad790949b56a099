"""`--dry-run`: what a run would read, and its predicted memory. No weights are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ...documents.source import label
from ...forecasts import MemoryForecast, ReadingForecast
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
        reading: how the text would go through the model.
        method: the compression method.
        budget: the KV cache to keep, as users write it.
        settings: where the method's settings come from.
        note: why the method would compress less than asked, if so.
        memory: of the longest prompt.
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
    extract_s: float
    warnings: tuple[str, ...]


def render_json(run: DryRun) -> str:
    """One JSON object; all sizes are predictions in bytes."""
    memory = asdict(run.memory) | {
        "peak_bytes": run.memory.peak_bytes,
        "full_peak_bytes": run.memory.full_peak_bytes,
        "fits": run.memory.fits,
    }
    envelope = asdict(run) | {
        "memory": memory,
        "reading": asdict(run.reading) | {"fits_window": run.reading.parts == 1},
    }
    return to_json({"schema": SCHEMA, "dry_run": True, **envelope})


def render_text(run: DryRun) -> str:
    """A line each of label and value."""
    rows = list(_rows(run))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {label(value)}" for name, value in rows)


def _rows(run: DryRun) -> Iterator[tuple[str, str]]:
    for document in run.documents:
        yield "Document", describe_document(document)
    reading, memory = run.reading, run.memory
    if reading.parts == 1:
        fits = f"yes: {reading.longest_prompt:,} tokens, the longest answer counted in,"
        yield "Fits", f"{fits} of a window of {run.max_context:,}"
    else:
        fits = f"not at once: {reading.tokens:,} tokens, and the window holds {run.max_context:,}"
        yield "Fits", fits
        yield "Parts", f"{reading.parts}: {reading.way}"
    yield "Model", f"{run.model}, {run.dtype} on {run.device}"
    copies = f" + {format_bytes(memory.copies_bytes)} of copies" if memory.copies_bytes else ""
    yield "Weights", f"{format_bytes(memory.weights_bytes)}{copies}"
    share = memory.kept_kv_bytes / memory.full_kv_bytes
    yield (
        "KV cache",
        f"{format_bytes(memory.full_kv_bytes)} full → {format_bytes(memory.kept_kv_bytes)} kept "
        f"({share:.1%}), after the longest prompt",
    )
    yield "Method", f"{run.method}, {run.note or f'budget {run.budget}'}"
    if run.settings:
        yield "Settings", run.settings
    yield (
        "Peak memory",
        f"about {format_bytes(memory.peak_bytes)}; {format_bytes(memory.full_peak_bytes)} in full",
    )
    free = UNKNOWN if memory.available_bytes is None else format_bytes(memory.available_bytes)
    verdict = {True: "enough", False: "not enough", None: "not known"}[memory.fits]
    yield "Free memory", f"{free}: {verdict}"
