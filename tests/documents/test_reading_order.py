"""Pages are read as they were drawn, unless that was mostly upwards."""

from __future__ import annotations

import random
from io import BytesIO

import pytest
from pdf_maker import make_pdf, text_at
from pypdf import PdfReader

from fastkv_cli.documents.reading_order import extract_text

LINES = [f"line {number} of a page that is read downwards" for number in range(12)]


def read(content: bytes) -> list[str]:
    return extract_text(PdfReader(BytesIO(make_pdf([content]))).pages[0]).split("\n")


def drawn(order: list[int], x: int = 50) -> bytes:
    return b"".join(text_at(x, 700 - 14 * number, LINES[number]) for number in order)


@pytest.mark.parametrize(
    "order",
    [list(range(12)), list(reversed(range(12))), random.Random(1).sample(range(12), 12)],
    ids=["down", "up", "mixed"],
)
def test_lines_are_read_downwards_however_they_were_drawn(order: list[int]) -> None:
    assert read(drawn(order)) == LINES


def test_columns_drawn_one_after_the_other_stay_so() -> None:
    order = list(range(12))
    assert read(drawn(order) + drawn(order, x=330)) == [*LINES, *LINES]


def test_turned_text_is_not_lost_to_the_order() -> None:
    """Layout mode would garble it, so the page stays as it was drawn."""
    turned = b"".join(
        b"BT /F1 12 Tf 0 1 -1 0 %d 100 Tm (turned line %d of this page) Tj ET\n" % (400 + 14 * n, n)
        for n in range(12)
    )
    found = read(drawn(list(reversed(range(12)))) + turned)
    assert sum("turned line" in line for line in found) == 12
    assert sum(line in LINES for line in found) == 12
