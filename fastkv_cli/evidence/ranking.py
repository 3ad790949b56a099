"""Rank what can be quoted by how likely it answers a question."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise
from math import log

from .segment_index import SegmentIndex, terms_of
from .segments import MAX_SEGMENT, Kind
from .words import COMMON, keys_of

_SATURATION, _LENGTH_SHARE = 1.2, 0.75  # of Okapi BM25 (Robertson and Zaragoza, 2009): k1 and b
_RARITY = 1.0  # exponent of a term's rarity
_ALIKE = 0.6  # weight of a word that is only spelled alike
_ANSWER = 0.3  # weight of terms that only the answer has
_PAGE = 0.5  # of the score of its page
_WINDOW = 1.0  # weight of the terms of a quote, beside those of the segment that it is made around
_WINDOW_SATURATION = 1.0
_HEADING, _PAIR, _KIND = 0.3, 0.3, 0.15
_ATTENTION = 0.2  # what all attention on its page adds to a score, as a share of it
_CANDIDATES = 60  # segments around which a quote is made
_WORTH = {Kind.CONTENTS: 0.5}

Scores = Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Segments `first` to `last`, around the one that they were chosen for."""

    score: float
    first: int
    last: int


class Wanted:
    """What a question asks for: weighted terms, their places, and the kind of the answer."""

    def __init__(self, question: str, answer: str, index: SegmentIndex) -> None:
        """Find the terms of a question, and those of an answer where there is one."""
        asked = terms_of(keys_of(question))
        said = [term for term in terms_of(keys_of(answer)) if term not in asked]
        self.places: dict[str, dict[int, float]] = {}
        self.weights: dict[str, float] = {}
        num = len(index.segments)
        for term in {*asked, *said} - COMMON:
            places = index.count(term)
            if not places:
                continue
            self.places[term] = {n: v if v >= 1 else _ALIKE * v for n, v in places.items()}
            rarity = log(1 + (num - len(places) + 0.5) / (len(places) + 0.5)) ** _RARITY
            self.weights[term] = rarity * (1.0 if term in asked else _ANSWER)
        self.asked = set(asked) - COMMON
        self.missing = log(2 * num + 2) ** _RARITY * len(self.asked - self.places.keys())
        self.pairs = {pair for pair in pairwise(asked) if not set(pair) <= COMMON}
        self.kind = next((shape for asks, shape in _KINDS if asks.search(question)), None)

    def share(self, first: int, last: int) -> float:
        """How much of the question's terms segments hold, weighted by rarity, 0 to 1."""
        held = total = 0.0
        for term in self.asked & self.places.keys():
            places, weight = self.places[term], self.weights[term]
            total += weight
            held += weight * min(1.0, max(places.get(n, 0.0) for n in range(first, last + 1)))
        return held / ((total + self.missing) or 1.0)


_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
# What a question asks for by its first words, and what answers it.
_KINDS = (
    (
        re.compile(r"\b(?:when|(?:what|which) (?:year|date|month|day))\b", re.IGNORECASE),
        re.compile(rf"\b(?:1\d|20)\d\d\b|\b\d+(?:st|nd|rd|th)\b|\b(?:{_MONTHS})\b|\d[:.]\d\d"),
    ),
    (
        re.compile(
            r"\b(?:how (?:many|much|long|often|far|large|big|old|tall|high|wide|deep|fast)"
            r"|what (?:number|percentage|percent|size|length|port)|at (?:most|least))\b",
            re.IGNORECASE,
        ),
        re.compile(
            r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty"
            r"|forty|fifty|sixty|hundred|thousand|million|half|once|twice|dozen)\b",
            re.IGNORECASE,
        ),
    ),
    (re.compile(r"\b(?:who|whom|whose)\b", re.IGNORECASE), re.compile(r"[a-z,;] [A-Z][a-z]")),
)


