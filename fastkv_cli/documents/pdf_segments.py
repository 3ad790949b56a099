"""Characters and words of a PDF page with their places, and segments of lines that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(slots=True)
class Char:
    """A character and its place, in points from the lower left corner.

    Attributes:
        text: One character, the letters of a ligature, or a word in one font and size; in `Words`
            several.
        left, right: Its advance box.
        base: Its baseline.
        size: The height of its font's line, about 1.2 times the font size.
    """

    text: str
    left: float
    right: float
    base: float
    size: float


@dataclass(slots=True)
class Words(Char):
    """Several words in one font and size, evenly spaced: a line, or a part of it.

    Attributes:
        widths: Of its characters, in points.
        space: Between its words.
    """

    widths: Mapping[str, float]
    space: float

    def split(self) -> Iterator[Char]:
        """The words and the spaces between them."""
        left = self.left
        for at, word in enumerate(self.text.split(" ")):
            if at:
                yield Char(" ", left, left, self.base, self.size)
                left += self.space
            right = left + sum(map(self.widths.__getitem__, word))
            yield Char(word, left, right, self.base, self.size)
            left = right


Segment = list[Char]
"""Characters on one line without an end of line that PDFium saw between them."""


def space_after(char: Char) -> Char:
    """A space without a width."""
    return Char(" ", char.right, char.right, char.base, char.size)


def split_words(chars: Segment) -> Segment:
    """The characters with each `Words` in its words."""
    if not any(isinstance(char, Words) for char in chars):
        return chars
    parts = (char.split() if isinstance(char, Words) else (char,) for char in chars)
    return [char for part in parts for char in part]
