"""Tables over a page break: one table, with its header once, whatever stands at the page's edges."""

from __future__ import annotations

from pathlib import Path

import pytest
from pdf_maker import make_pdf, text_at

from fastkv_cli.documents import Document, load_document

LEFTS = [50, 250, 350]
HEADER = ["Place", "2030", "2031"]


def cells(first: int, last: int) -> list[list[str]]:
    return [[f"Mill {at}", f"{at},204", f"{at}"] for at in range(first, last)]


def drawn(rows: list[list[str]], top: float) -> bytes:
    return b"".join(
        text_at(x, top - 20 * at, cell)
        for at, row in enumerate(rows)
        for x, cell in zip(LEFTS, row, strict=True)
        if cell
    )


def load(tmp_path: Path, *pages: bytes) -> Document:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(list(pages)))
    return load_document(str(path))


def markdown(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "| --- | --- | --- |", *lines[1:]])


WHOLE = markdown([HEADER, *cells(1, 10)])


@pytest.mark.parametrize(
    "second", [[HEADER, *cells(6, 10)], cells(6, 10)], ids=["header again", "header once"]
)
def test_one_table_with_its_header_once(tmp_path: Path, second: list[list[str]]) -> None:
    before = text_at(50, 760, "The mills of the valley, as counted by the office in spring:")
    behind = text_at(50, 400, "All of them were closed in the following year, by order.")
    document = load(
        tmp_path, before + drawn([HEADER, *cells(1, 6)], 700), drawn(second, 760) + behind
    )
    first, rest = document.pages
    assert WHOLE in document.text
    assert document.text[: first.end].endswith("| Mill 5 | 5,204 | 5 |")
    assert document.text[rest.start : rest.end].startswith("| Mill 6 | 6,204 | 6 |")
    assert document.text.endswith("by order.")


def test_a_single_row_behind_the_break_is_a_row(tmp_path: Path) -> None:
    behind = text_at(50, 600, "All of them were closed in the following year, by order.")
    document = load(tmp_path, drawn([HEADER, *cells(1, 9)], 760), drawn(cells(9, 10), 780) + behind)
    assert document.text.startswith(WHOLE + "\nAll of them")


def test_it_goes_on_over_pages_between_headers_and_footers(tmp_path: Path) -> None:
    def page(head: str, rows: list[list[str]], more: bytes = b"") -> bytes:
        return text_at(50, 810, head) + drawn(rows, 760) + more

    end = text_at(50, 300, "All of them were closed.")
    foot = text_at(50, 30, "Printed by the office")
    document = load(
        tmp_path,
        page("Yearbook of the valley 1", [HEADER, *cells(1, 5)], foot),
        page("Yearbook of the valley 2", [HEADER, *cells(5, 10)], end),
    )
    assert WHOLE in document.text
    for words in ("Yearbook of the valley 1", "Yearbook of the valley 2", "Printed by the office"):
        assert document.text.count(words) == 1
    long = load(
        tmp_path, *(page("Yearbook", [HEADER, *cells(at, at + 4)]) for at in range(1, 21, 4))
    )
    assert long.text == f"Yearbook\n{markdown([HEADER, *cells(1, 21)])}"


def test_another_table_stays_another(tmp_path: Path) -> None:
    other = [["Ferry", "Trips", "Guests"], *cells(6, 10)]
    text = load(tmp_path, drawn([HEADER, *cells(1, 6)], 700), drawn(other, 760)).text
    assert text.count("| --- | --- | --- |") == 2
    assert "| Ferry | Trips | Guests |\n| --- |" in text


def test_text_between_them_parts_two_tables(tmp_path: Path) -> None:
    between = text_at(50, 780, "Those of the hills were counted by another office, in autumn.")
    second = between + drawn([HEADER, *cells(6, 10)], 740)
    text = load(tmp_path, drawn([HEADER, *cells(1, 6)], 700), second).text
    assert text.count("| --- | --- | --- |") == text.count("| Place |") == 2


