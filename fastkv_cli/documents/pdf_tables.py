"""Tables on a PDF page: of drawn cells, or of pieces of text that stand in columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from .cell_numbers import is_number
from .pdf_columns import (
    CONTINUED_GAP,
    Extent,
    find_blocks,
    find_columns,
    overlapped,
    rest_of_table,
)
from .pdf_grid import Table, drop_empty, find_grids, is_filled, join_lines
from .pdf_lines import Piece, split_piece
from .pdf_rules import Rule
from .pdf_segments import split_words

_MIN_ROWS = 3
_MAX_SPANS = 0.25  # of the pieces, across several columns
_MAX_WORDS = 4  # of a short cell, in the middle
_MIN_GUTTER = 0.5  # width of the gap at which a piece across two columns is cut
_MAX_COLUMNS = 40
_MIN_FILLED = 0.4  # of the cells; fewer are a drawing's labels
_MIN_FILLED_UNRULED = 0.6  # without rules; fewer are formulas or code
_MARKER = re.compile(r"[•◦▪■○●·*–—-]|[\[(]?\w{1,5}[.)\]]|\d+(?:\.\d+)*\.?|\[\w{1,9}\]")
_LEADERS = re.compile(r"\.{4}|(?:\. ){4}|……")
_MAX_MARKER = 12  # characters


@dataclass(slots=True)
class Columns:
    """Text that stands in columns and reads down each: its pieces, column by column."""

    pieces: list[Piece]


def find_tables(
    pieces: Sequence[Piece],
    rules: Sequence[Rule],
    open_columns: Sequence[Extent] = (),
    heads: Collection[str] = (),
) -> tuple[list[Table], list[Columns]]:
    """The tables of a page, and columns of running text that were drawn line by line across.

    Args:
        pieces: Of the page, in drawing order.
        rules: The lines on it.
        open_columns: Of a table at the end of the page before.
        heads: What may be running heads, of the pages before.
    """
    tables = find_grids(pieces, rules)
    used = {id(piece) for table in tables for piece in table.pieces}
    order = {id(piece): at for at, piece in enumerate(pieces)}
    columns: list[Columns] = []
    for rows in find_blocks([piece for piece in pieces if id(piece) not in used]):
        found = _Block(rows, order, rules).read()
        if isinstance(found, Table):
            tables.append(found)
        elif found is not None:
            columns.append(found)
    taken = [piece for table in tables for piece in table.pieces]
    taken += [piece for column in columns for piece in column.pieces]
    used = set(map(id, taken))
    rest = rest_of_table(pieces, used, open_columns, heads) if open_columns else None
    if rest is not None:
        tables.append(rest)
    return tables, columns


def render_table(table: Table) -> str:
    """A table as Markdown: a line a row, ` | ` between cells, the first row marked as header."""
    lines = [f"| {' | '.join(cell.replace('|', '¦') for cell in row)} |" for row in table.rows]
    lines.insert(1, f"|{' --- |' * len(table.rows[0])}")
    return "\n".join(lines)


class _Block:
    """Rows that may be a table."""

    def __init__(
        self, rows: list[list[Piece]], order: dict[int, int], rules: Sequence[Rule]
    ) -> None:
        self._pieces = [piece for row in rows for piece in row]
        self._columns = find_columns(rows)
        self._order: dict[int, int] = {}
        self._rows = [
            [part for piece in row for part in self._cut(piece, order[id(piece)])] for row in rows
        ]
        fullest = max(map(len, self._rows))
        full = [row for row in self._rows if len(row) == fullest]
        self._first_full, self._full_columns = full[0][0].base, find_columns(full)
        top, bottom = rows[0][0].base + rows[0][0].size, rows[-1][0].base - rows[-1][0].size
        left, right = rows[0][0].left, max(row[-1].right for row in rows)
        heights = [
            rule.bottom
            for rule in rules
            if bottom <= rule.bottom <= top
            and rule.bottom == rule.top
            and min(rule.right, right) - max(rule.left, left) > 0.5 * (right - left)
        ]
        self._has_rules = bool(heights)
        self._has_header_rule = any(rows[1][0].base < y < rows[0][0].base for y in heights)

    def read(self) -> Table | Columns | None:
        """The table or the columns; None if it is neither."""
        placed = [(self._place(piece), piece) for row in self._rows for piece in row]
        num_spans = sum(place < 0 for place, _ in placed)
        if (
            not 2 <= len(self._columns) <= _MAX_COLUMNS
            or num_spans > _MAX_SPANS * len(placed)
            or any(_LEADERS.search(piece.text) for _, piece in placed)
        ):
            return None
        cells = [
            [piece for place, piece in placed if place == column]
            for column in range(len(self._columns))
        ]
        placed.sort(key=lambda each: self._order[id(each[1])])
        reads_down = _is_drawn_down([piece for _, piece in placed])
        if _is_prose(cells):
            if reads_down:
                return None
            across = [piece for piece in self._pieces if len(overlapped(piece, self._columns)) > 1]
            down = [piece for column in cells for piece in column]
            return Columns([*across, *down] if len(down) + len(across) == len(placed) else down)
        if not self._is_table(cells, reads_down=reads_down):
            return None
        rows = drop_empty(self._lines_as_rows() if reads_down else self._cells_as_rows(placed))
        least = _MIN_FILLED if self._has_rules else _MIN_FILLED_UNRULED
        return Table(rows, self._pieces) if is_filled(rows, least) else None

    def _cut(self, piece: Piece, order: int) -> list[Piece]:
        """Cut a piece that runs over several columns in the gaps between them, if it has some."""
        hit = overlapped(piece, self._columns)
        parts = [piece]
        if len(hit) > 1:
            chars = [char for char in split_words(piece.chars) if not char.text.isspace()]
            gaps = [
                (before.right + after.left) / 2
                for before, after in pairwise(chars)
                if after.left - before.right >= _MIN_GUTTER * piece.size
            ]
            starts = [self._columns[at][0] for at in hit[1:]]
            ends = [self._columns[at][1] for at in hit[:-1]]
            borders = [
                gap
                for gap in gaps
                if any(
                    min(end, start) - piece.size <= gap <= max(end, start) + piece.size
                    for end, start in zip(ends, starts, strict=True)
                )
            ]
            parts = split_piece(piece, borders)
        self._order |= dict.fromkeys(map(id, parts), order)
        return parts

    def _place(self, piece: Piece) -> int:
        """The column of a piece; for one across several, minus one minus the first of them."""
        hit = overlapped(piece, self._columns)
        above = self._headed(piece)
        if above is not None:
            return above
        if not hit:
            return min(
                range(len(self._columns)), key=lambda at: abs(self._columns[at][0] - piece.left)
            )
        return hit[0] if len(hit) == 1 else -1 - hit[0]

    def _headed(self, piece: Piece) -> int | None:
        """The first of the two columns that a piece above the fullest row is centred over."""
        is_above = piece.base > self._first_full + 0.3 * piece.size
        if not is_above or len(self._full_columns) != len(self._columns):
            return None
        middle = (piece.left + piece.right) / 2
        for at, ((left, own_right), (own_left, right)) in enumerate(pairwise(self._full_columns)):
            off = abs(middle - (left + right) / 2)
            if off < min(
                abs(middle - (left + own_right) / 2), abs(middle - (own_left + right) / 2)
            ):
                return at
        return None

    def _is_table(self, cells: Sequence[Sequence[Piece]], *, reads_down: bool) -> bool:
        """Whether the columns hold what tables hold: numbers, or short texts in many rows."""
        texts = [[piece.text.strip() for piece in column] for column in cells]
        num_full = sum(len(row) > 1 for row in self._rows)
        numeric = [_share(is_number, column) >= 0.5 for column in texts[1:]]
        if num_full < (2 if self._has_rules else _MIN_ROWS):
            return False
        if len(cells) == 2 and _share(_is_marker, texts[0]) >= 0.8 and not all(numeric):
            return False
        short = [median(len(text.split()) for text in column) <= _MAX_WORDS for column in texts]
        if len(cells) > 2 and sum(short) >= 2 and (self._has_rules or any(numeric)):
            return True
        if self._has_header_rule and short[0] and not reads_down:
            return True
        if self._has_rules or any(numeric):
            return all(short)
        return all(short) and not reads_down and num_full >= (4 if len(cells) == 2 else 3)

    def _cells_as_rows(self, placed: Sequence[tuple[int, Piece]]) -> list[list[str]]:
        """Rows of a table that was drawn cell by cell: a row ends where drawing goes back left.

        So cells of several lines stay whole, wherever they stand in the height of their row.
        """
        rows: list[list[list[Piece]]] = []
        last = -1
        for place, piece in placed:
            column = place if place >= 0 else -1 - place
            own = rows[-1][column] if rows else []
            is_below = bool(own) and (
                0.3 * piece.size < own[-1].base - piece.base <= CONTINUED_GAP * piece.size
            )
            beside = bool(own) and abs(own[-1].base - piece.base) <= 0.3 * piece.size
            starts_row = column < last or (column == last and not is_below and not beside)
            if starts_row and column > 0 and is_below and not is_number(piece.text):
                starts_row = False  # drawn line by line: a further line of a cell
            if starts_row or not rows:
                rows.append([[] for _ in self._columns])
            rows[-1][column].append(piece)
            last = column
        return [[join_lines(piece.text.strip() for piece in cell) for cell in row] for row in rows]

    def _lines_as_rows(self) -> list[list[str]]:
        """Rows of a table that was drawn column by column: pieces on one line are a row."""
        rows: list[list[str]] = []
        above: Sequence[Piece] = ()
        waits = False  # for the cells of a label whose first line stands alone
        for row in self._rows:
            texts = [""] * len(self._columns)
            for piece in row:
                place = self._place(piece)
                at = place if place >= 0 else -1 - place
                texts[at] = f"{texts[at]} {piece.text.strip()}".strip()
            gap = above[0].base - row[0].base if above else 0.0
            is_close = bool(above) and gap <= CONTINUED_GAP * row[0].size
            continues_label = texts[0][:1].islower() and (waits or len(row) == 1)
            continues_cell = not texts[0] and not any(map(is_number, texts))
            if is_close and rows and (continues_label or continues_cell):
                rows[-1] = [join_lines(pair) for pair in zip(rows[-1], texts, strict=True)]
            else:
                rows.append(texts)
            waits = bool(texts[0]) and not any(texts[1:])
            above = row
        return rows


def _is_drawn_down(drawn: Sequence[Piece]) -> bool:
    """Whether most pieces were drawn behind the one above them, not the one beside them."""
    down = across = 0
    for before, piece in pairwise(drawn):
        if abs(before.base - piece.base) <= 0.3 * piece.size:
            across += 1
        elif before.base > piece.base and before.left < piece.right and piece.left < before.right:
            down += 1
    return down > 2 * across


def _is_prose(cells: Sequence[Sequence[Piece]]) -> bool:
    """Whether each column reads down: lines of several words, of which many begin in lower case."""
    for column in cells:
        texts = [piece.text.strip() for piece in column]
        if len(texts) < 3:
            return False
        words = sum(len(text.split()) for text in texts) / len(texts)
        lower = sum(text[:1].islower() for text in texts[1:]) / (len(texts) - 1)
        if words < 2 or lower < 0.35:
            return False
    return True


def _is_marker(text: str) -> bool:
    """Whether a text is the number or the bullet of a list item or a heading."""
    return len(text) <= _MAX_MARKER and _MARKER.fullmatch(text) is not None


def _share(test: Callable[[str], bool], texts: Sequence[str]) -> float:
    return sum(map(test, texts)) / max(len(texts), 1)
