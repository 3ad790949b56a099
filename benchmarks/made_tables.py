"""Forty-six tables in PDFs with their true cells, for tables.py; needs `pip install reportlab`.

Ten each are ruled, unruled, financial and spanning: cells of several lines, empty cells, numbers in
columns, and headers over several columns are among them. Six go over page breaks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

Cells = list[list[str]]

_NAMES = ["Harbour", "Mill", "Orchard", "Quarry", "Ferry", "Lighthouse", "Smithy", "Bakery", "Inn"]
_THINGS = ["Oak beams", "Glass bottles", "Herring", "Lime", "Rope", "Slate", "Tar", "Wool", "Salt"]
_LONG = [
    "Inspected in spring and found to be in good order by the county's own surveyor",
    "Closed to lorries until the eastern ramp has been repaired",
    "To be delivered in two parts, the second of them before the end of the year",
    "No remarks",
    "Paid in advance",
]
_INTRO = (
    "The following table was drawn up by the office at the end of the year. Figures are rounded, "
    "and what was not reported is left open. It is the only one that was approved by the council."
)
_ITEMS = [
    "Revenue", "Cost of goods sold", "Gross profit", "Wages and salaries", "Rent", "Depreciation",
    "Other operating expenses", "Operating income", "Interest", "Income before tax", "Income tax",
    "Net income",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MadeTable:
    """A PDF with one table: its kind, its bytes, and the cells that a reader sees."""

    name: str
    kind: str
    data: bytes
    cells: Cells


def make_tables() -> Iterator[MadeTable]:
    """All of them, the same each time."""
    makers: dict[str, Callable[[random.Random, int], tuple[Cells, list[Any], dict[str, Any]]]] = {
        "ruled": _ruled,
        "unruled": _unruled,
        "financial": _financial,
        "spanning": _spanning,
        "over pages": _over_pages,
    }
    for kind, make in makers.items():
        for number in range(6 if kind == "over pages" else 10):
            cells, style, options = make(random.Random(f"{kind} {number}"), number)
            data = _document(cells, style, **options)
            yield MadeTable(f"{kind}-{number}", kind, data, options.get("truth", cells))


def _document(cells: Cells, style: list[Any], **options: Any) -> bytes:
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table

    text = getSampleStyleSheet()["BodyText"]
    shown = [[Paragraph(cell, text) if len(cell) > 40 else cell for cell in row] for row in cells]
    buffer = BytesIO()
    table = Table(
        shown, colWidths=options.get("widths"), style=style, repeatRows=options.get("repeat", 0)
    )
    before = [Paragraph(_INTRO, text), Spacer(1, options.get("above", 12))]
    document = SimpleDocTemplate(buffer, pagesize=A4, invariant=1)
    document.build([*before, table, Spacer(1, 12), Paragraph(_INTRO, text)])
    return buffer.getvalue()


def _amount(rng: random.Random) -> str:
    return f"{rng.randrange(1, 90_000):,}"


def _ruled(rng: random.Random, number: int) -> tuple[Cells, list[Any], dict[str, Any]]:
    """A grid; odd ones have cells of several lines, every third one empty cells."""
    cells = [["Place", "Goods", "Amount", "Remark"]]
    for _ in range(4 + number):
        remark = rng.choice(_LONG) if number % 2 else rng.choice(_LONG[3:])
        row = [rng.choice(_NAMES), rng.choice(_THINGS), _amount(rng), remark]
        if number % 3 == 0:
            row[rng.randrange(1, 4)] = ""
        cells.append(row)
    style: list[Any] = [
        ("GRID", (0, 0), (-1, -1), 0.5, "black"),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    if number % 4 == 1:
        style += [("VALIGN", (0, 0), (-1, -1), "MIDDLE"), ("ALIGN", (2, 0), (2, -1), "RIGHT")]
    if number == 4:
        style += [("BACKGROUND", (0, 0), (-1, 0), "lightgrey")]
    if number == 8:  # rules between columns, one around the rows
        style = [
            ("BOX", (0, 0), (-1, -1), 1, "black"),
            ("LINEAFTER", (0, 0), (-2, -1), 0.5, "black"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, "black"),
        ]
    return cells, style, {"widths": [80, 90, 60, 190]}


def _unruled(rng: random.Random, number: int) -> tuple[Cells, list[Any], dict[str, Any]]:
    """No rule at all, or as in books: above, below the header, and below."""
    num_columns = 3 + number % 4
    cells = [["Place", *(f"{2021 + at}" for at in range(num_columns - 1))]]
    names = rng.sample(_NAMES, 5) + rng.sample(_THINGS, min(number, 8))
    for name in names:
        row = [name, *(_amount(rng) for _ in range(num_columns - 1))]
        if number % 3 == 1 and rng.random() < 0.5:
            row[rng.randrange(1, num_columns)] = ""
        cells.append(row)
    style: list[Any] = []
    if number % 2:
        style = [
            ("LINEABOVE", (0, 0), (-1, 0), 1, "black"),
            ("LINEBELOW", (0, 0), (-1, 0), 0.5, "black"),
            ("LINEBELOW", (0, -1), (-1, -1), 1, "black"),
        ]
    if number % 5 == 2:
        style += [("ALIGN", (1, 0), (-1, -1), "RIGHT")]
    if number == 6:
        cells = [["Name", "Trade", "Town"]] + [
            [rng.choice(_NAMES), rng.choice(_THINGS), rng.choice(_NAMES)] for _ in range(8)
        ]
    options: dict[str, Any] = {"widths": [110, *[70] * (len(cells[0]) - 1)]}
    if number == 9:  # over a page break, with its header again
        cells += [[rng.choice(_NAMES), *(_amount(rng) for _ in cells[0][1:])] for _ in range(45)]
        options["repeat"] = 1
    return cells, style, options


def _financial(rng: random.Random, number: int) -> tuple[Cells, list[Any], dict[str, Any]]:
    """An income statement: right-aligned numbers, losses in brackets, subtotals below a rule."""
    years = ["2031", "2030", "2029"][: 2 + number % 2]
    cells = [["In thousands of crowns", *years]]
    for item in _ITEMS[: 7 + number % 6]:
        row = [item]
        for _ in years:
            amount = _amount(rng)
            row.append(f"({amount})" if rng.random() < 0.3 else amount)
        if number % 3 == 2:
            row = [row[0], *(f"$ {cell}" for cell in row[1:])]
        cells.append(row)
    if number % 4 == 1:
        cells.insert(4, ["Expenses", *[""] * len(years)])
        cells.insert(7, ["Property, plant and equipment", *(_amount(rng) for _ in years)])
    if number % 4 == 3:
        cells[3] = [cells[3][0], "–", *cells[3][2:]]
    style: list[Any] = [("ALIGN", (1, 0), (-1, -1), "RIGHT")]
    if number % 2 == 0:
        style += [
            ("LINEABOVE", (1, 3), (-1, 3), 0.5, "black"),
            ("LINEABOVE", (1, -1), (-1, -1), 0.5, "black"),
            ("LINEBELOW", (1, -1), (-1, -1), 1, "black"),
        ]
    return cells, style, {"widths": [190, *[75] * len(years)]}


def _spanning(rng: random.Random, number: int) -> tuple[Cells, list[Any], dict[str, Any]]:
    """Headers over two columns each, and with rules also cells over two rows."""
    cells = [["", "Spring", "", "Autumn", ""], ["Place", "Sold", "Bought", "Sold", "Bought"]]
    names = rng.sample(_NAMES, 4 + number % 4)
    cells += [[name, *(_amount(rng) for _ in range(4))] for name in names]
    style: list[Any] = [("SPAN", (1, 0), (2, 0)), ("SPAN", (3, 0), (4, 0)),
                        ("ALIGN", (1, 0), (-1, 0), "CENTER")]  # fmt: skip
    if number % 2:
        style += [("GRID", (0, 0), (-1, -1), 0.5, "black")]
        if number % 4 == 3:
            cells[0][0], cells[1][0] = "Place", ""
            style += [("SPAN", (0, 0), (0, 1)), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    elif number % 4 == 0:
        style += [
            ("LINEBELOW", (1, 0), (2, 0), 0.5, "black"),
            ("LINEBELOW", (3, 0), (4, 0), 0.5, "black"),
            ("LINEBELOW", (0, 1), (-1, 1), 0.5, "black"),
        ]
    return cells, style, {"widths": [90, *[65] * 4]}


def _over_pages(rng: random.Random, number: int) -> tuple[Cells, list[Any], dict[str, Any]]:
    """Over one page break or two; every other one ruled, the first three with repeated headers.

    Of the last two, one or two rows are left for the last page.
    """
    cells, style, options = _ruled(rng, 2) if number % 2 else _unruled(rng, 0)
    num_rows = {2: 90, 4: 37, 5: 37}.get(number, 50)
    cells = cells[:1]
    for _ in range(num_rows):
        row = [rng.choice(_NAMES), *(_amount(rng) for _ in cells[0][1:])]
        if number % 2:
            row[1], row[3] = rng.choice(_THINGS), rng.choice(_LONG[3:])
        cells.append(row)
    return cells, style, {**options, "repeat": int(number < 3)}
