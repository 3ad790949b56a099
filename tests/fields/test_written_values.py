"""Dates, numbers and other values as documents write them."""

from __future__ import annotations

import pytest

from fastkv_cli.fields.dates import find_dates, read_date, writes_month_first
from fastkv_cli.fields.numbers import find_numbers, read_number, writes_decimal_comma
from fastkv_cli.fields.spans import find_spans


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("May 18, 2023 or 2023-06-19", ["2023-05-18", "2023-06-19"]),
        ("3. März 2026, 28.09.24 und 1. 2. 2025", ["2026-03-03", "2024-09-28", "2025-02-01"]),
        ("le 1er août 2024", ["2024-08-01"]),
        ("5 de marzo de 2025.", ["2025-03-05"]),
        ("3rd of May 2020; 5-Mar-2020; Sept. 3, 2021", ["2020-05-03", "2020-03-05", "2021-09-03"]),
        ("2024年3月5日", ["2024-03-05"]),
        ("12/31/2024 and 03/04/2025", ["2024-12-31", "2025-03-04"]),
        ("31/12/2024 and 03/04/2025", ["2024-12-31", "2025-04-03"]),
        ("31.02.2024, version 3.3.3, 10.12.34.5, March 2024, 1999", []),
    ],
)
def test_dates(text: str, dates: list[str]) -> None:
    assert [each.value for each in find_dates(text)] == dates


def test_order_of_day_and_month() -> None:
    assert writes_month_first("Due May 3, 2024")
    assert not writes_month_first("Due 3 May 2024")
    assert read_date(" 3 May 2024 ") == "2024-05-03"
    assert read_date("on 3 May 2024") is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("$16,680.29", [16680.29]),
        ("7.099,35 EUR, 1.234 Stück, 3,5 kg", [7099.35, 1234, 3.5]),
        ("1\u202f234,50 € et 1 234,50 €", [1234.5, 1234.5]),
        ("65,535 bytes, 0.125, CHF 1'250.00", [65535, 0.125, 1250.0]),
        ("-5, −7.5 (3)", [-5, -7.5, 3]),
        ("2.5 million, 3 Mio., 4 tausend", [2_500_000, 3_000_000, 4000]),
        ("R-59915, PO97000, A/364-X, 2023-06-19, 5.1.2", []),
    ],
)
def test_numbers(text: str, numbers: list[float]) -> None:
    found = [each.value for each in find_numbers(text)]
    assert found == numbers
    assert [type(one) for one in found] == [type(one) for one in numbers]


def test_one_number() -> None:
    assert read_number("EUR 1,234.50") == 1234.5
    assert read_number("1 of 3") is None
    assert writes_decimal_comma("1,5 und 2,25")
    assert not writes_decimal_comma("1,500.25")


def test_spans() -> None:
    text = (
        "Title                Report no.\nNoise in Parks       TR-2021-24\n"
        "From: Cedar & Stone Ltd.\n- Call +42 791 703818 now. It is by Greta Dubois. It ends."
    )
    found = {text[start:end] for start, end in find_spans(text)}
    assert {"Noise in Parks", "TR-2021-24", "Cedar & Stone Ltd.", "+42 791 703818"} <= found
    assert {"Greta Dubois", "Title", "It is by Greta Dubois"} <= found
