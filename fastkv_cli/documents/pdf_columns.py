"""Find the rows and columns of text on a PDF page, by the places of its pieces."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .pdf_grid import Table, join_lines
from .pdf_lines import Piece
from .running import mask_numbers

ROW_GAP = 2.6  # baselines of neighbouring rows, in heights of a line
CONTINUED_GAP = 1.35  # of the lines of one cell
_MAX_ABOVE = 2  # lines above the rest of a table from the page before

Extent = tuple[float, float]
"""Left and right of a column."""


def group_rows(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces on one baseline, from left to right; rows from the top."""
    rows: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda each: (-each.base, each.left)):
        if rows and rows[-1][0].base - piece.base < 0.3 * piece.size:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=lambda piece: piece.left) for row in rows]


def find_blocks(pieces: Sequence[Piece]) -> list[list[list[Piece]]]:
    """Neighbouring rows that may be a table: rows of several pieces, and lines of their cells."""
    blocks: list[list[list[Piece]]] = []
    block: list[list[Piece]] = []
    columns: list[Extent] = []
    before: list[Piece] = []
    for row in group_rows(pieces):
        size = max(row[0].size, block[-1][0].size) if block else 0.0
        is_near = bool(block) and block[-1][0].base - row[0].base <= ROW_GAP * size
        if block and not (is_near and (len(row) > 1 or _fits(row[0], columns))):
            blocks.append(block)
            block = []
        if not block and len(row) > 1 and len(before) == 1 and _heads(before[0], row):
            block.append(before)
        if len(row) > 1 or block:
            block.append(row)
            columns = find_columns(block)
        before = row
    blocks.append(block)
    for each in blocks:
        while each and len(each[-1]) == 1 and not _is_last_line(each):
            each.pop()
    return [each for each in blocks if sum(len(row) > 1 for row in each) >= 2]


def find_columns(rows: Sequence[Sequence[Piece]]) -> list[Extent]:
    """The extents of the columns: of the fullest rows, widened by pieces that fit into one."""
    columns: list[Extent] = []
    for row in sorted(rows, key=len, reverse=True):
        for piece in row:
            hit = overlapped(piece, columns)
            if not hit:
                columns.append((piece.left, piece.right))
            elif len(hit) == 1:
                left, right = columns[hit[0]]
                columns[hit[0]] = (min(left, piece.left), max(right, piece.right))
    return sorted(columns)


def overlapped(piece: Piece, columns: Sequence[Extent]) -> list[int]:
    """The columns that a piece overlaps with."""
    return [
        at for at, (left, right) in enumerate(columns) if piece.left < right and piece.right > left
    ]


def _fits(piece: Piece, columns: Sequence[Extent]) -> bool:
    """Whether a piece alone on its row can be a line of a cell: it is within one column."""
    hit = overlapped(piece, columns)
    return len(hit) == 1 and piece.left >= columns[hit[0]][0] - 0.5 * piece.size


def _heads(piece: Piece, row: Sequence[Piece]) -> bool:
    """Whether a piece alone stands close above one of a row, but not above its first one."""
    is_close = piece.base - row[0].base <= CONTINUED_GAP * piece.size
    return is_close and any(abs(piece.left - each.left) < 0.5 * piece.size for each in row[1:])


def _is_last_line(block: Sequence[Sequence[Piece]]) -> bool:
    """Whether the last row continues a cell: close below a row, and not in its first column."""
    if len(block) < 2:
        return False
    (piece,), above = block[-1], block[-2]
    is_close = above[0].base - piece.base <= CONTINUED_GAP * piece.size
    first = min(row[0].left for row in block)
    return is_close and piece.left > first + piece.size


def table_columns(table: Table) -> list[Extent]:
    """The extents of the columns of a table."""
    return find_columns(group_rows(table.pieces))


def rest_of_table(
    pieces: Sequence[Piece], used: set[int], columns: Sequence[Extent], heads: Collection[str]
) -> Table | None:
    """Rows at the top of a page, too few to be known as a table, that fit one before the page.

    Args:
        pieces: Of the page.
        used: Identities of those that are in a table or in columns of text already.
        columns: Of the table before.
        heads: `find_heads` of the pages before: a running head in two parts is no row.
    """
    taken: list[Piece] = []
    cells: list[list[list[str]]] = []
    for at, row in enumerate(_visible_rows(pieces)):
        is_other = any(id(piece) in used for piece in row) or _masked_text(row) in heads
        places = None if is_other else _places(row, columns)
        gap = taken[-1].base - row[0].base if taken else 0.0
        continues = len(row) == 1 and bool(taken) and gap <= CONTINUED_GAP * row[0].size
        if places is None or not (len(row) > 1 or continues) or gap > ROW_GAP * row[0].size:
            if taken or at == _MAX_ABOVE:
                break
            continue
        if not continues:
            cells.append([[] for _ in columns])
        for piece, place in zip(row, places, strict=True):
            cells[-1][place].append(piece.text.strip())
        taken += row
    rows = [[join_lines(cell) for cell in row] for row in cells]
    return Table(rows, taken) if rows else None


def find_heads(pieces: Sequence[Piece], used: set[int]) -> list[str]:
    """The lines at the top of a page that may be running heads, with `#` for numbers.

    Args:
        pieces: Of the page.
        used: Identities of those that are in a table.
    """
    top = _visible_rows(pieces)[:_MAX_ABOVE]
    return [_masked_text(row) for row in top if not any(id(piece) in used for piece in row)]


def _visible_rows(pieces: Sequence[Piece]) -> list[list[Piece]]:
    return group_rows([piece for piece in pieces if piece.text.strip()])


def _masked_text(row: Sequence[Piece]) -> str:
    return mask_numbers("\t".join(piece.text.strip() for piece in row))


def _places(row: Sequence[Piece], columns: Sequence[Extent]) -> list[int] | None:
    """The column of each piece; None unless each has one of its own."""
    hit = [overlapped(piece, columns) for piece in row]
    places = {found[0] for found in hit if len(found) == 1}
    fits = len(places) == len(row) and all(_fits(piece, columns) for piece in row[:1])
    return [found[0] for found in hit] if fits else None
