"""JSON that holds everything and that a terminal can be shown."""

from __future__ import annotations

import json
import re
from typing import Any

# JSON itself escapes C0; a terminal would also obey C1 and what turns text around, lone surrogates
# cannot be written, and tag characters would travel on unseen.
_ESCAPED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]")


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """A value as JSON: readable letters of any script, the rest as escapes that lose nothing."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _ESCAPED.sub(lambda match: json.dumps(match[0])[1:-1], text)
