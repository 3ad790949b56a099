"""Build the lines of a PDF page from its characters: raised, lowered, struck and spaced text."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from .pdf_rules import Rule
from .pdf_segments import Char, Segment, space_after, split_words
from .scripts import lower_text, raise_text
from .spaced_letters import is_spaced, join_spaced, mark_narrow

# Lengths are shares of the height of a font's line, which is about 1.2 times the font size.
_SMALL = 0.86  # height of raised and lowered text beside the main text, at most
_MAX_SHIFT = 0.65  # of raised text, from the baseline
_MIN_RISE, _MIN_DROP = 0.1, 0.05
_RISE_IN_SIZE = 0.2  # of a raised number in the size of the main text
_SAME_LINE = 0.2
_NEAR, _OVERLAP = 0.8, 1.0  # gap and overlap of neighbours on a line
_SPACE = 0.18  # gap that stands for a space
_CELL_GAP = 0.9  # gap between pieces of a line: cells, columns, tab stops
_CELL_GAP_WIDTHS = 2.0  # the same in mean widths of a character
_STRIKE = (0.1, 0.42)  # height of a line that strikes text, above its baseline
_SPACES = re.compile(r" {2,}+")
_BRACKETS = re.compile(r"([()\[\]«»])")
_CLOSING = {"(": ")", "[": "]", "«": "»"}
_LEFTWARDS = re.compile("[\u0590-\u08ff]")
_MAIN_SHARE = 0.2  # of a line's characters: the largest font with this share is the main one


@dataclass(slots=True)
class Piece:
    """A part of a line without wide gaps: a line of text, or of a cell.

    Attributes:
        chars: Its characters.
        base, size: Of its main text.
        left, right: Its extent.
        text: As it is read.
    """

    chars: Segment
    base: float
    size: float
    left: float
    right: float
    text: str = ""


@dataclass(slots=True)
class Line:
    """A line in drawing order.

    Attributes:
        chars: Its characters, with spaces.
        is_flat: Whether it runs from left to right; places of others are not used.
        base, size: Of its main text.
        pieces: Its parts between wide gaps; one if it is not flat.
    """

    chars: Segment
    is_flat: bool
    base: float = 0.0
    size: float = 0.0
    pieces: list[Piece] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The line; a tab stands for a wide gap."""
        return "\t".join(piece.text for piece in self.pieces)


def build_lines(segments: Sequence[Segment], rules: Sequence[Rule]) -> list[Line]:
    """The lines of a page in drawing order; raised and lowered text is joined with its line."""
    lines: list[Line] = []
    for segment in segments:
        chars = _strip(segment)
        if not chars:
            continue
        line = Line(chars, _is_flat(chars), *_measure(chars))
        if lines and _continues(lines[-1], line):
            before = lines[-1]
            gap = chars[0].left - before.chars[-1].right
            if gap > _SPACE * max(before.size, line.size):
                before.chars.append(space_after(before.chars[-1]))
            before.chars = split_words(_strip([*before.chars, *segment]))
            before.base, before.size = _measure(before.chars)
        else:
            lines.append(line)
    strikes = sorted((rule for rule in rules if rule.bottom == rule.top), key=lambda r: r.bottom)
    heights = [rule.bottom for rule in strikes]
    for line in lines:
        _cut(line)
        for piece in line.pieces:
            low, high = (piece.base + share * piece.size for share in _STRIKE)
            near = strikes[bisect_left(heights, low) : bisect_left(heights, high)]
            piece.text = _write(piece, near) if line.is_flat else _plain(line.chars)
    return [line for line in lines if line.text.strip()]


def _strip(chars: Segment) -> Segment:
    first, last = 0, len(chars)
    while first < last and chars[first].text.isspace():
        first += 1
    while last > first and chars[last - 1].text.isspace():
        last -= 1
    return chars[first:last]


def _is_flat(chars: Segment) -> bool:
    """Whether the characters run from left to right, upright, in no script that runs leftwards."""
    first, last = chars[0], chars[-1]
    if abs(last.base - first.base) > abs(last.left - first.left) and len(chars) > 1:
        return abs(last.base - first.base) <= _MAX_SHIFT * max(first.size, last.size)
    return last.left >= first.left and not _LEFTWARDS.search("".join([c.text for c in chars]))


def _measure(chars: Segment) -> tuple[float, float]:
    """Baseline and size of the main text: the largest font with its share of the characters."""
    first = chars[0]
    if all(char.size == first.size and char.base == first.base for char in chars):
        return round(first.base, 1), max(round(first.size, 1), 0.1)
    sizes, bases = Counter[float](), Counter[tuple[float, float]]()
    for char in chars:
        if not char.text.isspace():
            size, length = round(char.size, 1), len(char.text)
            sizes[size] += length
            bases[size, round(char.base, 1)] += length
    least = _MAIN_SHARE * sizes.total()
    main = max(size for size, number in sizes.items() if number >= least)
    _, base = max((key for key in bases if key[0] == main), key=bases.__getitem__)
    return base, max(main, 0.1)


