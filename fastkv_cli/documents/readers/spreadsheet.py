"""Read Excel workbooks (XLSX) with openpyxl, in its reading mode that holds one row at a time."""

from __future__ import annotations

import datetime
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from ...errors import DocumentError
from ..archive import open_archive, refusing_damage
from ..document import MAX_CHARACTERS
from ..omissions import Note, Omission
from .rows import write_table

_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
_CHART = re.compile(r"xl/charts/chart[^/]*\.xml")
_COMMENTS = re.compile(r"xl/comments[^/]*\.xml|xl/comments/[^/]*\.xml")
_NO_VALUE = (b"</f></c>", b"</f><v></v>", b"</f><v/>", b"</f><v />")
_CURRENCIES = "€$£¥"
_LOCALE = re.compile(r"\[\$(\W?)[^\]]{0,20}\]")


def read_xlsx(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read the visible sheets of a workbook as tables, with the values of formulas.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: Ignored: the file itself declares it.

    Returns:
        The text, and notes (hidden sheets, formulas without a value, charts and comments).

    Raises:
        DocumentError: when it is damaged or too large, or the office extra is not installed.
    """
    del encoding
    try:
        import openpyxl
    except ImportError as error:
        raise DocumentError(
            f"{name} is an Excel file (XLSX), which needs the office extra",
            "pip install 'fastkv-cli[office]'",
        ) from error
    parts: list[str] = []
    hidden: list[str] = []
    num_characters = 0
    with open_archive(data, name) as archive, refusing_damage(name):
        notes = list(_unread(archive))
        book = openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True)
        for sheet in book.worksheets:
            if sheet.sheet_state != "visible":
                hidden.append(sheet.title)
                continue
            sheet.reset_dimensions()  # those that the file claims may be a billion cells
            table = write_table([_shown(cell) for cell in row] for row in sheet.iter_rows())
            parts.append(f"## {sheet.title}\n\n{table}" if table else f"## {sheet.title}")
            num_characters += len(table)
            if num_characters > MAX_CHARACTERS:
                break
    if hidden:
        names = ", ".join(hidden)
        notes.insert(0, f"hidden sheets left out: {names}")
    return "\n\n".join(parts) if num_characters else "", tuple(notes)


def _unread(archive: zipfile.ZipFile) -> Iterator[Note]:
    names = archive.namelist()
    empty = sum(
        archive.read(member).count(end)
        for member in names
        if _SHEET.fullmatch(member)
        for end in _NO_VALUE
    )
    if empty:
        subject = "1 formula has" if empty == 1 else f"{empty:,} formulas have"
        yield f"{subject} no value in the file: save it again in the program that calculates it"
    for kind, pattern in (("chart", _CHART), ("sheet of comments", _COMMENTS)):
        if number := sum(pattern.fullmatch(member) is not None for member in names):
            yield Omission(kind, number)


def _shown(cell: Any) -> str:
    """A cell about as a reader sees it: percentages, currencies, dates without midnight."""
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime):
        return str(value.date() if value.time() == datetime.time() else value)
    if not isinstance(value, int | float):
        return str(value)
    form = str(cell.number_format or "")
    if "%" in form:
        return f"{100 * value:.10g}%"
    shown = str(value) if isinstance(value, int) else f"{value:.12g}"
    currency = next((sign for sign in _LOCALE.sub(r"\1", form) if sign in _CURRENCIES), "")
    return f"{shown} {currency}" if currency == "€" else f"{currency}{shown}"
