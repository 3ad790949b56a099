"""How `fastkv extract` prints a document: its pages under headings, each status in a word."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Protocol, TypeVar

from .document import Document

READ, EMPTY, FAILED, LEFT_OUT = "read", "no text", "could not be read", "left out"
BREAK = "\n\n"  # between headings and texts


class Numbered(Protocol):
    """A page with its number, from 1, and its status."""

    @property
    def number(self) -> int: ...
    @property
    def status(self) -> str: ...


_PageT = TypeVar("_PageT", bound=Numbered)


def find_runs(pages: Iterable[_PageT]) -> Iterator[list[_PageT]]:
    """Pages with text one by one; neighbours without text and with the same status together."""
    for is_read, group in groupby(pages, key=lambda page: page.status == READ):
        if is_read:
            yield from ([page] for page in group)
        else:
            yield from (list(run) for _, run in groupby(group, key=lambda page: page.status))


def name_span(run: Sequence[Numbered]) -> str:
    """`3`, or `3–5`."""
    first, last = run[0].number, run[-1].number
    return f"{first}" if first == last else f"{first}–{last}"


def name_pages(run: Sequence[Numbered], num_pages: int) -> str:
    """The heading of a run: `--- page 3 of 9 ---`, or `--- pages 4–5 of 9: no text ---`."""
    pages = f"--- {'page' if len(run) == 1 else 'pages'} {name_span(run)} of {num_pages}"
    status = run[0].status
    return f"{pages} ---" if status == READ else f"{pages}: {status} ---"


class PrintedPlaces:
    """Where characters of a document's text stand in what `fastkv extract` prints of it alone."""

    def __init__(self, document: Document) -> None:
        """Lay the pages out."""
        self._starts: list[int] = []  # of the pages with text, in the document
        self._shifts: list[int] = []  # from there to what is printed
        at = 0
        texts = {page.number: page for page in document.pages}
        for run in find_runs(_Status.all_of(document)):
            page = texts.get(run[0].number)
            at += len(name_pages(run, document.num_pages or 0)) + len(BREAK)
            if page is not None:
                self._starts.append(page.start)
                self._shifts.append(at - page.start)
                at += page.end - page.start + len(BREAK)

    def place_of(self, character: int) -> int:
        """Where a character of the document's text is printed."""
        page = bisect_right(self._starts, character) - 1
        return character + (self._shifts[page] if page >= 0 else 0)


class _Status:
    __slots__ = ("number", "status")

    def __init__(self, number: int, status: str) -> None:
        self.number, self.status = number, status

    @staticmethod
    def all_of(document: Document) -> list[_Status]:
        """Every page of a document, by number."""
        numbers = {
            READ: [page.number for page in document.pages],
            EMPTY: document.empty,
            FAILED: document.failed,
            LEFT_OUT: document.left_out,
        }
        pages = [_Status(number, status) for status, each in numbers.items() for number in each]
        return sorted(pages, key=lambda page: page.number)