def _continues(before: Line, line: Line) -> bool:
    """Whether a segment goes on from the line before: a shift of the baseline, not a new line."""
    if not (before.is_flat and line.is_flat):
        return False
    size = max(before.size, line.size)
    shift, gap = abs(line.base - before.base), line.chars[0].left - before.chars[-1].right
    if gap > _NEAR * size or gap < -_OVERLAP * size:
        return False
    is_script = min(before.size, line.size) <= _SMALL * size
    return shift <= (_MAX_SHIFT if is_script else _SAME_LINE) * size


def _cut(line: Line) -> None:
    """Cut a line into pieces at its wide gaps."""
    if not line.is_flat:
        line.pieces = [Piece(line.chars, line.base, line.size, 0.0, 0.0)]
        return
    if len(line.chars) == 1:
        line.pieces = [_piece(line.chars, line.base, line.size)]
        return
    parts: list[Segment] = [[]]
    wide = _cell_gap(line)
    before: Char | None = None
    for char in line.chars:
        if not char.text.isspace():
            if before is not None and char.left - before.right > wide:
                parts.append([])
            before = char
        parts[-1].append(char)
    if len(parts) == 1:
        line.pieces = [_piece(line.chars, line.base, line.size)]
    else:
        line.pieces = [_piece(part, *_measure(part)) for part in map(_strip, parts)]


def split_piece(piece: Piece, borders: Sequence[float]) -> list[Piece]:
    """Cut a piece at vertical borders; each character is on the side of its middle."""
    inner = [border for border in borders if piece.left < border < piece.right]
    if not inner:
        return [piece]
    parts: dict[int, Segment] = {}
    for char in split_words(piece.chars):
        parts.setdefault(bisect_left(inner, (char.left + char.right) / 2), []).append(char)
    made = []
    for part in filter(None, map(_strip, parts.values())):
        cut = _piece(part, piece.base, piece.size)
        cut.text = _write(cut, ())
        made.append(cut)
    return made if len(made) > 1 else [piece]


def _piece(part: Segment, base: float, size: float) -> Piece:
    visible = [char for char in part if not char.text.isspace()]
    return Piece(
        part, base, size, min(char.left for char in visible), max(char.right for char in visible)
    )


def _cell_gap(line: Line) -> float:
    """The gap between pieces; some fonts, mostly drawn ones, state a height that is too small."""
    width = length = 0.0
    for char in line.chars:
        if not char.text.isspace():
            width += char.right - char.left
            length += len(char.text)
    return max(_CELL_GAP * line.size, _CELL_GAP_WIDTHS * width / length)


def _plain(chars: Segment) -> str:
    return close_brackets("".join(char.text for char in chars))


def close_brackets(text: str) -> str:
    """Turn the second of two equal brackets around right-to-left text: `(x(` into `(x)`.

    PDFium reorders such text, but turns only those of its brackets that are inside of it.
    """
    parts = _BRACKETS.split(text)
    for at in range(1, len(parts) - 2, 2):
        opened, between, again = parts[at : at + 3]
        if opened == again and opened in _CLOSING and _LEFTWARDS.search(between):
            parts[at + 2] = _CLOSING[opened]
    return "".join(parts)


def _write(piece: Piece, strikes: Sequence[Rule]) -> str:
    """The text of a piece."""
    first, chars = piece.chars[0], piece.chars
    if is_spaced("".join([char.text for char in chars])):
        chars = join_spaced(split_words(chars), piece.size)
    chars = mark_narrow(chars, piece.size)
    is_plain = not strikes and all(
        char.size == first.size and char.base == first.base for char in chars
    )
    if is_plain:
        return _SPACES.sub(" ", "".join([char.text for char in chars]))
    parts: list[str] = []
    roles = _roles(split_words(chars), piece, strikes)
    for (role, is_struck), group in groupby(roles, key=lambda each: each[0]):
        text = "".join(char.text for _, char in group)
        if role > 0:
            text = raise_text(text, "".join(parts))
        elif role < 0:
            text = lower_text(text)
        if is_struck and text.strip():
            bare = text.strip()
            text = text.replace(bare, f"~~{bare}~~")
        parts.append(text)
    return _SPACES.sub(" ", "".join(parts)).replace("~~ ~~", " ")


def _roles(
    chars: Segment, piece: Piece, strikes: Sequence[Rule]
) -> Iterator[tuple[tuple[int, bool], Char]]:
    """Each character with its role (1 raised, 0, -1 lowered), and whether it is struck.

    A space is part of a run of struck text, and of no other.
    """
    struck = [_is_struck(char, strikes) for char in chars] if strikes else [False] * len(chars)
    if sum(len(c.text.strip()) for c, hit in zip(chars, struck, strict=True) if hit) < 2:
        struck = [False] * len(chars)
    for index, char in enumerate(chars):
        role = 0
        if not char.text.isspace():
            rise = (char.base - piece.base) / piece.size
            if char.size <= _SMALL * piece.size:
                role = 1 if rise >= _MIN_RISE else -1 if rise <= -_MIN_DROP else 0
            elif char.text.isdigit() and abs(rise) >= _RISE_IN_SIZE:
                role = 1 if rise > 0 else -1
        yield (role, struck[index]), char


def _is_struck(char: Char, strikes: Sequence[Rule]) -> bool:
    middle = (char.left + char.right) / 2
    low, high = (char.base + share * char.size for share in _STRIKE)
    return any(
        rule.left - 1 <= middle <= rule.right + 1 and low <= rule.bottom <= high for rule in strikes
    )
