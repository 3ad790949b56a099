"""The models on disk as tables and as JSON. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...documents.source import label
from ...sizes import format_size
from .answer_tables import facts_table
from .report_json import SCHEMA
from .to_json import to_json

if TYPE_CHECKING:
    from rich.table import Table

    from ...forecasts import MemoryForecast
    from ...models.own_store import StoredModel
    from ...session.model_listing import ListedModel

_NARROW = 100  # columns below which headings break
_TOO_MUCH = " !"  # behind memory that is not free


def list_json(models: Sequence[ListedModel], stored: Sequence[StoredModel]) -> str:
    """One JSON object; sizes in bytes, unknowns as null."""
    return to_json(
        {
            "schema": SCHEMA,
            "command": "models",
            "models": [_fields(model) for model in models],
            "stored_by_fastkv": [
                {"name": each.name, "path": str(each.path), "bytes": each.num_bytes}
                for each in stored
            ],
        }
    )


def model_json(model: ListedModel) -> str:
    """One JSON object for one model."""
    return to_json({"schema": SCHEMA, "command": "models info", **_fields(model)})


def list_tables(
    models: Sequence[ListedModel], stored: Sequence[StoredModel], columns: int
) -> Iterator[Table | str]:
    """A row for each model that can be used, then a line for each that cannot.

    Args:
        models: on disk.
        stored: what fastkv itself stored.
        columns: of the terminal.
    """
    usable = [model for model in models if model.facts is not None]
    if usable:
        yield _table(usable, columns)
        yield from _legend(usable)
    broken = [f"{_name(each)}: {label(each.problem)}" for each in models if each.facts is None]
    if broken:
        yield "\n".join(["", "Cannot be used:", *broken])
    if stored:
        rows = [f"{label(each.name)}: {format_size(each.num_bytes)}" for each in stored]
        yield "\n".join(["", "Stored by fastkv (fastkv models rm NAME):", *rows])


def model_table(model: ListedModel) -> Table:
    """Everything known of one model, a row for each fact."""
    return facts_table(_rows(model))


def _rows(model: ListedModel) -> Iterator[tuple[str, str]]:
    facts, found = model.facts, model.found
    yield "Model", _name(model)
    yield "In", found.place
    yield "Files", "\n".join(label(str(path)) for path in found.parts or (found.path,))
    if facts is None:
        yield "Cannot be used", _why(model)
        return
    yield "Family", facts.family
    yield "Weights", f"{_count(facts.sizes.num_weights)}, {format_size(facts.file_bytes)}"
    if facts.unused_weights:
        yield "Not loaded", f"{_count(facts.unused_weights)} weights of the parts for images"
    yield "Bits", f"{facts.bits:.1f} per weight on disk"
    yield "Window", f"{facts.window:,} tokens"
    for pages, forecast in (model.memory or {}).items():
        fits = {True: "fits", False: "more than is free", None: "free memory unknown"}
        yield (
            "Memory",
            f"{format_size(forecast.peak_bytes)} for {pages} pages: {fits[forecast.fits]}",
        )
    yield (
        "Calibrated",
        "yes" if model.is_calibrated else "no, the paper's settings: see fastkv calibrate",
    )


def _table(models: Sequence[ListedModel], columns: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    is_narrow = columns < _NARROW
    table = Table(box=None, padding=(0, 1 if is_narrow else 2, 0, 0), pad_edge=False)
    table.add_column("Model", overflow="fold")
    table.add_column("Family", overflow="fold")
    pages = list(models[0].memory or {})
    breaks = "\n" if is_narrow else " "
    for heading in ("Size", "Bits", "Window", *(f"{each}{breaks}pages" for each in pages)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Cali-\nbrated" if is_narrow else "Calibrated", no_wrap=True)
    for model in models:
        facts = model.facts
        assert facts is not None
        cells = (
            _name(model),
            facts.family,
            format_size(facts.file_bytes),
            f"{facts.bits:.1f}",
            _window(facts.window),
            *(_memory(forecast) for forecast in (model.memory or {}).values()),
            "yes" if model.is_calibrated else "no",
        )
        table.add_row(*map(Text, cells))  # names may look like markup
    return table


def _legend(models: Sequence[ListedModel]) -> Iterator[str]:
    forecasts = [each for model in models for each in (model.memory or {}).values()]
    free = next((each.available_bytes for each in forecasts if each.available_bytes), None)
    known = "" if free is None else f"; {format_size(free)} are free"
    yield f"\nPages: peak memory for a document of that length, on this CPU{known}."
    if any(each.fits is False for each in forecasts):
        yield "!: more than is free."


def _fields(model: ListedModel) -> dict[str, Any]:
    facts, memory = model.facts, model.memory or {}
    return {
        "name": model.found.name,
        "place": model.found.place,
        "files": [str(path) for path in model.found.parts or (model.found.path,)],
        "family": None if facts is None else facts.family,
        "weights": None if facts is None else facts.sizes.num_weights,
        "unused_weights": None if facts is None else facts.unused_weights,
        "bytes": None if facts is None else facts.file_bytes,
        "bits": None if facts is None else round(facts.bits, 2),
        "window": None if facts is None else facts.window,
        "memory_bytes": {str(pages): each.peak_bytes for pages, each in memory.items()} or None,
        "fits": {str(pages): each.fits for pages, each in memory.items()} or None,
        "calibrated": None if facts is None else model.is_calibrated,
        "problem": _why(model) if facts is None else None,
    }


def _name(model: ListedModel) -> str:
    return label(model.found.name)


def _why(model: ListedModel) -> str:
    text = f"{model.problem} ({model.hint})" if model.hint else model.problem
    return label(" ".join(text.split()))


def _memory(forecast: MemoryForecast) -> str:
    return format_size(forecast.peak_bytes) + (_TOO_MUCH if forecast.fits is False else "")


def _window(tokens: int) -> str:
    """`32K`, of 1,024 tokens each; all digits where that is not even."""
    return f"{tokens // 1024:,}K" if tokens and tokens % 1024 == 0 else f"{tokens:,}"


def _count(number: int) -> str:
    """`135M`, `4.0B`."""
    return f"{number / 1e9:.1f}B" if number >= 1e9 else f"{number / 1e6:.0f}M"