def rank(
    wanted: Wanted, index: SegmentIndex, attention: Sequence[float] | None = None
) -> list[Candidate]:
    """The stretches of a quote's size that hold most of what is wanted, best first.

    Args:
        wanted: by the question.
        index: of the documents.
        attention: the share of each block, with sum 1; None if not measured.
    """
    own = _score_segments(wanted, index)
    pages = _score_blocks(wanted, index)
    both = {number: score + _PAGE * pages[index.blocks[number]] for number, score in own.items()}
    best = nlargest(_CANDIDATES, both, key=lambda number: both[number])
    found = []
    for number in best:
        first, last = _fill(number, index, own)
        score = both[number] + _WINDOW * _worth(wanted, index, first, last)
        if wanted.kind is not None and wanted.kind.search(index.text_of(first, last)):
            score *= 1 + _KIND
        if attention is not None:
            score *= 1 + _ATTENTION * attention[index.blocks[number]]
        found.append(Candidate(score, first, last))
    return sorted(found, key=lambda each: -each.score)


def _score_segments(wanted: Wanted, index: SegmentIndex) -> dict[int, float]:
    """BM25 of every segment with a term."""
    mean = sum(index.lengths) / max(len(index.lengths), 1)
    scores: dict[int, float] = defaultdict(float)
    for term, places in wanted.places.items():
        weight = wanted.weights[term]
        for number, times in places.items():
            length = 1 - _LENGTH_SHARE + _LENGTH_SHARE * index.lengths[number] / mean
            scores[number] += weight * times * (_SATURATION + 1) / (times + _SATURATION * length)
    for number in scores:
        scores[number] *= _WORTH.get(index.segments[number].kind, 1.0)
    return scores


def _score_blocks(wanted: Wanted, index: SegmentIndex) -> dict[int, float]:
    """BM25 of every block with a term."""
    lengths: dict[int, float] = defaultdict(float)
    for block, length in zip(index.blocks, index.lengths, strict=True):
        lengths[block] += length
    mean = sum(lengths.values()) / max(len(lengths), 1)
    scores: dict[int, float] = defaultdict(float)
    for places in wanted.places.values():
        times: dict[int, float] = defaultdict(float)
        for number, value in places.items():
            times[index.blocks[number]] += value
        rarity = log(1 + (len(lengths) - len(times) + 0.5) / (len(times) + 0.5))
        for block, value in times.items():
            length = 1 - _LENGTH_SHARE + _LENGTH_SHARE * lengths[block] / mean
            scores[block] += rarity * value * (_SATURATION + 1) / (value + _SATURATION * length)
    return scores


def _worth(wanted: Wanted, index: SegmentIndex, first: int, last: int) -> float:
    """The weight of the terms of a stretch, its pairs of words, and its heading's further terms."""
    worth = 0.0
    heading = index.headings[first]
    above = heading if 0 <= heading < first else None
    for term, places in wanted.places.items():
        times = sum(places.get(number, 0.0) for number in range(first, last + 1))
        if times:
            share = times * (_WINDOW_SATURATION + 1) / (times + _WINDOW_SATURATION)
            worth += wanted.weights[term] * share
        elif above is not None and above in places:
            worth += _HEADING * wanted.weights[term]
    keys = terms_of(keys_of(index.text_of(first, last)))
    for pair in wanted.pairs & set(pairwise(keys)):
        worth += _PAIR * min(wanted.weights.get(term, 0.0) for term in pair)
    return worth


def _fill(number: int, index: SegmentIndex, own: Scores) -> tuple[int, int]:
    """Add the better one of its neighbours on the page to a segment, as long as they fit."""
    first = last = number
    block, segments = index.blocks[number], index.segments
    while True:
        options = []
        if first > 0 and _fits(index, block, first - 1, last):
            options.append(first - 1)
        if last + 1 < len(segments) and _fits(index, block, first, last + 1):
            options.append(last + 1)
        if not options:
            return first, last
        added = max(options, key=lambda each: (own.get(each, 0.0), each))
        first, last = min(first, added), max(last, added)


def _fits(index: SegmentIndex, block: int, first: int, last: int) -> bool:
    if index.blocks[first] != block or index.blocks[last] != block:
        return False
    return index.segments[last].end - index.segments[first].start <= MAX_SEGMENT
