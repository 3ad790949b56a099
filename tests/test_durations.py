"""Durations as people read them."""

from __future__ import annotations

import pytest

from fastkv_cli.durations import format_duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (12.4, "12 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (3569, "59 min"),
        (3600, "1 h"),
        (4830, "1 h 20 min"),
        (90_000, "25 h"),
    ],
)
def test_they_are_rounded(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
