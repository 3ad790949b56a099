"""JSON that loses nothing and is safe to print on a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

# JSON itself escapes C0. C1 controls and direction marks also drive a terminal, lone surrogates
# cannot be encoded, and tag characters are invisible and would be copied along.
_ESCAPED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]")


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """A value as JSON: letters of any script as they are, unsafe characters as escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _ESCAPED.sub(lambda match: json.dumps(match[0])[1:-1], text)
