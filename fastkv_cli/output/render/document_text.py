"""The text of documents on a report page: sections, marked sentences and quotes. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

from .reading_strip import Lane, Shares, draw_lanes, find_shares

if TYPE_CHECKING:
    from ...documents import Document
    from ...documents.document import Page
    from ...tasks.reading_map import Block
    from .source_marks import Mark

SECTION_CHARACTERS = 3000  # of a document without pages
_LANE_HEIGHT = 5
STRIP_HEIGHT = 3 * (_LANE_HEIGHT + 1) - 1
_MARKED = (0.15, 0.35, 0.65)  # scores from which a sentence is marked in the text, more and more
_PASSED = 0.05  # below this share of tokens let through, a sentence counts as left out


@dataclass(frozen=True, slots=True)
class Segment:
    """Characters of one look: the level of their score, and whether they were left out."""

    text: str
    level: int
    is_left_out: bool
    title: str


@dataclass(frozen=True, slots=True)
class Run:
    """Segments within one source, or outside of any: its anchor is empty then."""

    anchor: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A page, or some lines of a document without pages.

    Attributes:
        anchor: where links jump.
        label: `Page 12`, `Lines 40–97`.
        start: its first character.
        end: the character behind its last.
        shares: what was made of it.
        lanes: its heat strip.
        runs: its text.
    """

    anchor: str
    label: str
    start: int
    end: int
    shares: Shares
    lanes: tuple[Lane, ...]
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a section is in its document, and its name; it has a page, or a first line."""

    anchor: str
    label: str
    start: int
    end: int
    page: int | None = None
    line: int | None = None


def find_places(document: Document, number: int) -> list[Place]:
    """The pages of a document, or its lines in groups; `number` tells documents apart."""
    if document.pages:
        return [
            Place(f"d{number}p{page.number}", _name_page(page), page.start, page.end, page.number)
            for page in document.pages
        ]
    places, line, counted = [], 1, 0
    for index, (start, end) in enumerate(pairwise(_cut_lines(document.text)), start=1):
        line += document.text.count("\n", counted, start)
        counted = start
        last = line + document.text.count("\n", start, max(end - 1, start))
        first = line + document.gaps.more_at(start)
        last += document.gaps.more_at(max(end - 1, start))
        label = f"Line {first:,}" if first == last else f"Lines {first:,}–{last:,}"
        places.append(Place(f"d{number}s{index}", label, start, end, line=first))
    return places


def _name_page(page: Page) -> str:
    """`Page 4`, or `Page 4 (p. iv)` if that is printed on it."""
    printed = f" (p. {page.label})" if page.label and page.label != str(page.number) else ""
    return f"Page {page.number}{printed}"


def _cut_lines(text: str) -> Iterator[int]:
    """Where sections of about 3,000 characters begin, at lines or else at spaces; and the end."""
    at = 0
    while at < len(text):
        yield at
        wanted, most = at + SECTION_CHARACTERS, at + 2 * SECTION_CHARACTERS
        if wanted >= len(text):
            break
        after_line = text.find("\n", wanted, most) + 1
        at = after_line or text.find(" ", wanted, most) + 1 or wanted
    yield len(text)


def blocks_within(blocks: Sequence[Block], start: int, end: int) -> Sequence[Block]:
    """The blocks that overlap with the characters `start` to `end`; blocks are in order."""
    first = bisect_right(blocks, start, key=lambda block: block.end)
    return blocks[first : bisect_left(blocks, end, key=lambda block: block.start)]


def merge_blocks(maps: Sequence[Sequence[Block]]) -> Sequence[Block]:
    """The blocks of a document in several maps as one: the highest values of each range."""
    if len(maps) == 1:
        return maps[0]
    bounds = sorted({at for blocks in maps for block in blocks for at in (block.start, block.end)})
    merged: list[Block] = []
    for start, end in pairwise(bounds):
        own = [block for blocks in maps for block in blocks_within(blocks, start, end)]
        if own:
            merged.append(_highest(own, start, end))
    return merged


def _highest(blocks: Sequence[Block], start: int, end: int) -> Block:
    """The highest values of blocks that all cover the characters `start` to `end`."""

    def most(values: Iterable[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    first = blocks[0]
    num_tokens = first.num_tokens * (end - start) / (first.end - first.start)
    return replace(
        first,
        start=start,
        end=end,
        num_tokens=max(round(num_tokens), 1),
        score=most(block.score for block in blocks),
        propagated=most(block.propagated for block in blocks),
        kept=most(block.kept for block in blocks),
    )


def make_section(
    document: Document,
    place: Place,
    blocks: Sequence[Block],
    marks: Sequence[Mark],
    attention: float,
) -> Section:
    """A section with what was made of it.

    Args:
        document: the section's.
        place: where it is.
        blocks: of the document, in order.
        marks: the sources in the document, in any order.
        attention: of the whole text, as `total_attention` gives it.
    """
    start, end = place.start, place.end
    own = blocks_within(blocks, start, end)
    return Section(
        anchor=place.anchor,
        label=place.label,
        start=start,
        end=end,
        shares=find_shares(own, start, end, attention),
        lanes=draw_lanes(own, start, end, _LANE_HEIGHT),
        runs=tuple(_runs(document.text, place, own, marks)),
    )


def _runs(text: str, place: Place, blocks: Sequence[Block], marks: Sequence[Mark]) -> Iterator[Run]:
    """The text of a section, cut at sources; one that goes on from before has its anchor there."""
    at = place.start
    for mark in sorted(marks, key=lambda mark: mark.start):
        start, end = max(mark.start, at), min(mark.end, place.end)
        if start >= end:
            continue
        if start > at:
            yield Run("", tuple(_segments(text, at, start, blocks)))
        anchor = mark.anchor if mark.start >= place.start else f"{mark.anchor}-on"
        yield Run(anchor, tuple(_segments(text, start, end, blocks)))
        at = end
    if at < place.end:
        yield Run("", tuple(_segments(text, at, place.end, blocks)))


def _segments(text: str, start: int, end: int, blocks: Sequence[Block]) -> Iterator[Segment]:
    """Characters `start` to `end`; neighbours that look the same are one segment."""
    pieces: list[tuple[int, int, tuple[int, bool, str]]] = []
    at = start
    for block in blocks_within(blocks, start, end):
        first, last = max(block.start, at), min(block.end, end)
        if first > at:
            pieces.append((at, first, (0, False, "")))
        if last > first:
            pieces.append((first, last, _look(block)))
            at = last
    if at < end:
        pieces.append((at, end, (0, False, "")))
    for look, group in groupby(pieces, key=lambda piece: piece[2]):
        same = list(group)
        yield Segment(text[same[0][0] : same[-1][1]], *look)


def _look(block: Block) -> tuple[int, bool, str]:
    """The level that is marked, whether the block was left out, and the title of a marked one."""
    level = sum((block.score or 0.0) >= least for least in _MARKED)
    is_left_out = block.propagated is not None and block.propagated < _PASSED
    if not level:
        return 0, is_left_out, ""
    parts = [f"attention {block.score:.2f} of the highest"]
    if block.propagated is not None:
        parts.append(f"{block.propagated:.0%} let through")
    if block.kept is not None:
        parts.append(f"{block.kept:.0%} kept")
    return level, is_left_out, ", ".join(parts)
