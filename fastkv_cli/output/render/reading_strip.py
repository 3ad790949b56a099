"""The heat strips of a report page: attention, let through, and kept, as shapes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...tasks.reading_map import Block

WIDTH = 1000  # of a strip, in units of its drawing
LEVELS = 4
_NOTHING = 0.0025  # a share that is drawn as none
LANES = ("score", "propagated", "kept")  # fields of a block, from top to bottom


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of a strip: an SVG path for each level above 0, palest first; empty for none."""

    name: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shares:
    """What was made of a range of a text.

    Attributes:
        attention: its share of all attention scores; None where nothing was scored.
        propagated: the share of its tokens that were let through; None where not recorded.
        kept: the share of its KV entries that were kept; None where not recorded.
    """

    attention: float | None
    propagated: float | None
    kept: float | None


def level_of(share: float | None) -> int:
    """0 to 4; roots, because attention and budgets are mostly small: 6% is 1, 25% is 2."""
    if share is None or share < _NOTHING:
        return 0
    return min(max(ceil(LEVELS * sqrt(share) - 1e-9), 1), LEVELS)


def total_attention(blocks: Iterable[Block]) -> float:
    """The sum of all scores, each times its tokens; 0 where nothing was scored."""
    return sum((block.score or 0.0) * block.num_tokens for block in blocks)


def find_shares(blocks: Sequence[Block], start: int, end: int, attention: float) -> Shares:
    """What was made of the characters `start` to `end`.

    Args:
        blocks: those that overlap with the range, or more.
        start: the first character.
        end: the character behind the last.
        attention: of the whole text, as `total_attention` gives it.
    """
    sums, weights = dict.fromkeys(LANES, 0.0), dict.fromkeys(LANES, 0.0)
    for block in blocks:
        inside = min(block.end, end) - max(block.start, start)
        if inside <= 0:
            continue
        weight = block.num_tokens * inside / (block.end - block.start)
        for lane in LANES:
            value = getattr(block, lane)
            if value is not None:
                sums[lane] += weight * value
                weights[lane] += weight
    share = sums["score"] / attention if attention and weights["score"] else None
    means = (sums[lane] / weights[lane] if weights[lane] else None for lane in LANES[1:])
    return Shares(share, *means)


def draw_lanes(
    blocks: Iterable[Block], start: int, end: int, height: int, second: int | None = None
) -> tuple[Lane, ...]:
    """A strip of the characters `start` to `end`: three lanes above each other.

    Args:
        blocks: those that overlap with the range.
        start: the first character.
        end: the character behind the last.
        height: of a lane.
        second: the top of the second lane; by default below the first.
    """
    scale = WIDTH / max(end - start, 1)
    spans: dict[str, list[tuple[int, int, int]]] = {lane: [] for lane in LANES}
    for block in blocks:
        left = round((max(block.start, start) - start) * scale)
        right = round((min(block.end, end) - start) * scale)
        for lane in LANES:
            _extend(spans[lane], left, max(right, left + 1), level_of(getattr(block, lane)))
    below = height + 1 if second is None else second
    tops = (0, below, below + height + 1)
    return tuple(
        Lane(name, _paths(spans[name], top, height)) for name, top in zip(LANES, tops, strict=True)
    )


def _extend(spans: list[tuple[int, int, int]], left: int, right: int, level: int) -> None:
    """Append a span; one that goes on at the same level makes the last longer."""
    if spans and spans[-1][1] >= left and spans[-1][2] == level:
        spans[-1] = (spans[-1][0], right, level)
    else:
        spans.append((left, right, level))


def _paths(spans: Iterable[tuple[int, int, int]], top: int, height: int) -> tuple[str, ...]:
    """For each level the path of its rectangles."""
    paths = [""] * LEVELS
    for left, right, level in spans:
        if level:
            paths[level - 1] += f"M{left} {top}h{right - left}v{height}H{left}z"
    return tuple(paths)
