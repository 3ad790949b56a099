"""Tells cells of tables that hold a number."""

from __future__ import annotations

_AROUND = " ()[]%*†‡+-−–—±≤≥<>~$€£¥"  # what may stand around a number
_IN_NUMBER = frozenset("0123456789.,'’ ")
_DASHES = frozenset("-–—")


def is_number(text: str) -> bool:
    """Whether a cell holds a number, or a dash in place of one."""
    bare = text.strip(_AROUND)
    return text in _DASHES or (
        any(map(str.isdigit, bare)) and all(character in _IN_NUMBER for character in bare)
    )
