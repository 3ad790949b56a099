"""The store's contents as tables and as JSON. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...documents.source import label
from ...sizes import format_size
from ...store import StateEntry
from .answer_tables import UNKNOWN, format_count
from .report_json import SCHEMA
from .to_json import to_json

if TYPE_CHECKING:
    from rich.table import Table

Verdicts = Sequence[tuple[StateEntry | Path, str]]


def describe_entry(entry: StateEntry) -> str:
    """`0123456789ab report.pdf, 142.0 MB`."""
    return f"{entry.key} {_documents(entry)}, {format_size(entry.file_bytes)}"


def count_states(number: int) -> str:
    """`1 state`, `12 states`."""
    return format_count(number, "state")


def list_json(entries: Sequence[StateEntry], folder: Path, limit_bytes: int) -> str:
    """One JSON object; sizes in bytes, times as ISO 8601 in UTC, unknowns as null."""
    return to_json(
        {
            "schema": SCHEMA,
            "command": "cache ls",
            "folder": str(folder),
            "limit_bytes": limit_bytes,
            "total_bytes": _total(entries),
            "states": [_fields(entry) for entry in entries],
        }
    )


def list_tables(entries: Sequence[StateEntry], limit_bytes: int) -> Iterator[Table | str]:
    """A row for each state, and their total size."""
    table = _table("Key", "Documents", "Tokens", "Size", "Model", "Stored as", "Last used")
    for entry in entries:
        header = entry.header
        _add_row(
            table,
            entry.key,
            _documents(entry),
            UNKNOWN if header is None else f"{header.num_tokens:,}",
            format_size(entry.file_bytes),
            _model(entry) or UNKNOWN,
            _kept_as(entry) or "damaged",
            _local_time(entry.last_used),
        )
    yield table
    states = count_states(len(entries))
    yield f"{states}, {format_size(_total(entries))} of at most {format_size(limit_bytes)}"


def verify_json(verdicts: Verdicts, folder: Path) -> str:
    """One JSON object; the `problem` of an intact state is null."""
    return to_json(
        {
            "schema": SCHEMA,
            "command": "cache verify",
            "folder": str(folder),
            "states": [
                _fields(entry) | {"problem": problem or None}
                for entry, problem in verdicts
                if isinstance(entry, StateEntry)
            ],
            "others": [str(path) for path, _ in verdicts if isinstance(path, Path)],
        }
    )


def verify_table(verdicts: Verdicts) -> Table:
    """A row for each state, and for each other file in the folder."""
    table = _table("Key", "Documents", "Size", "Result")
    for found, problem in verdicts:
        if isinstance(found, Path):
            _add_row(table, UNKNOWN, label(found.name), UNKNOWN, problem)
        else:
            cells = found.key, _documents(found), format_size(found.file_bytes)
            _add_row(table, *cells, problem or "intact")
    return table


def _fields(entry: StateEntry) -> dict[str, Any]:
    header = entry.header
    return {
        "key": entry.digest,
        "documents": None if header is None else list(header.documents),
        "tokens": None if header is None else header.num_tokens,
        "bytes": entry.file_bytes,
        "model": _model(entry),
        "kept_as": _kept_as(entry),
        "last_used": _utc_time(entry.last_used),
        "created": None if header is None else header.created,
        "made_with": None if header is None else header.made_with,
    }


def _local_time(seconds: float) -> str:
    """`2026-01-31 09:30`, of seconds since 1970; unknown outside the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return UNKNOWN


def _utc_time(seconds: float) -> str | None:
    """ISO 8601 in UTC, of seconds since 1970; None outside the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None


def _table(*names: str) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in names:
        is_number = name in {"Tokens", "Size"}
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=is_number or name in {"Key", "Last used"},
            overflow="fold",
        )
    return table


def _add_row(table: Table, *cells: str) -> None:
    from rich.text import Text

    table.add_row(*map(Text, cells))  # names may look like markup


def _documents(entry: StateEntry) -> str:
    """The names of all documents, printable."""
    return ", ".join(map(label, entry.documents)) or UNKNOWN


def _model(entry: StateEntry) -> str | None:
    model = None if entry.header is None else entry.header.identity.get("model")
    return None if model is None else label(str(model))


def _kept_as(entry: StateEntry) -> str | None:
    """`int8`, or the number format: `bf16`."""
    if entry.header is None:
        return None
    dtypes = {tensor.dtype.lower() for tensor in entry.header.tensors.values()}
    return "int8" if "i8" in dtypes else " ".join(sorted(dtypes)) or None


def _total(entries: Sequence[StateEntry]) -> int:
    return sum(entry.file_bytes for entry in entries)
