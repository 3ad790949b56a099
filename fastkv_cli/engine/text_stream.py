"""Decoding token ids to text while they are generated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_INCOMPLETE = "\ufffd"
# The most tokens that are decoded again with each new one, and how many of them remain when the
# tail is cut: the text of a token can depend on tokens before it, but not on distant ones.
_MAX_TAIL, _MIN_TAIL = 32, 8


class TextStream:
    """Decodes one growing answer; buffers bytes that are not yet a complete character."""

    def __init__(self, tokenizer: Any, literals: Mapping[int, str] | None = None) -> None:
        """Decode with a tokenizer.

        Args:
            tokenizer: a transformers tokenizer.
            literals: tokens that stand for these texts, even where they are special.
        """
        self._tokenizer = tokenizer
        self._literals = literals or {}
        self._token_ids: list[int] = []
        self._tail_start = 0
        self._num_emitted = 0  # characters of the tail that were returned

    def push(self, token_id: int) -> str:
        """Add a token; returns the complete characters that it adds, possibly none."""
        literal = self._literals.get(token_id)
        if literal is not None:
            buffered = self.flush()
            self._token_ids.clear()
            self._tail_start = self._num_emitted = 0
            return buffered + literal
        self._token_ids.append(token_id)
        tail = self._decode(self._tail_start)
        return "" if tail.endswith(_INCOMPLETE) else self._advance(tail)

    def flush(self) -> str:
        """Return what is still buffered at the end of the answer."""
        return self._advance(self._decode(self._tail_start))

    def _advance(self, tail: str) -> str:
        new = tail[self._num_emitted :]
        self._num_emitted = len(tail)
        if len(self._token_ids) - self._tail_start > _MAX_TAIL:
            self._tail_start = len(self._token_ids) - _MIN_TAIL
            self._num_emitted = len(self._decode(self._tail_start))
        return new

    def _decode(self, start: int) -> str:
        text: str = self._tokenizer.decode(self._token_ids[start:], skip_special_tokens=True)
        return text
