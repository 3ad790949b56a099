"""Cut a text into what is quoted whole: sentences, table rows, list items and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

_LINE = re.compile(r"[^\n]+")
_ITEM = re.compile(
    r"(?:[-*+•◦▪‣○●–]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]|\d{1,3}(?:\.\d{1,3})+\.?|[A-Z]\.\d+(?:\.\d+)*)\s+\S"
)
_CELL = re.compile(r"\||\t+|\S {3,}(?=\S)")  # what parts the cells of a table's row
_SENTENCE_END = re.compile(r"(?<![.!?…؟۔।])[.!?…؟۔।]++[\"”’»)\]*_]*+(?=\s)|[。！？]++[”’」』）]*+")
_LAST_WORD = re.compile(r"[^\s(\[“\"]{1,12}\Z")
_LEADER = re.compile(
    r"(?<![.…·_])(?<![.…·_] )(?:[.…·_] ?+){3,}+[ \t]*+([\divxlc]{1,6})$"
)  # "Introduction ........ 12"
_ABBREVIATIONS = frozenset(
    """mr mrs ms dr prof st vs e.g i.e cf fig sec no vol pp p al capt col gen lt maj sgt gov rev hon
    jan feb mar apr jun jul aug sep sept oct nov dec bzw z.b d.h ca nr""".split()  # noqa: SIM905
)
MAX_SEGMENT = 400  # characters of a sentence, a row or an item that stays whole
_MAX_PIECE = 200  # of one that does not
_NARROW = 0.62  # of the usual width: a line that ends earlier was not broken to fit
_MAX_PAGE = 9999
_MAX_HEADING = 100  # characters


class Kind(IntEnum):
    """What a segment is."""

    SENTENCE, ITEM, ROW, HEADING, CONTENTS = range(5)


class Segment(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text, without white space around them."""

    start: int
    end: int
    kind: Kind


def find_segments(text: str, start: int, end: int) -> list[Segment]:
    """The segments of a stretch of a text, in order.

    A line that ends early ends a segment if the next one begins anew: extracted pages have no empty
    lines between their headings, paragraphs and rows.

    Args:
        text: of the document.
        start: of the stretch, as of a page.
        end: of the stretch; no segment reaches beyond it.
    """
    return [
        segment
        for first, last, kind in _find_blocks(text, start, end)
        for segment in _cut_block(text, first, last, kind)
    ]


class _Line(NamedTuple):
    start: int
    end: int
    kind: Kind  # a sentence's unless the line alone tells
    begins: bool  # an item or a heading


def _find_blocks(text: str, start: int, end: int) -> Iterator[Segment]:
    """Runs of lines that belong together: a paragraph, an item, a row."""
    lines = list(_read_lines(text, start, end))
    if not _is_contents(text, lines):  # a table with dots between its cells
        lines = [
            line._replace(kind=Kind.ROW) if line.kind is Kind.CONTENTS else line for line in lines
        ]
    widths = sorted(line.end - line.start for line in lines)
    narrow = _NARROW * widths[len(widths) * 3 // 4] if widths else 0.0
    first: _Line | None = None
    last: _Line | None = None
    for line in lines:
        if last and first and _parts(text, last, line, narrow):
            yield _block(text, first, last)
            first = None
        if first is None:
            first = line
        last = line
    if first is not None and last is not None:
        yield _block(text, first, last)


def _read_lines(text: str, start: int, end: int) -> Iterator[_Line]:
    for match in _LINE.finditer(text, start, end):
        line = match[0]
        own = line.strip()
        if not own:
            continue
        at = match.start() + line.index(own[0])
        kind, begins = Kind.SENTENCE, False
        if own[0] == "#" and own.lstrip("#")[:1] == " ":
            kind, begins = Kind.HEADING, True
        elif _LEADER.search(own):
            kind, begins = Kind.CONTENTS, True
        elif len(_CELL.findall(own)) >= 2:
            kind, begins = Kind.ROW, True
        elif _ITEM.match(own):
            begins = True
        yield _Line(at, at + len(own), kind, begins)


def _is_contents(text: str, lines: Sequence[_Line]) -> bool:
    """Whether the numbers behind the dots ascend, as those of pages do."""
    found = [
        _LEADER.search(text, line.start, line.end) for line in lines if line.kind is Kind.CONTENTS
    ]
    numbers = [int(match[1]) for match in found if match and match[1].isdecimal()]
    ascending = sum(one <= other for one, other in pairwise(numbers))
    return not numbers or max(numbers) <= _MAX_PAGE and ascending >= 0.8 * (len(numbers) - 1)


def _parts(text: str, last: _Line, line: _Line, narrow: float) -> bool:
    """Whether a line begins anew after those before it."""
    if line.begins or last.kind is not Kind.SENTENCE:
        return True
    if text.find("\n", text.find("\n", last.end) + 1, line.start) >= 0:  # an empty line
        return True
    width, mark = last.end - last.start, text[last.end - 1]
    if width > narrow or mark in ",;-–(":
        return False
    begin = text[line.start]
    return not begin.islower() and (mark in ".!?:…。" or begin.isupper() or begin.isdigit())


def _block(text: str, first: _Line, last: _Line) -> Segment:
    kind = first.kind
    if kind is Kind.SENTENCE and first.begins:
        kind = Kind.ITEM
    is_line = first.start == last.start
    is_short = last.end - first.start <= _MAX_HEADING and text[last.end - 1] not in ".!?,;。！？"
    if kind is Kind.SENTENCE and is_line and is_short:
        kind = Kind.HEADING
    return Segment(first.start, last.end, kind)


def _cut_block(text: str, start: int, end: int, kind: Kind) -> Iterator[Segment]:
    """The sentences of a paragraph or an item; a row and a heading stay whole."""
    if kind not in {Kind.SENTENCE, Kind.ITEM}:
        yield from _cut_long(text, start, end, kind)
        return
    at = start
    for match in _SENTENCE_END.finditer(text, start, end):
        behind = match.end()
        if behind >= end:
            break
        if not _is_end(text, at, match):
            continue
        yield from _cut_long(text, at, behind, kind)
        at = behind
        while text[at].isspace():
            at += 1
    if at < end:
        yield from _cut_long(text, at, end, kind)


def _cut_long(text: str, start: int, end: int, kind: Kind) -> Iterator[Segment]:
    """What is too long to be quoted whole, in pieces: at line ends, else between words."""
    while end - start > MAX_SEGMENT:
        most = start + _MAX_PIECE
        cut = max(text.rfind("\n", start + 1, most), 0) or max(text.rfind(" ", start + 1, most), 0)
        cut = cut or most
        last = cut
        while text[last - 1].isspace():
            last -= 1
        yield Segment(start, last, kind)
        start = cut
        while text[start].isspace():
            start += 1
    yield Segment(start, end, kind)


def _is_end(text: str, start: int, mark: re.Match[str]) -> bool:
    """Whether a mark ends a sentence, not an abbreviation, an initial or an item's number."""
    if mark[0][0] in "。！？؟۔।":
        return True
    follows = text[mark.end() : mark.end() + 4].lstrip()[:1]
    if follows.islower():
        return False
    found = _LAST_WORD.search(text, max(start, mark.start() - 12), mark.start())
    last = found[0] if found else ""
    if mark.start() - start == len(last) and (
        last.isdigit() or len(last) == 1
    ):  # "12." at the head of an item
        return False
    is_initial = len(last) == 1 and last.isupper()
    return not (mark[0][0] == "." and (is_initial or last.lower() in _ABBREVIATIONS))
