"""A loaded document: its text, and where its pages are in it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

from .omissions import Omission

MAX_CHARACTERS = 20_000_000  # of one document
MAX_PAGES = 50_000  # of one PDF


@dataclass(frozen=True, slots=True)
class Page:
    """A page with text: characters `start` to `end` (exclusive) of `Document.text`.

    Attributes:
        number: 1-based, in the file.
        start, end: its span.
        label: what is printed on it, as "iv", where the file says so and it is not the number.
        confidence: of OCR, from 0 to 1; None where the text is the file's own.
    """

    number: int
    start: int
    end: int
    label: str = ""
    confidence: float | None = None


@dataclass(slots=True)
class LineGaps:
    """Where line numbers of the cleaned text deviate from those of the file.

    Stored as two numbers per gap, in arrays: as tuples, 5 million empty lines took 640 MB.

    Attributes:
        starts: the character at which each gap begins, ascending.
        more: how many more lines the file has up to there; negative if fewer.
    """

    starts: array[int] = field(default_factory=lambda: array("i"))
    more: array[int] = field(default_factory=lambda: array("i"))

    def add(self, start: int, more: int) -> None:
        """Append a gap."""
        self.starts.append(start)
        self.more.append(more)

    def more_at(self, character: int) -> int:
        """How many more lines the file has up to a character of the text."""
        index = bisect_right(self.starts, character) - 1
        return self.more[index] if index >= 0 else 0


@dataclass(frozen=True, slots=True)
class Document:
    """A document as text.

    Attributes:
        path: As the user typed it; "-" for standard input.
        text: The cleaned text. Pages are separated by one empty line, which belongs to neither.
        num_pages: Pages in the file; None if the format has none (a plain text).
        pages: The pages with text, ascending.
        warnings: One line each, without the path: what was left out, or may be wrong.
        kind: The format's display name.
        empty: Numbers of pages without text, ascending, like the next two.
        failed: Numbers of pages that could not be read.
        omissions: What was left out of the pages that were read; one warning names all of it.
        left_out: Numbers of selected pages not reached because of a limit or a crash.
        gaps: For plain text and Markdown, where its line numbers deviate from the file's.
        read_s: Seconds it took to read, from its last byte on.
    """

    path: str
    text: str
    num_pages: int | None
    pages: tuple[Page, ...]
    warnings: tuple[str, ...]
    kind: str = "text"
    empty: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    omissions: tuple[Omission, ...] = ()
    gaps: LineGaps = field(default_factory=LineGaps, hash=False)
    read_s: float = field(default=0.0, compare=False)

    @property
    def num_characters(self) -> int:
        """Characters (code points) in the text."""
        return len(self.text)

    def page_at(self, character: int) -> int | None:
        """The 1-based number of the page that contains a character of the text.

        The empty line between two pages counts as the end of the first. None if there are no pages,
        or if the position is outside the text.
        """
        page = self.page_of(character)
        return None if page is None else page.number

    def page_of(self, character: int) -> Page | None:
        """The page that contains a character, as for `page_at`."""
        if not 0 <= character < len(self.text):
            return None
        index = bisect_right(self.pages, character, key=lambda page: page.start) - 1
        return self.pages[index] if index >= 0 else None

    def line_at(self, character: int) -> int:
        """The 1-based number of the line that contains a character of the text.

        Lines are those of the file for plain text and Markdown, and those of the text otherwise.
        """
        return self.text.count("\n", 0, character) + 1 + self.gaps.more_at(character)
