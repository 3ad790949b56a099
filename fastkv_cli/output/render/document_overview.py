"""The documents of a report page: their texts, and one map of all of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import TYPE_CHECKING

from .document_text import Place, Section, blocks_within, make_section
from .reading_strip import WIDTH, Lane, draw_lanes, find_shares, total_attention
from .source_marks import Mark

if TYPE_CHECKING:
    from ...documents import Document
    from ...tasks.reading_map import Block

# Characters of text on one page; 300 pages have about 750,000. Of longer texts, the sections with
# sources are shown, then those with the most attention. A section costs about 500 besides its text.
MAX_CHARACTERS, _SECTION_COSTS = 1_500_000, 500
_NUM_BINS = 500  # of the map
_BARS_HEIGHT, _LANE_HEIGHT = 28, 7
OVERVIEW_HEIGHT = _BARS_HEIGHT + 2 * (_LANE_HEIGHT + 1)


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document's text on the page.

    Attributes:
        name: its path.
        anchor: where links jump.
        sections: those that are shown.
        num_left_out: sections that are not, to keep the page small.
    """

    name: str
    anchor: str
    sections: tuple[Section, ...]
    num_left_out: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The map of all documents, one behind the other.

    Attributes:
        bars: an SVG path: the highest attention score of each place.
        lanes: what was let through and what was kept.
        links: each section, its left edge and its width.
        dividers: where documents begin, without the first.
        marks: anchor and place of each source.
    """

    bars: str
    lanes: tuple[Lane, ...]
    links: tuple[tuple[Section, int, int], ...]
    dividers: tuple[int, ...]
    marks: tuple[tuple[str, int], ...]


def show_documents(
    documents: Sequence[Document],
    places: Sequence[Sequence[Place]],
    blocks: Sequence[Sequence[Block]],
    marks: Sequence[Mark],
) -> list[DocumentView]:
    """The documents' texts, or of very long ones what matters most to the answers.

    Args:
        documents: in order.
        places: the sections of each.
        blocks: of each, in order.
        marks: the sources.
    """
    attention = total_attention(block for own in blocks for block in own)
    shown = _choose(places, blocks, marks)
    views = []
    for at, document in enumerate(documents):
        own_marks = [mark for mark in marks if mark.document == at]
        sections = tuple(
            make_section(document, place, blocks[at], own_marks, attention)
            for place in places[at]
            if place.anchor in shown
        )
        left_out = len(places[at]) - len(sections)
        views.append(DocumentView(document.path, f"d{at + 1}", sections, left_out))
    return views


def _choose(
    places: Sequence[Sequence[Place]], blocks: Sequence[Sequence[Block]], marks: Sequence[Mark]
) -> set[str]:
    """The anchors of the sections to show."""
    every = [(at, place) for at, own in enumerate(places) for place in own]
    costs = {place.anchor: place.end - place.start + _SECTION_COSTS for _, place in every}
    if sum(costs.values()) <= MAX_CHARACTERS:
        return set(costs)

    def worth(pair: tuple[int, Place]) -> tuple[bool, float]:
        at, place = pair
        has_mark = any(
            mark.document == at and mark.start < place.end and mark.end > place.start
            for mark in marks
        )
        own = blocks_within(blocks[at], place.start, place.end)
        return has_mark, find_shares(own, place.start, place.end, 1.0).attention or 0.0

    shown, left = set[str](), MAX_CHARACTERS
    for _, place in sorted(every, key=worth, reverse=True):
        if costs[place.anchor] <= left:
            shown.add(place.anchor)
            left -= costs[place.anchor]
    return shown


def draw_overview(
    documents: Sequence[Document],
    views: Sequence[DocumentView],
    blocks: Sequence[Sequence[Block]],
    marks: Sequence[Mark],
) -> Overview:
    """The map of all documents; its arguments are as those of `show_documents`."""
    offsets = [0]
    for document in documents:
        offsets.append(offsets[-1] + document.num_characters)
    total = max(offsets[-1], 1)
    scale = WIDTH / total
    moved = [
        replace(block, start=block.start + offset, end=block.end + offset)
        for own, offset in zip(blocks, offsets, strict=False)
        for block in own
    ]
    bins = list(_bins(moved, total))
    links = []
    for view, offset in zip(views, offsets, strict=False):
        for section in view.sections:
            left = round((section.start + offset) * scale)
            right = round((section.end + offset) * scale)
            links.append((section, left, max(right - left, 1)))
    return Overview(
        bars=_bars(bins, total),
        lanes=draw_lanes(bins, 0, total, _LANE_HEIGHT, _BARS_HEIGHT + 1)[1:],
        links=tuple(links),
        dividers=tuple(round(offset * scale) for offset in offsets[1:-1]),
        marks=tuple(
            (mark.anchor, round((mark.start + offsets[mark.document]) * scale)) for mark in marks
        ),
    )


def _bins(blocks: Sequence[Block], total: int) -> Iterator[Block]:
    """At most 500 blocks of even length: the highest score, and the mean of the shares."""
    if len(blocks) <= _NUM_BINS:
        yield from blocks
        return
    for number in range(_NUM_BINS):
        start, end = (at * total // _NUM_BINS for at in (number, number + 1))
        own = blocks_within(blocks, start, end)
        if not own:
            continue
        shares = find_shares(own, start, end, 1.0)
        yield replace(
            own[0],
            start=start,
            end=end,
            score=max((block.score for block in own if block.score is not None), default=None),
            propagated=shares.propagated,
            kept=shares.kept,
        )


def _bars(blocks: Sequence[Block], total: int) -> str:
    """The path of the attention scores; the roots of them, as most are small."""
    path = ""
    for block in blocks:
        height = round(_BARS_HEIGHT * sqrt(block.score or 0.0), 1)
        left = round(block.start * WIDTH / total)
        right = max(round(block.end * WIDTH / total), left + 1)
        if height:
            path += f"M{left} {_BARS_HEIGHT}v-{height:g}H{right}V{_BARS_HEIGHT}z"
    return path
