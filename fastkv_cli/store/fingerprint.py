"""A short name for a text as the model reads it, for what is kept on disk."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable
from itertools import islice

_AT_ONCE = 1 << 16  # token ids, of 8 bytes each


def fingerprint_tokens(token_ids: Iterable[int]) -> str:
    """64 hex digits that tell a sequence of token ids from all others."""
    digest, numbers = hashlib.sha256(), iter(token_ids)
    while some := array("q", islice(numbers, _AT_ONCE)):
        digest.update(some.tobytes())
    return digest.hexdigest()
