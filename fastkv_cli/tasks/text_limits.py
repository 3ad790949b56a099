"""Limit the time and memory that a document's text may take before the model runs."""

from __future__ import annotations

import time

from ..documents import Document
from ..documents.source import label
from ..errors import DocumentError, OutOfMemoryError
from ..system.free_memory import available_memory_bytes

# Bytes per character besides the text itself. Ids and positions take 8 bytes per token, and a
# character has at most as many tokens as UTF-8 bytes: 4, or 1 in ASCII. The rest are copies of the
# text made by disarming, and the cuts. Measured: up to 31 for emoji, 14 for short lines in ASCII.
_BYTES_PER_CHARACTER, _BYTES_PER_ASCII_CHARACTER = 48, 20
_BYTES_PER_CHARACTER_OF_PIECE = 1000  # while it is tokenized: up to 906 measured, for emoji
_SPARE_BYTES = 16 * 2**20
# If reading hit the time limit and left out some of the document, no time would remain for the text
# that was read: it gets this share of the limit.
_MIN_SHARE = 0.25


class TextLimits:
    """The limits of one document's text; the clock includes the time spent on reading it."""

    def __init__(self, document: Document, limit_s: float | None = None) -> None:
        """Start the clock.

        Args:
            document: the document.
            limit_s: time limit in seconds for reading and this together; None for no limit.
        """
        self._name = label(document.path)
        self._num_characters = document.num_characters
        self._limit_s = limit_s
        self._ends_at = float("inf")
        if limit_s is not None:
            min_s = _MIN_SHARE * limit_s if document.left_out else 0.0
            self._ends_at = time.monotonic() + max(limit_s - document.read_s, min_s)
        is_ascii = document.text.isascii()
        self._per_character = _BYTES_PER_ASCII_CHARACTER if is_ascii else _BYTES_PER_CHARACTER

    def check(self, done: int = 0, size: int = 0) -> None:
        """Check that time and memory are left.

        Args:
            done: characters done.
            size: characters of the next piece.

        Raises:
            DocumentError: when the time limit is exceeded.
            OutOfMemoryError: when the free memory is not enough.
        """
        if time.monotonic() > self._ends_at:
            raise DocumentError(
                f"{self._name} could not be prepared for the model "
                f"(stopped after {self._limit_s:g} s)",
                "allow more time with --extract-timeout",
            )
        left = max(self._num_characters - done, 0)
        needed = left * self._per_character + size * _BYTES_PER_CHARACTER_OF_PIECE + _SPARE_BYTES
        free = available_memory_bytes()
        if free is not None and needed > free:
            raise OutOfMemoryError(
                f"not enough memory for the text of {self._name}: its {self._num_characters:,} "
                f"characters need about {needed / 2**20:,.0f} MiB more, and "
                f"{free / 2**20:,.0f} MiB are free",
                "end other programs, or give a part of the document",
            )
