"""Parse and format sizes and ages."""

from __future__ import annotations

import re
from decimal import Decimal

from .errors import UsageError

# A number as users write it, as a regular expression. Its length is bounded, because Python rejects
# an int of more than 4,300 digits, and a float of an int above 10^308.
NUMBER = r"\d{1,18}(?:\.\d{1,18})?"
_SIZE = re.compile(rf"\s*+({NUMBER})\s*+([kmgt]?)(i?)b?\s*+", re.IGNORECASE | re.ASCII)
_AGE = re.compile(rf"\s*+({NUMBER})\s*+([mhdw])\s*+", re.IGNORECASE | re.ASCII)
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def parse_size(text: str) -> int:
    """Parse a number of bytes: `5GB`, `2.5G` or `500 MB` (powers of 1000), `4GiB` (of 1024), `0`.

    Raises:
        UsageError: when the text is not a size.
    """
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise UsageError(f"cannot read the size {text!r}", "write it as 5GB, 500MB or 0")
    unit = (1024 if match[3] else 1000) ** " kmgt".index(match[2].lower() or " ")
    return int(Decimal(match[1]) * unit)


def format_size(num_bytes: int) -> str:
    """Format as `7.2 GB`: powers of 1000, like disk sizes and `parse_size`."""
    size, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.95 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.0f} B" if units[0] == "B" else f"{size:,.1f} {units[0]}"


def parse_age(text: str) -> float:
    """Parse a time in seconds: `90m`, `12h`, `30d` or `2w`.

    Raises:
        UsageError: when the text has another form.
    """
    match = _AGE.fullmatch(text)
    if match is None:
        raise UsageError(f"cannot read the time {text!r}", "write it as 30d, 12h or 2w")
    return float(Decimal(match[1]) * _SECONDS[match[2].lower()])
