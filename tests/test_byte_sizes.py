"""Sizes and times as people write them."""

from __future__ import annotations

import pytest

from fastkv_cli.errors import UsageError
from fastkv_cli.sizes import format_size, parse_age, parse_size


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("5GB", 5 * 10**9),
        ("5gb", 5 * 10**9),
        ("2.5G", 2_500_000_000),
        ("16.1k", 16_100),
        (" 500 MB ", 500_000_000),
        ("4GiB", 4 * 2**30),
        ("1Ki", 1024),
        ("0.5TB", 500_000_000_000),
    ],
)
def test_sizes(text: str, num_bytes: int) -> None:
    assert parse_size(text) == num_bytes


@pytest.mark.parametrize("text", ["", "GB", "-1", "5 apples", "5PB", "1e9", "5iB", "5GB5", "٣GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read the size .*: write it as 5GB, 500MB or 0"):
        parse_size(text)


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (142_000_000, "142.0 MB"),
        (7_249_999_999, "7.2 GB"),
        (12_345_600_000_000_000, "12,345.6 TB"),
    ],
)
def test_sizes_are_shown(num_bytes: int, text: str) -> None:
    assert format_size(num_bytes) == text


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("1.5 W", 907_200)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1y", "1d 2h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read the time .*: write it as 30d, 12h or 2w"):
        parse_age(text)
