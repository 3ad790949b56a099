"""From token ids to text as they come."""

from __future__ import annotations

from typing import Any

_INCOMPLETE = "\ufffd"
# Tokens that are decoded again with each new one, at most: what a token says can depend on those
# before it, but not on those far back.
_MAX_TAIL, _MIN_TAIL = 32, 8


class TextStream:
    """Decodes a growing answer; holds back bytes that are not yet a whole character."""

    def __init__(self, tokenizer: Any) -> None:
        """Start an answer."""
        self._tokenizer = tokenizer
        self._token_ids: list[int] = []
        self._tail_start = 0
        self._given = 0  # characters of the tail that were given

    @property
    def text(self) -> str:
        """All of the answer so far, special tokens left out."""
        return self._decode(0)

    def push(self, token_id: int) -> str:
        """Add a token; gives the text that is new and whole, maybe none."""
        self._token_ids.append(token_id)
        tail = self._decode(self._tail_start)
        return "" if tail.endswith(_INCOMPLETE) else self._advance(tail)

    def flush(self) -> str:
        """What was held back at the end."""
        return self._advance(self._decode(self._tail_start))

    def _advance(self, tail: str) -> str:
        new = tail[self._given :]
        self._given = len(tail)
        if len(self._token_ids) - self._tail_start > _MAX_TAIL:
            self._tail_start = len(self._token_ids) - _MIN_TAIL
            self._given = len(self._decode(self._tail_start))
        return new

    def _decode(self, start: int) -> str:
        text: str = self._tokenizer.decode(self._token_ids[start:], skip_special_tokens=True)
        return text
