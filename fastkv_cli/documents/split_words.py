"""Join words that a PDF shows split in two: `ob ject`, `signed into law b y`.

A space goes where it is much narrower than the others of its line and the halves are no words of
their own, and where the whole word stands elsewhere while its halves stand in no other place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import NamedTuple

NARROW = "\u200a"  # a hair space: stands for one that is narrow beside others of its line
_MAX_WORDS, _MAX_PARTS = 200_000, 20_000  # different ones: a document with more is not searched
_MAX_LINE = 10_000  # characters; words on longer lines are not joined
_BATCH = 10_000  # words counted at once
_MAX_LETTERS = 0.3  # share of the words that may be single letters
_MAX_RUN = 6  # letters that stand alone, one after the other, and may be a word
_MIN_WHOLE = 2  # times that the whole word stands elsewhere
_MIN_SPELLED, _TIMES_COMMONER = 3, 10  # the same for letters alone: formulas are full of them
_BEFORE, _BEHIND = "([\"'\u201c\u2018\u201e\u00ab", ".,;:!?)]\"'\u201d\u2019\u00bb-\u2010\u00ad"
_TOKEN = re.compile(r"\S++")


class SplitWords(NamedTuple):
    """The pages with words joined, and words that may be split with the first page of each."""

    pages: dict[int, str]
    suspects: dict[str, int]


class _Parts(NamedTuple):
    """Tokens of a line, from `start` on, that may be parts of one word."""

    line: int
    start: int
    words: tuple[str, ...]
    is_narrow: bool

    @property
    def whole(self) -> str:
        return "".join(self.words)

    @property
    def is_spelled(self) -> bool:
        return len(self.words) == len(self.whole)


def join_split_words(pages: Mapping[int, str]) -> SplitWords:
    """Join the words of a document that are split in two.

    Args:
        pages: by page number; `NARROW` between words is a narrow space.
    """
    counts = _count_words(pages)
    found: dict[int, list[_Parts]] = {}
    left = _MAX_PARTS + 1 if counts else 0  # a hostile page holds millions
    for number, page in pages.items():
        found[number] = list(islice(_find(page, counts), left))
        left -= len(found[number])
    every = [parts for on_page in found.values() for parts in on_page]
    if not every or not left:
        return SplitWords({n: page.replace(NARROW, " ") for n, page in pages.items()}, {})
    times = Counter(parts.words for parts in every)
    in_parts = Counter(word for parts in every for word in parts.words)
    joined: dict[int, str] = {}
    suspects: dict[str, int] = {}
    for number, page in pages.items():
        chosen = []
        for parts in found[number]:
            whole = counts[parts.whole]
            alone = max(counts[word] - in_parts[word] for word in parts.words)
            if parts.is_spelled:
                is_split = whole >= max(_MIN_SPELLED, _TIMES_COMMONER * alone)
                if not is_split and whole > max(_MIN_SPELLED, alone):
                    suspects.setdefault(" ".join(parts.words), number)
            elif parts.is_narrow:
                is_split = whole > 0 or alone == 0
            else:
                is_split = alone == 0 and whole >= max(_MIN_WHOLE, times[parts.words])
            if is_split:
                chosen.append(parts)
        joined[number] = _join(page, chosen).replace(NARROW, " ")
    return SplitWords(joined, suspects)


def _count_words(pages: Mapping[int, str]) -> Counter[str]:
    """How often each word stands; none where they are too many, or mostly letters."""
    counts: Counter[str] = Counter()
    for page in pages.values():
        words = (_word(match[0]) for match in _TOKEN.finditer(page))
        while batch := list(islice(words, _BATCH)):
            counts.update(batch)
            if len(counts) > _MAX_WORDS:
                return Counter()
    num_letters = sum(number for word, number in counts.items() if len(word) == 1)
    return counts if num_letters <= _MAX_LETTERS * counts.total() else Counter()


def _word(token: str) -> str:
    """A token in lower case without punctuation; empty if it is none, or a letter as in `(b)`."""
    if token.isalpha():
        return token.lower()
    word = token.lstrip(_BEFORE).rstrip(_BEHIND)
    return word.lower() if word.isalpha() and (len(word) > 1 or token[0] == word) else ""


def _find(page: str, counts: Mapping[str, int]) -> Iterator[_Parts]:
    """Tokens that may be one word: the whole is known, or the space between them is narrow."""
    for number, line in enumerate(page.split("\n")):
        if len(line) > _MAX_LINE:
            continue
        tokens = line.split()
        words = [_word(token) for token in tokens]
        narrow = _narrow_gaps(line) if NARROW in line else ()
        for at in narrow:
            words[at] = words[at] or _word(tokens[at].rpartition("-")[2])
        at = 0
        while at + 1 < len(words):
            count = _num_parts(tokens, words, at, counts, is_narrow=at in narrow)
            if count > 1:
                yield _Parts(number, at, tuple(words[at : at + count]), at in narrow)
            at += count


def _num_parts(
    tokens: Sequence[str],
    words: Sequence[str],
    at: int,
    counts: Mapping[str, int],
    *,
    is_narrow: bool,
) -> int:
    """How many tokens from `at` on may be one word; 1 if it stands for itself."""
    if not words[at]:
        return 1
    if len(words[at]) == 1:
        end = at + 1
        while end < min(len(words), at + _MAX_RUN) and len(words[end]) == 1:
            end += 1
        for stop in range(end, at + 1, -1):
            if _are_parts(tokens[at:stop]) and "".join(words[at:stop]) in counts:
                return stop - at
    whole = words[at] + words[at + 1]
    is_known = bool(words[at + 1]) and (is_narrow or whole in counts)
    return 2 if is_known and _are_parts(tokens[at : at + 2]) else 1


def _are_parts(tokens: Sequence[str]) -> bool:
    """Whether no punctuation and no capital stands between tokens."""
    return all(token[-1].isalpha() for token in tokens[:-1]) and all(
        token[0].islower() for token in tokens[1:]
    )


def _narrow_gaps(line: str) -> set[int]:
    """The tokens with a narrow space behind them."""
    ends = [match.end() for match in _TOKEN.finditer(line)]
    return {at for at, end in enumerate(ends) if line[end : end + 1] == NARROW}


def _join(page: str, chosen: Sequence[_Parts]) -> str:
    """The page without the spaces inside of words; `chosen` is in the order of the text."""
    if not chosen:
        return page
    lines = page.split("\n")
    for number, on_line in groupby(chosen, key=lambda parts: parts.line):
        line = lines[number]
        spans = [match.span() for match in _TOKEN.finditer(line)]
        pieces, end = [], 0
        for parts in on_line:
            for at in range(parts.start, parts.start + len(parts.words) - 1):
                gap = slice(spans[at][1], spans[at + 1][0])
                if line[gap] in {" ", NARROW}:
                    pieces.append(line[end : gap.start])
                    end = gap.stop
        lines[number] = "".join([*pieces, line[end:]])
    return "\n".join(lines)
