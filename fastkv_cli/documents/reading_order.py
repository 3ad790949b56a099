"""Choose the reading order of a page: drawing order, unless that runs mostly upwards.

pypdf returns text in drawing order, which most programs keep to reading order, column by column.
Its layout mode sorts lines by position, and so reads across columns. It is better only for the
rare page that was drawn from the bottom up, or in no order.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdf import PageObject

_MAX_UPWARDS = 0.4  # of 356 ordinary pages, only one exceeded this: a page of figures
_MIN_CHARACTERS = 100
_MIN_KEPT = 0.95  # of the visible characters; layout mode drops rotated text and some fonts
_GAPS = re.compile(r"(?<=\S) {3,}")


def extract_text(page: PageObject) -> str:
    """The text of a page, in the better of pypdf's two orders."""
    drawing = _DrawingOrder()
    text = page.extract_text(visitor_text=drawing.show)
    if not drawing.runs_upwards:
        return text
    sorted_text = page.extract_text(extraction_mode="layout", layout_mode_space_vertically=False)
    if _num_visible(sorted_text) < _MIN_KEPT * _num_visible(text):
        return text
    return "\n".join(_GAPS.sub("  ", line.strip()) for line in sorted_text.split("\n"))


class _DrawingOrder:
    """Counts the characters drawn after a move up the page, and after a move down."""

    def __init__(self) -> None:
        self._height: float | None = None
        self._upwards: bool | None = None
        self._counts = {True: 0, False: 0}

    @property
    def runs_upwards(self) -> bool:
        """Whether more than 40% of the text was drawn upwards."""
        total = sum(self._counts.values())
        return total >= _MIN_CHARACTERS and self._counts[True] > _MAX_UPWARDS * total

    def show(
        self, text: str, page_matrix: list[float], text_matrix: list[float], _: Any, size: float
    ) -> None:
        """Count a piece of text; called by pypdf."""
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
