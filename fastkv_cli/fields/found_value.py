"""A value as it stands in a text."""

from __future__ import annotations

from typing import NamedTuple


class FoundValue(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text, and the value they stand for."""

    start: int
    end: int
    value: str | float | int | None
