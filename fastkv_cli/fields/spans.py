"""Find what can be the value of a field in a text: cells, text behind labels, names, codes."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE = re.compile(r"[^\n]+")
_GAP = re.compile(r" {3,}|[ ]*\t[ \t]*|[ ]?\|[ ]?")
_BULLET = re.compile(r"(?:[-*+•–]|\d{1,2}[.)])[ ]{1,3}|#{1,6} ")
LABEL = re.compile(r"[^\s:：][^:：\n]{0,50}?[ \u00a0]?[:：][ \t]{1,20}(?=\S)")
_SENTENCE = re.compile(r"(?<=[.!?])[ ](?=[A-ZÀ-ÖØ-Þ¿¡„“\"(])")
_CODE = re.compile(r"(?<![^\s(\[„“\"])[^\s\d@]{0,20}[\d@]\S{0,60}")
_PHONE = re.compile(r"(?<![\w+])(?:\+|\(?0)\d[\d ()/-]{5,20}\d(?!\w)")
_WORD = r"[A-ZÀ-ÖØ-Þ][\w'’.&-]{0,30}"
_NAME = re.compile(
    rf"(?<![\w'’-]){_WORD}(?: (?:&|and|und|et|y|e|de|du|des|del|la|le|of|the|von|van|der|for)(?= )"
    rf"(?: (?:de|la|the|der))?(?= [A-ZÀ-ÖØ-Þ])| {_WORD}){{0,7}}"
)
_QUOTED = re.compile(r"[“„\"«]([^“”„\"«»\n]{2,120})[”“\"»]")
_ENDS = " \t\u00a0.,;:!?)]}\"”»’'…"
_BEGINS = ' \t\u00a0,;:([{"“„«'
_MOST_CUT = 4  # words at the beginning of a name, as of a greeting
_TITLES = frozenset(
    (*"abcdefghijklmnopqrstuvwxyz", "dr", "mr", "mrs", "ms", "st", "prof", "mme", "sra")
)
_MOST = 160  # characters of a value
_KEEPS_STOP = re.compile(r"(?:\b(?:Inc|Ltd|Co|Corp|Jr|Sr|St|No|e\.V)|\b[A-Z](?:\.[A-Z])+)\.\Z")


def find_spans(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """The spans of a text that can be a value, as (start, end) in characters; each once, in order.

    Args:
        text: of a document.
        start: where to begin, in characters.
        end: where to stop; None at the end of the text.
    """
    found: dict[tuple[int, int], None] = {}
    for line in _LINE.finditer(text, start, len(text) if end is None else end):
        for span in _in_line(text, line.start(), line.end()):
            cut = _strip(text, *span)
            if cut is not None:
                found[cut] = None
    return sorted(found)


def _in_line(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for first, last in cells_of(text, start, end):
        begin = first
        if bullet := _BULLET.match(text, begin, last):
            begin = bullet.end()
        if label := LABEL.match(text, begin, last):
            begin = label.end()
        yield begin, last
        for span in sentences_of(text, begin, last):
            yield _behind_label(text, *span)
        for pattern in (_CODE, _PHONE):
            yield from (match.span() for match in pattern.finditer(text, first, last))
        starts = {span[0] for span in sentences_of(text, begin, last)}
        for match in _NAME.finditer(text, first, last):
            if match.start() not in starts or " " in match[0]:
                yield from _names_in(text, *match.span())
        yield from (match.span(1) for match in _QUOTED.finditer(text, first, last))


def sentences_of(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The sentences of a line or cell, as spans."""
    at = start
    for gap in _SENTENCE.finditer(text, start, end):
        yield at, gap.start()
        at = gap.end()
    yield at, end


def _behind_label(text: str, start: int, end: int) -> tuple[int, int]:
    label = LABEL.match(text, start, end)
    return (label.end() if label else start), end


def _names_in(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A run of capitalized words, without its first ones too, and up to a full stop."""
    last, stop = end, text.find(". ", start, end)
    if stop > 0 and text[text.rfind(" ", start, stop) + 1 : stop].lower() not in _TITLES:
        last = stop + 1  # kept by an abbreviation, as of Ltd.
        if " " in text[stop + 2 : end]:
            yield stop + 2, end
    at = start
    for _ in range(_MOST_CUT):
        yield at, last
        at = text.find(" ", at, last) + 1
        if not at:
            break


def cells_of(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The cells of a line, as spans; the whole line if it has no gaps."""
    at = start
    for gap in _GAP.finditer(text, start, end):
        if gap.start() > at:
            yield at, gap.start()
        at = gap.end()
    if at < end:
        yield at, end


def _strip(text: str, start: int, end: int) -> tuple[int, int] | None:
    """A span without the marks around it; None if nothing is left, or too much."""
    while start < end and text[start] in _BEGINS:
        if text[start] == "(" and text.find(")", start, end - 1) > 0:
            break
        start += 1
    while end > start and text[end - 1] in _ENDS:
        if text[end - 1] == "." and _KEEPS_STOP.search(text, max(start, end - 12), end):
            break
        if text[end - 1] in ")]" and text.count("(", start, end) >= text.count(")", start, end) > 0:
            break
        end -= 1
    return (start, end) if 0 < end - start <= _MOST else None
