"""Write rows of cells as a table: a row a line, ` | ` between cells, dashes under the header."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

MAX_COLUMNS = 1000


def write_table(rows: Iterable[Sequence[str]]) -> str:
    """A table of rows; cells that are empty at their ends are left out, empty rows part tables."""
    lines: list[str] = []
    width = 0
    for row in rows:
        cells = [" ".join(cell.split()).replace("|", "\\|") for cell in row[:MAX_COLUMNS]]
        while cells and not cells[-1]:
            cells.pop()
        if not cells:
            if width:
                lines.append("")
            width = 0
            continue
        is_first = not width
        width = max(width, len(cells))
        cells += [""] * (width - len(cells))
        lines.append(f"| {' | '.join(cells)} |")
        if is_first:
            lines.append(f"|{' --- |' * width}")
    return "\n".join(lines)
