"""Lay out a PDF page as text: in drawing order, with tables as rows and columns read down.

Most programs draw text in reading order, column by column; sorting lines by position would read
across columns. Only a page that was drawn mostly upwards, or in no order, is sorted.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from .pdf_columns import Extent, find_heads, table_columns
from .pdf_lines import Line, Piece, build_lines
from .pdf_rules import Rule
from .pdf_segments import Segment
from .pdf_tables import find_tables, render_table

_BOXES = frozenset(("[x]", "[ ]"))
_MAX_UPWARDS = 0.4  # of 356 ordinary pages, only one exceeded this: a page of figures
_MIN_CHARACTERS = 100
_MAX_BELOW = 3  # lines at the end of a page of which one is in a table that may go on


class Layout(NamedTuple):
    """The text of a page, in which a tab stands for a wide gap in a line.

    Attributes:
        text: The text.
        open_columns: Of the table at its end, which the next page may go on with; none if there
            is no table.
        heads: The lines at its top that may be running heads: see `find_heads`.
    """

    text: str
    open_columns: Sequence[Extent]
    heads: Sequence[str]


def lay_out(
    segments: Sequence[Segment],
    rules: Sequence[Rule],
    extra: Sequence[Line] = (),
    open_columns: Sequence[Extent] = (),
    heads: Collection[str] = (),
) -> Layout:
    """Lay out a page.

    Args:
        segments: Its characters in drawing order.
        rules: The lines drawn on it.
        extra: Lines that are no part of its content: values of form fields, typed-on notes.
        open_columns: Of the page before.
        heads: Of the pages before.
    """
    lines = build_lines(segments, rules)
    if _runs_upwards(lines):
        lines.sort(key=lambda line: (not line.is_flat, -line.base, line.pieces[0].left))
    lines = place_lines(lines, extra)
    pieces = [piece for line in lines if line.is_flat for piece in line.pieces]
    tables, columns = find_tables(pieces, rules, open_columns, heads)
    blocks: dict[int, tuple[int, str]] = {}
    for table in tables:
        blocks |= dict.fromkeys(map(id, table.pieces), (id(table), render_table(table)))
    for column in columns:
        text = "\n".join(piece.text for piece in column.pieces)
        blocks |= dict.fromkeys(map(id, column.pieces), (id(column), text))
    parts = _written(lines, blocks)
    at_end = {id(table) for table in tables} & {
        blocks[id(piece)][0]
        for line in lines[-_MAX_BELOW:]
        for piece in line.pieces
        if id(piece) in blocks
    }
    last = next((table for table in reversed(tables) if id(table) in at_end), None)
    in_tables = {id(piece) for table in tables for piece in table.pieces}
    return Layout(
        "\n".join(parts),
        table_columns(last) if last is not None else (),
        find_heads(pieces, in_tables),
    )


def _written(lines: Sequence[Line], blocks: dict[int, tuple[int, str]]) -> list[str]:
    """The lines; a block stands where its first piece was drawn."""
    parts: list[str] = []
    done: set[int] = set()
    for line in lines:
        own: list[str] = []
        for piece in line.pieces:
            block = blocks.get(id(piece))
            if block is None:
                own.append(piece.text)
            elif block[0] not in done:
                done.add(block[0])
                if own:
                    parts.append("\t".join(own))
                    own = []
                parts.append(block[1])
        if own:
            parts.append("\t".join(own))
    return parts


def place_lines(lines: list[Line], extra: Sequence[Line]) -> list[Line]:
    """Put further lines where they stand: behind the text to their left, or below that above.

    A box to tick stands before the text to its right.
    """
    for more in extra:
        piece = more.pieces[0]
        row = [
            (line, at)
            for line in lines
            if line.is_flat and _shares_row(line, piece)
            for at in range(len(line.pieces))
        ]
        left = [each for each in row if _piece(each).left < piece.left]
        right = [
            each
            for each in row
            if piece.text in _BOXES and 0 <= _piece(each).left - piece.right < 2 * each[0].size
        ]
        if right:
            line, at = min(right, key=lambda each: _piece(each).left)
            line.pieces.insert(at, piece)
            _join(line, at)
        elif left:
            line, at = max(left, key=lambda each: _piece(each).left)
            line.pieces.insert(at + 1, piece)
            _join(line, at)
        else:
            above = [at for at, line in enumerate(lines) if line.is_flat and line.base > piece.base]
            at = min(above, key=lambda at: lines[at].base) + 1 if above else 0
            lines.insert(at if above or not lines else len(lines), more)
    return lines


def _piece(place: tuple[Line, int]) -> Piece:
    line, at = place
    return line.pieces[at]


def _join(line: Line, at: int) -> None:
    """Make the pieces `at` and `at + 1` of a line one, so that label and value stay together."""
    first, second = line.pieces[at : at + 2]
    line.pieces[at : at + 2] = [
        Piece(
            [*first.chars, *second.chars],
            line.base,
            line.size,
            min(first.left, second.left),
            max(first.right, second.right),
            f"{first.text} {second.text}",
        )
    ]


def _shares_row(line: Line, piece: Piece) -> bool:
    """Whether a line stands beside a piece, whose base and size are those of its box."""
    middle = line.base + 0.3 * line.size
    return piece.base - 0.3 * line.size <= middle <= piece.base + piece.size + 0.3 * line.size


def _runs_upwards(lines: Sequence[Line]) -> bool:
    """Whether more than 40% of the text was drawn after a move up the page."""
    counts = {True: 0, False: 0}
    upwards: bool | None = None
    height: float | None = None
    for line in lines:
        if not line.is_flat:
            continue
        if height is not None and abs(line.base - height) > max(0.6 * line.size, 3):
            upwards = line.base > height
        height = line.base
        if upwards is not None:
            counts[upwards] += sum(len(char.text) for char in line.chars)
    total = sum(counts.values())
    return total >= _MIN_CHARACTERS and counts[True] > _MAX_UPWARDS * total
