"""What a document's text may take before a model reads it: time, and memory that is there."""

from __future__ import annotations

import time

from ..documents import Document
from ..documents.source import label
from ..errors import DocumentError, OutOfMemoryError
from ..system.free_memory import available_memory_bytes

# Bytes a character beside the text itself. Ids and places take 8 bytes a token, and a character has
# at most as many tokens as UTF-8 has bytes: 4, or 1 in ASCII. The rest are copies of the text that
# is made safe, and places to cut it. Measured: up to 31 of emoji, 14 of short lines in ASCII.
_BYTES_A_CHARACTER, _BYTES_AN_ASCII_CHARACTER = 48, 20
_BYTES_A_CHARACTER_OF_A_PIECE = 1000  # while it is tokenized: up to 906, of emoji
_SPARE_BYTES = 16 * 2**20
# Where reading was ended by the limit, so that some of the document is left out, and the rest would
# have no time at all: so much of the limit for it.
_LEAST_SHARE = 0.25


class TextLimits:
    """The limits of a document's text; the time runs from here on, with what reading took."""

    def __init__(self, document: Document, limit_s: float | None = None) -> None:
        """Note what there is to do.

        Args:
            document: as it was read.
            limit_s: seconds for reading it and for this; None is no limit.
        """
        self._name = label(document.path)
        self._num_characters = document.num_characters
        self._limit_s = limit_s
        self._ends_at = float("inf")
        if limit_s is not None:
            least_s = _LEAST_SHARE * limit_s if document.left_out else 0.0
            self._ends_at = time.monotonic() + max(limit_s - document.read_s, least_s)
        is_ascii = document.text.isascii()
        self._per_character = _BYTES_AN_ASCII_CHARACTER if is_ascii else _BYTES_A_CHARACTER

    def check(self, done: int = 0, size: int = 0) -> None:
        """See that time and memory are left.

        Args:
            done: characters that are done.
            size: characters of the piece that comes next.

        Raises:
            DocumentError: when the time is up.
            OutOfMemoryError: when the memory would not be enough.
        """
        if time.monotonic() > self._ends_at:
            raise DocumentError(
                f"{self._name} could not be made ready for the model "
                f"(stopped after {self._limit_s:g} s)",
                "allow more time with --extract-timeout",
            )
        left = max(self._num_characters - done, 0)
        needed = left * self._per_character + size * _BYTES_A_CHARACTER_OF_A_PIECE + _SPARE_BYTES
        free = available_memory_bytes()
        if free is not None and needed > free:
            raise OutOfMemoryError(
                f"not enough memory for the text of {self._name}: its {self._num_characters:,} "
                f"characters need about {needed / 2**20:,.0f} MiB more, and "
                f"{free / 2**20:,.0f} MiB are free",
                "end other programs, or give a part of the document",
            )
