"""Recognize the same line where OCR, on some pages, read a letter or two of it wrongly."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

_MIN_LENGTH = 12  # characters; shorter lines differ by a letter and mean something else
_LETTERS_PER_ERROR, _MAX_ERRORS = 8, 4
_TIMES_RARER = 3  # than the right word, over the whole document, is a misread one
_NUM_ALIKE = 4  # lines compared with one line, and times a line is commoner than its misreadings
_MAX_STEPS = 1_000_000  # letters compared with letters: half a second
_MIN_SHARED = 4  # letters of a word that both lines have
_WORD = re.compile(r"\w++")
_NUMERAL = re.compile(r"[ivxlcdm]++|\w")  # counts parts and chapters; one letter may, too

_Pair = tuple[str, str]


def right_forms(lines: Mapping[str, int], pages: Iterable[str]) -> dict[str, str]:
    """Find the misread ones of lines that stand at the same place of many pages.

    A line is misread if it differs from a commoner one in one letter out of eight at most, and if
    the words in which they differ are rare in the document beside the right ones: "Vicksbueg"
    beside "Vicksburg", but not "Sunday" beside "Monday". Numerals and added words count as
    differences. Where more pages would be misread than right, none is.

    Args:
        lines: in lower case, without page numbers, and on how many pages each stands.
        pages: the whole text, to count words in.

    Returns:
        The right line by each misread one.
    """
    pairs = list(_alike(lines))
    if not pairs:
        return {}
    wanted = {word for pair in pairs for part in _differing(*pair) for word in part}
    counts = Counter(w for page in pages for w in _WORD.findall(page.casefold()) if w in wanted)
    forms = {line: right for line, right in pairs if _is_rarer(*_differing(line, right), counts)}
    excess: Counter[str] = Counter()  # of misread pages over right ones
    forms = {line: forms.get(right, right) for line, right in forms.items()}
    for line, right in forms.items():
        excess[right] += lines[line] if any(_differing(line, right)) else -lines[line]
    return {line: right for line, right in forms.items() if excess[right] <= lines[right]}


def _alike(lines: Mapping[str, int]) -> Iterable[_Pair]:
    """Pairs of a line and a commoner one that differs in few letters."""
    common = sorted((line for line in lines if lines[line] > 1), key=lambda line: -lines[line])
    with_word: dict[str, list[str]] = defaultdict(list)
    for line in common:
        for word in _long_words(line):
            if len(with_word[word]) < _NUM_ALIKE:
                with_word[word].append(line)
    num_steps = 0
    for line in lines if with_word else ():
        if len(line) < _MIN_LENGTH:
            continue
        others = {each for word in _long_words(line) for each in with_word.get(word, ())}
        for right in sorted(others, key=lambda each: (-lines[each], each))[:_NUM_ALIKE]:
            most = min(len(right) // _LETTERS_PER_ERROR, _MAX_ERRORS)
            if (
                right == line
                or not (lines[line] == 1 or lines[line] * _NUM_ALIKE <= lines[right])
                or abs(len(line) - len(right)) > most
            ):
                continue
            num_steps += len(line) * (2 * most + 1)
            if num_steps > _MAX_STEPS:
                return
            if _is_within(line, right, most) and _may_be_misread(*_differing(line, right)):
                yield line, right
                break


def _long_words(line: str) -> set[str]:
    return {word for word in _WORD.findall(line) if len(word) >= _MIN_SHARED}


def _differing(line: str, right: str) -> tuple[list[str], list[str]]:
    """The words from the first to the last difference between two lines, of either."""
    first, second = _WORD.findall(line), _WORD.findall(right)
    start = _num_shared(first, second)
    first, second = first[start:], second[start:]
    end = _num_shared(first[::-1], second[::-1])
    return first[: len(first) - end], second[: len(second) - end]


def _num_shared(first: Sequence[str], second: Sequence[str]) -> int:
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _may_be_misread(words: Sequence[str], right: Sequence[str]) -> bool:
    """Whether no word is missing, and none that differs is a numeral."""
    if not words or not right:
        return not words and not right
    odd = {*words} ^ {*right}
    return not any(_NUMERAL.fullmatch(word) for word in odd)


def _is_rarer(words: Sequence[str], right: Sequence[str], counts: Mapping[str, int]) -> bool:
    if not words:  # the lines differ in punctuation
        return True
    rarest = min(counts[word] for word in words)
    return rarest * _TIMES_RARER <= min(counts[word] for word in right)


def _is_within(first: str, second: str, most: int) -> bool:
    """Whether the edit distance (Levenshtein) of two texts is at most `most`."""
    beyond = most + 1
    row = [min(at, beyond) for at in range(len(second) + 1)]
    for number, letter in enumerate(first, start=1):
        start, end = max(number - most, 1), min(number + most, len(second))
        before, row = row, [beyond] * (len(second) + 1)
        row[0] = min(number, beyond)
        for at in range(start, end + 1):
            row[at] = min(
                before[at] + 1, row[at - 1] + 1, before[at - 1] + (letter != second[at - 1])
            )
        if min(row[start - 1 : end + 1]) > most:
            return False
    return row[-1] <= most
