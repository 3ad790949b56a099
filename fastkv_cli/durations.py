"""Durations as people read them."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """An estimate: `0.4 s`, `12 s`, `5 min` or `1 h 20 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
