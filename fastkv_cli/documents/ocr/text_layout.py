"""Put recognized lines into reading order: columns, rows, paragraphs and headings.

Coordinates are pixels of an upright page, (0, 0) at its top left; heights are those of boxes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from statistics import median
from typing import NamedTuple

_MIN_SKEW_WIDTH = 8  # heights: shorter boxes say little about the angle of a page
_MIN_COLUMN_LINES = 4
_MIN_COLUMN_WIDTH = 6.5  # heights of a line of running text, about 13 letters
_MAX_SPANNING = 0.35  # share of the lines that may cross the gap between two columns
_MIN_GUTTER = 0.5  # heights between two columns
_CELL_GAP = 1.2  # heights between two cells of a row
_HEADING = 1.25  # a line this much higher or lower than the one before begins a paragraph
_PARAGRAPH_GAP = 1.35  # line pitches
_INDENT = (0.7, 6.0)  # heights by which the first line of a paragraph is indented

_HYPHENS = ("-", "\u2010", "\u00ad")


class Box(NamedTuple):
    """A recognized line: its text, confidence from 0 to 1, and corners clockwise from top left."""

    text: str
    confidence: float
    corners: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class _Line:
    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


def order_text(boxes: Sequence[Box]) -> str:
    """The text of a page: a line for each row of boxes, an empty line between paragraphs."""
    lines = [line for line in _straighten(boxes) if line.text]
    if not lines:
        return ""
    height = median(line.height for line in lines)
    paragraphs = [
        paragraph
        for flow in _flows(lines, height)
        for paragraph in _paragraphs(_rows(flow), height)
    ]
    breaks = ["\n" if _cuts_word(*pair) else "\n\n" for pair in pairwise(paragraphs)]
    return "".join(chain.from_iterable(zip(paragraphs, [*breaks, ""], strict=True)))


def _cuts_word(before: str, text: str) -> bool:
    """Whether a line ends in a hyphen, and the next begins in lower case."""
    return before.endswith(_HYPHENS) and text[0].islower()


def _straighten(boxes: Sequence[Box]) -> list[_Line]:
    """The boxes as upright rectangles, after turning the page back by its skew."""
    angle = _skew(boxes)
    cosine, sine = math.cos(-angle), math.sin(-angle)
    lines = []
    for box in boxes:
        turned = [(x * cosine - y * sine, x * sine + y * cosine) for x, y in box.corners]
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = turned
        top, bottom = (y0 + y1) / 2, (y2 + y3) / 2
        text = " ".join(box.text.split())
        lines.append(_Line(text, min(x0, x3), top, max(x1, x2), max(bottom, top + 1)))
    return lines


def _skew(boxes: Sequence[Box]) -> float:
    """The angle of the page's lines, in radians: the median of its long lines."""
    angles = []
    for box in boxes:
        (x0, y0), (x1, y1), (x2, y2), (x3, y3) = box.corners
        width, height = math.hypot(x1 - x0, y1 - y0), math.hypot(x3 - x0, y3 - y0)
        if width > _MIN_SKEW_WIDTH * height:
            angles += [math.atan2(y1 - y0, x1 - x0), math.atan2(y2 - y3, x2 - x3)]
    return median(angles) if angles else 0.0


def _flows(lines: list[_Line], height: float) -> list[list[_Line]]:
    """Split lines into parts that are read one after the other: bands, and columns in them."""
    gutter = _find_gutter(lines, height)
    if gutter is None:
        return [lines]
    flows: list[list[_Line]] = []
    band: list[_Line] = []
    for line in sorted(lines, key=lambda line: line.middle):
        if line.left < gutter < line.right:  # a heading across the columns ends them
            flows += _columns(band, gutter, height)
            band = []
            if flows and all(each.left < gutter < each.right for each in flows[-1]):
                flows[-1].append(line)
            else:
                flows.append([line])
        else:
            band.append(line)
    return flows + _columns(band, gutter, height)


def _columns(band: list[_Line], gutter: float, height: float) -> list[list[_Line]]:
    left = [line for line in band if line.right <= gutter]
    right = [line for line in band if line.left >= gutter]
    return [flow for side in (left, right) if side for flow in _flows(side, height)]


