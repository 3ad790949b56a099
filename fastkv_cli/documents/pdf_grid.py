"""Tables with drawn lines on a PDF page: the cells between crossing rules."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .pdf_lines import Piece, split_piece
from .pdf_rules import Rule

_TOUCH = 3.0  # points between rules that meet
_MAX_RULES = 1500  # merged; a page with more is a drawing
_MAX_CELLS = 5000
_MIN_FILLED = 0.35  # of the cells of a table
_MIN_COVER = 0.3  # of the height of a table, by the rules between two columns


@dataclass(slots=True)
class Table:
    """A table: its rows of cells, and the pieces that are in it."""

    rows: list[list[str]]
    pieces: list[Piece]


def find_grids(pieces: Sequence[Piece], rules: Sequence[Rule]) -> list[Table]:
    """The tables whose cells are drawn, with at least two rows and columns."""
    across = _merge([rule for rule in rules if rule.bottom == rule.top and rule.right > rule.left])
    upright = _merge([rule for rule in rules if rule.left == rule.right])
    if not across or not upright or len(across) + len(upright) > _MAX_RULES:
        return []
    tables = []
    for group in _groups(across, upright):
        table = _Grid(*group).table(pieces)
        if table is not None:
            tables.append(table)
    return tables


def _merge(rules: Iterable[Rule]) -> list[Rule]:
    """Rules on one line that touch or overlap become one."""
    merged: list[Rule] = []
    for rule in sorted(rules, key=_line_of):
        last = merged[-1] if merged else None
        if last is not None and _line_of(last)[0] == _line_of(rule)[0]:
            if rule.left == rule.right and rule.bottom <= last.top + _TOUCH:
                merged[-1] = Rule(last.left, last.bottom, last.left, max(last.top, rule.top))
                continue
            if rule.bottom == rule.top and rule.left <= last.right + _TOUCH:
                merged[-1] = Rule(last.left, last.bottom, max(last.right, rule.right), last.bottom)
                continue
        merged.append(rule)
    return merged


def _line_of(rule: Rule) -> tuple[int, float]:
    """The line that a rule lies on, to a step of 1.5 points, and where it begins."""
    if rule.left == rule.right:
        return round(rule.left / 1.5), rule.bottom
    return round(rule.bottom / 1.5), rule.left


def _groups(
    across: Sequence[Rule], upright: Sequence[Rule]
) -> Iterator[tuple[list[Rule], list[Rule]]]:
    """Rules that cross or touch each other, directly or through others."""
    parents = list(range(len(across) + len(upright)))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    for i, flat in enumerate(across):
        for j, tall in enumerate(upright, start=len(across)):
            if (
                flat.left - _TOUCH <= tall.left <= flat.right + _TOUCH
                and tall.bottom - _TOUCH <= flat.bottom <= tall.top + _TOUCH
            ):
                parents[root(i)] = root(j)
    members: dict[int, tuple[list[Rule], list[Rule]]] = defaultdict(lambda: ([], []))
    for at, rule in enumerate((*across, *upright)):
        members[root(at)][at >= len(across)].append(rule)
    yield from members.values()


def _steps(values: Iterable[float]) -> list[float]:
    """Places in ascending order; those closer than three points are one."""
    steps: list[float] = []
    for value in sorted(values):
        if not steps or value - steps[-1] > _TOUCH:
            steps.append(value)
    return steps


class _Grid:
    """The cells between rules; those without a rule between them are one cell."""

    def __init__(self, across: Sequence[Rule], upright: Sequence[Rule]) -> None:
        self._across, self._upright = across, upright
        edges = (*across, *upright)
        self._xs = _steps(
            (*(rule.left for rule in edges), *(rule.right for rule in edges)) if edges else ()
        )
        self._ys = _steps((*(rule.bottom for rule in edges), *(rule.top for rule in edges)))

    def table(self, pieces: Sequence[Piece]) -> Table | None:
        """The table; None if this is a frame or a drawing, or has hardly any text."""
        num_columns, num_rows = len(self._xs) - 1, len(self._ys) - 1
        if num_columns < 2 or num_rows < 1 or num_columns * num_rows > _MAX_CELLS:
            return None
        if not self._is_regular():
            return None
        cells, inside = self._fill(pieces)
        rows: list[list[str]] = []
        for row in reversed(range(num_rows)):  # from the top
            rows += _split_rows([cells.get((row, column), []) for column in range(num_columns)])
        rows = drop_empty(rows)
        return Table(rows, inside) if is_filled(rows, _MIN_FILLED) else None

    def _is_regular(self) -> bool:
        """Whether rules cover enough of most inner borders, unlike those of a drawing."""
        height = self._ys[-1] - self._ys[0]
        covers = [
            sum(r.top - r.bottom for r in self._upright if abs(r.left - x) <= _TOUCH) / height
            for x in self._xs[1:-1]
        ]
        return bool(covers) and 2 * sum(cover >= _MIN_COVER for cover in covers) >= len(covers)

    def _fill(
        self, pieces: Sequence[Piece]
    ) -> tuple[dict[tuple[int, int], list[Piece]], list[Piece]]:
        """The pieces of each cell, cut at its borders, and the pieces that were inside."""
        xs, ys = self._xs, self._ys
        owners = self._owners()
        cells: dict[tuple[int, int], list[Piece]] = defaultdict(list)
        inside: list[Piece] = []
        for piece in pieces:
            height = piece.base + 0.25 * piece.size
            if not ys[0] < height < ys[-1] or piece.right < xs[0] or piece.left > xs[-1]:
                continue
            if not xs[0] - _TOUCH <= (piece.left + piece.right) / 2 <= xs[-1] + _TOUCH:
                continue
            row = bisect_right(ys, height) - 1
            inside.append(piece)
            borders = [
                x
                for at, x in enumerate(xs[1:-1], start=1)
                if owners[row, at - 1] != owners[row, at]
            ]
            for part in split_piece(piece, borders):
                middle = min(max((part.left + part.right) / 2, xs[0]), xs[-1] - 0.01)
                cells[owners[row, bisect_right(xs, middle) - 1]].append(part)
        return cells, inside

    def _owners(self) -> dict[tuple[int, int], tuple[int, int]]:
        """For each cell the one at the upper left of those that it is one with."""
        xs, ys = self._xs, self._ys
        owners: dict[tuple[int, int], tuple[int, int]] = {}
        for row in reversed(range(len(ys) - 1)):
            for column in range(len(xs) - 1):
                x, y = (xs[column] + xs[column + 1]) / 2, (ys[row] + ys[row + 1]) / 2
                owner = (row, column)
                if column and not self._has_upright(xs[column], y):
                    owner = owners[row, column - 1]
                elif row + 1 < len(ys) - 1 and not self._has_across(x, ys[row + 1]):
                    owner = owners[row + 1, column]
                owners[row, column] = owner
        return owners

    def _has_upright(self, x: float, y: float) -> bool:
        return any(
            abs(rule.left - x) <= _TOUCH and rule.bottom - 1 <= y <= rule.top + 1
            for rule in self._upright
        )

    def _has_across(self, x: float, y: float) -> bool:
        return any(
            abs(rule.bottom - y) <= _TOUCH and rule.left - 1 <= x <= rule.right + 1
            for rule in self._across
        )


def _split_rows(cells: Sequence[Sequence[Piece]]) -> list[list[str]]:
    """A row between two rules as rows of text: as many as all its cells have lines, if three.

    A table with rules between its columns only has all its rows between two rules.
    """
    lines = [text_lines(cell) for cell in cells]
    counts = {len(cell) for cell in lines if cell}
    filled = [cell for cell in lines if cell]
    if len(filled) > 1 and len(counts) == 1 and counts.pop() >= 3:
        bases = [[base for base, _ in cell] for cell in filled]
        if all(abs(a - b) < 3 for first in bases[1:] for a, b in zip(bases[0], first, strict=True)):
            return [[cell[at][1] if cell else "" for cell in lines] for at in range(len(filled[0]))]
    return [[join_lines(text for _, text in cell) for cell in lines]]


def text_lines(pieces: Sequence[Piece]) -> list[tuple[float, str]]:
    """The lines of a cell from the top: baseline and text."""
    lines: list[tuple[float, list[Piece]]] = []
    for piece in sorted(pieces, key=lambda each: -each.base):
        if lines and abs(lines[-1][0] - piece.base) < 0.4 * piece.size:
            lines[-1][1].append(piece)
        else:
            lines.append((piece.base, [piece]))
    return [
        (base, " ".join(piece.text for piece in sorted(line, key=lambda each: each.left)))
        for base, line in lines
    ]


def drop_empty(rows: list[list[str]]) -> list[list[str]]:
    """The rows and columns that hold text."""
    rows = [row for row in rows if any(row)]
    if not rows:
        return []
    columns = [at for at in range(len(rows[0])) if any(row[at] for row in rows)]
    return [[row[at] for at in columns] for row in rows]


def is_filled(rows: Sequence[Sequence[str]], least: float) -> bool:
    """Whether there are rows and columns, most of them with several cells that hold text."""
    if len(rows) < 2 or len(rows[0]) < 2:
        return False
    counts = [sum(bool(row[at]) for row in rows) for at in range(len(rows[0]))]
    if sum(count >= 2 for count in counts) < max(2, 0.7 * len(counts)):
        return False
    num_cells = len(rows) * len(rows[0])
    return sum(bool(cell) for row in rows for cell in row) >= least * num_cells


def join_lines(lines: Iterable[str]) -> str:
    """The lines of a cell as one; a hyphen at the end of one stays, without a blank behind it."""
    joined = ""
    for line in filter(None, lines):
        joins = joined.endswith(("-", "\u2010")) and joined[-2:-1].isalpha() and line[0].islower()
        joined += line if joins or not joined else f" {line}"
    return joined
