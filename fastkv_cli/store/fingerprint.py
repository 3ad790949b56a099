"""Fingerprint of a tokenized text, for the keys of data on disk."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from itertools import islice

_CHUNK_TOKENS = 1 << 16  # token ids hashed at a time, 8 bytes each


def fingerprint_tokens(token_ids: Iterable[int]) -> str:
    """64 hex digits that identify a sequence of token ids (SHA-256)."""
    digest, numbers = hashlib.sha256(), iter(token_ids)
    while chunk := array("q", islice(numbers, _CHUNK_TOKENS)):
        digest.update(chunk.tobytes())
    return digest.hexdigest()