def _find_gutter(lines: list[_Line], height: float) -> float | None:
    """The middle of the gap between two columns of running text; None if there is none.

    It is the one that fewest lines cross, and the widest of those. A gap between the columns of a
    table is none: the rows on its sides begin with short cells, and are read across. Neither is
    one before the page numbers of a list.
    """
    if len(lines) < 2 * _MIN_COLUMN_LINES:
        return None
    best: tuple[int, float, float] | None = None
    starts = sorted(line.left for line in lines)
    for edge in sorted({line.right for line in lines}):
        following = next((left for left in starts if left > edge), None)
        if following is None:
            break
        width, middle = following - edge, (edge + following) / 2
        if width < _MIN_GUTTER * height:
            continue
        found = sum(line.left < middle < line.right for line in lines), -width, middle
        if (best is None or found < best) and _parts_text(lines, middle, height):
            best = found
    return None if best is None else best[2]


def _parts_text(lines: list[_Line], x: float, height: float) -> bool:
    """Whether the lines on both sides of `x` are running text, and few others cross it."""
    left = [line for line in lines if line.right <= x]
    right = [line for line in lines if line.left >= x]
    if len(lines) - len(left) - len(right) > _MAX_SPANNING * len(lines):
        return False
    return (
        all(
            len(side) >= _MIN_COLUMN_LINES
            and median(row[0].right - row[0].left for row in _rows(side))
            >= _MIN_COLUMN_WIDTH * height
            for side in (left, right)
        )
        and _overlap(left, right) >= _MIN_COLUMN_LINES * height
    )


def _overlap(left: list[_Line], right: list[_Line]) -> float:
    """How far two columns stand beside each other."""
    top = max(min(line.top for line in side) for side in (left, right))
    return min(max(line.bottom for line in side) for side in (left, right)) - top


def _rows(lines: Iterable[_Line]) -> list[list[_Line]]:
    """Lines of the same height on the page as rows, from left to right."""
    rows: list[list[_Line]] = []
    for line in sorted(lines, key=lambda line: line.middle):
        row = rows[-1] if rows else None
        if row is not None and _stands_beside(line, row):
            row.append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.left) for row in rows]


def _stands_beside(line: _Line, row: list[_Line]) -> bool:
    """Whether a line is on the height of a row, and does not cover any of it."""
    for other in row:
        shared = min(line.bottom, other.bottom) - max(line.top, other.top)
        if shared < 0.5 * min(line.height, other.height):
            return False
        if min(line.right, other.right) - max(line.left, other.left) > 0.5 * line.height:
            return False
    return True


def _paragraphs(rows: list[list[_Line]], height: float) -> list[str]:
    """Join rows to paragraphs.

    Cells of a row are joined by ` | ` where a row above or below has more than one, too.
    """
    is_cells = [any(_is_gap(*pair, height) for pair in pairwise(row)) for row in rows]
    pitches = [b[0].middle - a[0].middle for a, b in pairwise(rows)]
    near = [pitch for pitch in pitches if pitch < 3 * height]
    pitch = median(near) if near else height
    margin = min(row[0].left for row in rows)
    paragraphs: list[list[str]] = []
    for number, row in enumerate(rows):
        beside = is_cells[max(number - 1, 0) : number + 2]
        text = _join(row, height, " | " if sum(beside) > 1 else "\n")
        if number and not _begins(rows[number - 1], row, pitch, margin, height):
            paragraphs[-1].append(text)
        else:
            paragraphs.append([text])
    return ["\n".join(paragraph) for paragraph in paragraphs]


def _join(row: list[_Line], height: float, cell_break: str) -> str:
    parts = [row[0].text]
    for before, line in pairwise(row):
        parts += [cell_break if _is_gap(before, line, height) else " ", line.text]
    return "".join(parts)


def _is_gap(before: _Line, line: _Line, height: float) -> bool:
    return line.left - before.right > _CELL_GAP * height


def _begins(
    before: list[_Line], row: list[_Line], pitch: float, margin: float, height: float
) -> bool:
    """Whether a row begins a paragraph: by the space above, its size, or its indentation."""
    if _cuts_word(before[-1].text, row[0].text):
        return False
    if row[0].middle - before[0].middle > _PARAGRAPH_GAP * pitch:
        return True
    sizes = sorted(max(line.height for line in each) for each in (before, row))
    if sizes[1] > _HEADING * sizes[0] and len(row) == len(before) == 1:
        return True
    indent = row[0].left - max(margin, before[0].left)
    return _INDENT[0] * height < indent < _INDENT[1] * height and len(row) == 1