def head(*parts: str) -> bytes:
    """A running head over the first and the last column."""
    return b"".join(text_at(x, 810, part) for x, part in zip((50, 350), parts, strict=True))


PROSE = text_at(50, 600, "All of them were closed in the following year, by order.")


@pytest.mark.parametrize(
    "second", [cells(8, 9), []], ids=["above a row of the table", "above prose"]
)
def test_a_running_head_in_two_parts_is_no_row(tmp_path: Path, second: list[list[str]]) -> None:
    table = drawn([HEADER, *cells(1, 8)], 740)
    document = load(
        tmp_path,
        head("Yearbook 2031", "11") + table,
        head("Yearbook 2031", "12") + drawn(second, 740) + PROSE,
    )
    assert markdown([HEADER, *cells(1, 8), *second]) in document.text
    assert document.text.endswith(
        "\nYearbook 2031 12\nAll of them were closed in the following year, by order."
    )


def test_running_heads_of_left_and_right_pages_are_no_rows(tmp_path: Path) -> None:
    pages = [PROSE, drawn([HEADER, *cells(1, 8)], 740), PROSE]
    heads = [head("Yearbook", "11"), head("12", "Yearbook"), head("Yearbook", "13")]
    text = load(tmp_path, *map(bytes.__add__, heads, pages)).text
    assert text.count("| --- | --- | --- |") == 1
    assert "| 7,204 | 7 |\n\nYearbook 13\nAll of them" in text


WORDS = [["Mill", "Miller", "wheat"], ["Forge", "Smith", "iron"], ["Quay", "Pilot", "wood"]]
TRADES = [["Place", "Master", "Good"], *WORDS, *[row[::-1] for row in WORDS]]
OTHERS = [["City", "Street", "Gate"], *[row[::-1] for row in WORDS], *WORDS]


@pytest.mark.parametrize("number", ["2", "of the offices"])
def test_a_caption_between_them_parts_two_tables_without_figures(
    tmp_path: Path, number: str
) -> None:
    caption = f"Table {number}: where they live"
    first = text_at(50, 760, "Who is who:") + drawn(TRADES, 700) + text_at(50, 540, caption)
    text = load(tmp_path, first, drawn(OTHERS, 760)).text
    assert text == f"Who is who:\n{markdown(TRADES)}\n{caption}\n\n{markdown(OTHERS)}"


@pytest.mark.parametrize("num_pages", [2, 5])
def test_a_footer_between_them_does_not(tmp_path: Path, num_pages: int) -> None:
    above = text_at(50, 760, "Who is who:")
    bodies = [above + drawn(TRADES, 700), drawn(TRADES[1:], 760) + PROSE]
    bodies += [text_at(50, 700, word) for word in ("Nothing else.", "So it was.", "The end.")]
    feet = [text_at(50, 30, f"Printed by the office, page {at}") for at in range(1, 6)]
    text = load(tmp_path, *map(bytes.__add__, bodies[:num_pages], feet)).text
    whole = markdown([*TRADES, *TRADES[1:]])
    assert text.startswith(f"Who is who:\nPrinted by the office, page 1\n{whole}\nAll of them")
    assert text.count("Printed by") == (2 if num_pages == 2 else 1)


def test_a_second_row_of_the_header_stands_once(tmp_path: Path) -> None:
    header = [HEADER, ["", "sold", "left"]]
    pages = [drawn([*header, *cells(1, 5)], 760), drawn([*header, *cells(5, 9)], 760)]
    assert load(tmp_path, *pages).text == markdown([*header, *cells(1, 9)])


def test_a_row_that_both_pages_begin_with_stays(tmp_path: Path) -> None:
    header, row = ["Day", "Door", "Guard"], ["Monday", "closed", "none"]
    pages = [drawn([header, row, *WORDS], 760), drawn([header, row, *WORDS[::-1]], 760)]
    assert load(tmp_path, *pages).text == markdown([header, row, *WORDS, row, *WORDS[::-1]])
