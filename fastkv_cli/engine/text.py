"""From token ids to text as they come."""

from __future__ import annotations

from typing import Any

_INCOMPLETE = "\ufffd"


class TextStream:
    """Decodes a growing answer; holds back bytes that are not yet a whole character."""

    def __init__(self, tokenizer: Any) -> None:
        """Start an answer."""
        self._tokenizer = tokenizer
        self._token_ids: list[int] = []
        self._given = ""

    @property
    def text(self) -> str:
        """All of the answer so far, special tokens left out."""
        text: str = self._tokenizer.decode(self._token_ids, skip_special_tokens=True)
        return text

    def push(self, token_id: int) -> str:
        """Add a token; gives the text that is new and whole, maybe none."""
        self._token_ids.append(token_id)
        text = self.text
        return "" if text.endswith(_INCOMPLETE) else self._advance(text)

    def flush(self) -> str:
        """What was held back at the end."""
        return self._advance(self.text)

    def _advance(self, text: str) -> str:
        new = text[len(self._given) :]
        self._given = text
        return new
