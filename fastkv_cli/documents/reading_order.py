"""The order in which a page is read: as it was drawn, unless that was mostly upwards.

pypdf gives the text in the order of the drawing, which programs keep to the order of reading,
column by column. Its layout mode sorts lines by their place and so reads across columns. The rare
page that was drawn from its foot up, or in no order, is better off with it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdf import PageObject

_MAX_UPWARDS = 0.4  # of 356 ordinary pages one was drawn more upwards, a page of figures
_MIN_CHARACTERS = 100
_MIN_KEPT = 0.95  # of the visible characters; layout mode drops turned text, and odd fonts
_GAPS = re.compile(r"(?<=\S) {3,}")


def extract_text(page: PageObject) -> str:
    """The text of a page, in the better of pypdf's two orders."""
    drawing = _Drawing()
    text = page.extract_text(visitor_text=drawing.show)
    if not drawing.goes_up:
        return text
    sorted_text = page.extract_text(extraction_mode="layout", layout_mode_space_vertically=False)
    if _num_visible(sorted_text) < _MIN_KEPT * _num_visible(text):
        return text
    return "\n".join(_GAPS.sub("  ", line.strip()) for line in sorted_text.split("\n"))


class _Drawing:
    """How many characters were drawn on lines that were reached from below, and from above."""

    def __init__(self) -> None:
        self._height: float | None = None
        self._upwards: bool | None = None
        self._counts = {True: 0, False: 0}

    @property
    def goes_up(self) -> bool:
        """Whether much of the text was drawn upwards."""
        total = sum(self._counts.values())
        return total >= _MIN_CHARACTERS and self._counts[True] > _MAX_UPWARDS * total

    def show(
        self, text: str, page_matrix: list[float], text_matrix: list[float], _: Any, size: float
    ) -> None:
        """Take a piece of text, as pypdf tells of it."""
        length = len(text.strip())
        if not length:
            return
        height = page_matrix[1] * text_matrix[4] + page_matrix[3] * text_matrix[5] + page_matrix[5]
        line = 0.75 * abs(size * text_matrix[3] * page_matrix[3])
        if self._height is not None and abs(height - self._height) > max(line, 3):
            self._upwards = height > self._height
        self._height = height
        if self._upwards is not None:
            self._counts[self._upwards] += length


def _num_visible(text: str) -> int:
    return sum(map(len, text.split()))
