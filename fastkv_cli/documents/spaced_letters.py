"""Join the letters of words that are set with a space between each two: `l i b x s m m`.

And mark the spaces inside of words such as `ob ject`, where a font's kerning looks like a space.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from statistics import median

from .pdf_segments import Segment
from .split_words import NARROW

_MIN_LETTERS = 5
_MIN_SPACES = 3  # of a line, to tell what is narrow on it
_NARROW, _OVERLAP = 0.1, -0.05  # of the line's height
_TIMES_WIDER = 3  # than a narrow space is the usual one of a line
_SPACED = re.compile(r"(?<!\S)(?:[^\W\d_] ){4}[^\W\d_](?!\S)")


def is_spaced(text: str) -> bool:
    """Whether five letters or more stand alone, one after the other."""
    return _SPACED.search(text) is not None


def join_spaced(chars: Segment, size: float) -> Segment:
    """Drop the spaces of letter-spaced words: `l i b x s m m` becomes `libxsmm`.

    Wider gaps stay spaces. Letters in the order of the alphabet are a list.
    """
    dropped: set[int] = set()
    start = 0
    while start < len(chars):
        end = start
        while end + 2 < len(chars) and _is_pair(chars, end):
            end += 2
        if end > start and end + 1 < len(chars) and not chars[end + 1].text.isspace():
            end -= 2  # the first letter of the word behind
        letters = chars[start : end + 1 : 2]
        alone = start == 0 or chars[start - 1].text.isspace()
        if len(letters) >= _MIN_LETTERS and alone and not _is_alphabet(letters):
            gaps = [after.left - before.right for before, after in pairwise(letters)]
            usual = sorted(gaps)[len(gaps) // 2]
            dropped |= {
                start + 2 * at + 1
                for at, gap in enumerate(gaps)
                if gap <= max(1.5 * usual, usual + 0.05 * size)
            }
        start = max(end, start) + 1
    return [char for at, char in enumerate(chars) if at not in dropped]


def mark_narrow(chars: Segment, size: float) -> Segment:
    """Write spaces before small letters as `NARROW` where the others of the line are wider."""
    gaps = {
        at: chars[at + 1].left - chars[at - 1].right
        for at in range(1, len(chars) - 1)
        if chars[at].text == " "
    }
    low, high = _OVERLAP * size, _NARROW * size
    narrow = [at for at, gap in gaps.items() if low < gap < high and _is_inside(chars, at)]
    if not narrow or len(gaps) < _MIN_SPACES:
        return chars
    usual = median(gaps.values())
    marked = list(chars)
    for at in narrow:
        if gaps[at] * _TIMES_WIDER < usual:
            marked[at] = replace(chars[at], text=NARROW)
    return marked


def _is_inside(chars: Segment, at: int) -> bool:
    return chars[at - 1].text[-1].isalpha() and chars[at + 1].text[0].islower()


def _is_pair(chars: Segment, at: int) -> bool:
    first, space, second = chars[at : at + 3]
    return (
        len(first.text) == len(second.text) == 1
        and first.text.isalpha()
        and space.text == " "
        and second.text.isalpha()
    )


def _is_alphabet(letters: Segment) -> bool:
    return all(a.text < b.text for a, b in pairwise(letters))
