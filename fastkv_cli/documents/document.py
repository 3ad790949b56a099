"""What was read: the text of a document and where its pages lie in it."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

MAX_CHARACTERS = 20_000_000  # the most that is read of one document
MAX_PAGES = 50_000  # the most that are read of one PDF


@dataclass(frozen=True, slots=True)
class Page:
    """One page that was read: characters `start` to `end` (exclusive) of `Document.text`."""

    number: int
    start: int
    end: int


@dataclass(slots=True)
class LineGaps:
    """Where the lines of a text part from those of its file.

    Two numbers a gap, in arrays: as tuples, 5 million empty lines took 640 MB.

    Attributes:
        starts: from which character on, ascending.
        more: how many more lines the file has up to there; fewer where it is negative.
    """

    starts: array[int] = field(default_factory=lambda: array("i"))
    more: array[int] = field(default_factory=lambda: array("i"))

    def add(self, start: int, more: int) -> None:
        """Append one."""
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
        text: The cleaned text. Pages are set apart by one empty line, which belongs to none.
        num_pages: Pages in the file; None where the format has none (a plain text).
        pages: Those that were read and hold text, ascending.
        warnings: One line each, without the path: what was left out, or may be wrong.
        kind: The format, as people call it.
        empty: Pages that were read and hold no text, ascending, as the next two.
        failed: Pages that could not be read.
        left_out: Pages that were asked for and not reached, for a limit or a breakdown.
        gaps: Of a plain text or Markdown, where its lines part from the file's.
        read_s: Seconds it took to read, from when its bytes were there.
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
    gaps: LineGaps = field(default_factory=LineGaps, hash=False)
    read_s: float = field(default=0.0, compare=False)

    @property
    def num_characters(self) -> int:
        """Characters (code points) in the text."""
        return len(self.text)

    def page_at(self, character: int) -> int | None:
        """The 1-based number of the page that holds a character of the text.

        The empty line between two pages counts as the end of the first. None where there are no
        pages, or where the position lies outside the text.
        """
        if not 0 <= character < len(self.text):
            return None
        index = bisect_right(self.pages, character, key=lambda page: page.start) - 1
        return self.pages[index].number if index >= 0 else None

    def line_at(self, character: int) -> int:
        """The 1-based number of the line that holds a character of the text.

        It is the file's where that is a plain text or Markdown, and the text's otherwise.
        """
        return self.text.count("\n", 0, character) + 1 + self.gaps.more_at(character)
