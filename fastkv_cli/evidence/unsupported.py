"""Find the numbers, names and quotations of an answer that no document contains."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from .index import Index
from .words import Word, find_words, keys_of, spellings

_QUOTED = re.compile(r"“([^“”\n]+)”|„([^“”„\n]+)[“”]|«([^«»\n]+)»|\"([^\"\n]+)\"|`([^`\n]+)`")
_ELLIPSIS = re.compile(r"\.\.\.|…|\[|\]")
_LIST_NUMBER = re.compile(  # of a list item; 4.5, 14:30 and an answer of just "47." have none
    r"^[ \t]*[(*#]*\d{1,3}[.):](?=[ \t]+\S|[^\s\d])", re.MULTILINE
)
_LETTERS = re.compile(r"[^\W\d_]+")
_NUMBER_AND_UNIT = re.compile(r"([\d.]*\d)([^\W\d_]+)")
# Between two words, marks the beginning of a sentence, a heading or a list item.
_BEGINS = re.compile(r"[.!?:;。！？\n*#•|\"“„«‘`]")
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "prof", "st", "sir", "jr"))
_PROMPT_WORDS = frozenset(
    keys_of("question answer document summary part note")
)  # words of the prompt
_MIN_STEM, _MIN_BEGINNING = 4, 3  # letters that must match if endings differ


def not_in_document(answer: str, question: str, index: Index) -> list[str]:
    """The numbers, names and quotations of an answer that no document contains, once and in order.

    Words of the question count as known. A name is a word capitalized inside a sentence, or one
    capitalized at the start of a sentence and inside another. In languages that capitalize all
    nouns (German), names are not checked.
    """
    found: dict[str, str] = {}
    known = set(keys_of(question)) | _PROMPT_WORDS
    spans: list[tuple[int, int]] = []
    asked = f" {' '.join(keys_of(question))} "
    for match in _QUOTED.finditer(answer):
        quoted = next(filter(None, match.groups()))
        if not _holds_quotation(index, quoted, asked):
            spans.append(match.span())
            found.setdefault(quoted.casefold(), f"“{quoted.strip()}”")
    words = [word for word in find_words(answer) if not _is_inside(spans, word.start)]
    for run in _missing_runs(answer, words, known, index):
        text = answer[run[0].start : run[-1].end]
        found.setdefault(" ".join(word.key for word in run), text)
    return list(found.values())


def _holds_quotation(index: Index, quoted: str, question: str) -> bool:
    """Whether every piece of a quotation, split at its omissions, occurs somewhere."""
    pieces = [" ".join(keys_of(piece)) for piece in _ELLIPSIS.split(quoted)]
    return all(index.holds(piece) or f" {piece} " in question for piece in pieces if piece)


def _missing_runs(
    answer: str, words: list[Word], known: set[str], index: Index
) -> Iterator[list[Word]]:
    """Missing numbers and names; adjacent words of a name are returned as one run."""
    names = set() if capitalizes_nouns(index) else set(_find_names(answer, words))
    list_numbers = [match.span() for match in _LIST_NUMBER.finditer(answer)]
    run: list[Word] = []
    for at, word in enumerate(words):
        if word.is_number and answer[word.start].isdigit():
            marks_item = _is_inside(list_numbers, word.start)
            follower = words[at + 1].key if at + 1 < len(words) else ""
            is_missing = not marks_item and not _holds_number(index, word.key, follower, known)
            is_name = False
        else:
            is_name = word in names
            is_missing = is_name and not _holds_name(index, word.key, known)
        gap = answer[run[-1].end : word.start] if run else ""
        if run and not (is_missing and is_name and gap in (" ", "-", ". ", " & ")):
            yield run
            run = []
        if is_missing and is_name:
            run.append(word)
        elif is_missing:
            yield [word]
    if run:
        yield run


def _find_names(answer: str, words: list[Word]) -> Iterator[Word]:
    """The words that are capitalized for another reason than their position."""
    inside: list[Word] = []
    first: list[Word] = []
    lines = answer.split("\n")
    headings = [len(lines) > 1 and _is_heading(line) for line in lines]
    line = at = 0
    for before, word in zip([None, *words], words, strict=False):
        line += answer.count("\n", at, word.start)
        at = word.start
        text = answer[word.start : word.end]
        if not text[0].isupper() or len(word.key) < 2:
            continue
        gap = answer[before.end if before else 0 : word.start]
        begins = not before or (_BEGINS.search(gap) and before.key not in _TITLES)
        (first if (begins or headings[line]) and not text[1:].isupper() else inside).append(word)
    keys = {word.key for word in inside}
    yield from inside
    yield from (word for word in first if word.key in keys)


def _is_heading(line: str) -> bool:
    """Whether all longer words of a line are capitalized, as in titles."""
    if line.rstrip().endswith((".", "!", "?")):
        return False
    long_words = [text for text in _LETTERS.findall(line) if len(text) > 3]
    return bool(long_words) and all(text[0].isupper() for text in long_words)


def _is_inside(spans: Sequence[tuple[int, int]], at: int) -> bool:
    """Whether a position is inside one of the spans, which ascend and do not overlap."""
    found = bisect_right(spans, at, key=lambda span: span[0]) - 1
    return found >= 0 and at < spans[found][1]


def _holds_number(index: Index, key: str, follower: str, known: set[str]) -> bool:
    """Whether a number occurs: as it is, in words, or with its unit attached or detached."""
    if key in known or index.holds(key) or index.holds(key + follower):
        return True
    split = _NUMBER_AND_UNIT.fullmatch(key)
    if split and (index.holds(f"{split[1]} {split[2]}") or split[1] in known):
        return True
    return any(index.holds(spelling) for spelling in spellings(key)) or (
        follower in ("thousand", "million", "billion") and index.holds(f"{key} {follower}")
    )


def _holds_name(index: Index, key: str, known: set[str]) -> bool:
    """Whether a name occurs, with any ending (America, American; SSL, SSLv3)."""
    if key in known or index.holds(key):
        return True
    stems = [key[:-cut] for cut in (1, 2, 3) if len(key) - cut >= _MIN_STEM]
    longer = len(key) >= _MIN_BEGINNING and index.begins(key)
    return longer or any(stem in known or index.holds(stem) for stem in stems)


def capitalizes_nouns(index: Index) -> bool:
    """Whether the documents are in German, judged by "und" and "the"."""
    return index.count("und") > index.count("the")
