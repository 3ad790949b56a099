"""Settings and where they come from, as a table and as JSON. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...documents.source import label
from .report_json import SCHEMA
from .to_json import to_json

if TYPE_CHECKING:
    from rich.table import Table

Rows = Sequence[tuple[str, str, str]]
"""Name, value and source of each setting."""


def settings_json(settings: Rows, files: Mapping[str, Path | None]) -> str:
    """One JSON object; a file that has no place is null."""
    return to_json(
        {
            "schema": SCHEMA,
            "command": "config",
            "settings": [
                {"name": name, "value": value, "source": source} for name, value, source in settings
            ],
            "files": {kind: None if path is None else str(path) for kind, path in files.items()},
        }
    )


def settings_table(settings: Rows, files: Mapping[str, Path | None]) -> Iterator[Table | str]:
    """A row for each setting, and the files."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("Setting", "Value", "From"):
        table.add_column(heading, no_wrap=heading == "Setting", overflow="fold")
    for row in settings:
        table.add_row(*(Text(label(cell)) for cell in row))
    yield table
    user, project = files["user"], files["project"]
    there = "" if user is not None and user.exists() else " (not there yet)"
    lines = ["", f"Your file: {'no home folder is known' if user is None else user}{there}"]
    lines += [f"The project's: {project}"] if project is not None else []
    yield "\n".join(label(line) if line else line for line in lines)
