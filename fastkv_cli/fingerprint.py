"""A short name for a text as the model reads it, for what is kept on disk."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable


def fingerprint_tokens(token_ids: Iterable[int]) -> str:
    """64 hex digits that tell a sequence of token ids from all others."""
    return hashlib.sha256(array("q", token_ids).tobytes()).hexdigest()
