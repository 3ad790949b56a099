"""What the model would read, page by page: as text, as JSON, as a table."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from fastkv_cli.documents import Document, Page
from fastkv_cli.output.render.extraction import (
    Extract,
    extract,
    render_json,
    render_tables,
    render_text,
)

TEXT = "First page.\n\nThird page, longer."
REPORT = Document(
    path="a [red]report.pdf",
    text=TEXT,
    num_pages=5,
    pages=(Page(1, 0, 11), Page(3, 13, 32)),
    warnings=("1 of 5 pages holds no text (2)",),
    kind="PDF",
    empty=(2,),
    failed=(4,),
    left_out=(5,),
)
NOTES = Document(path="notes.txt", text="A note.", num_pages=None, pages=(), warnings=())
STARTS = [0, 5, 10, 11, 13, 18, 24]  # a token each 5 characters or so; one is the gap's


def counted() -> Extract:
    return extract(REPORT, STARTS)


def test_every_page_says_what_became_of_it() -> None:
    assert [(page.number, page.status) for page in counted().pages] == [
        (1, "read"),
        (2, "no text"),
        (3, "read"),
        (4, "could not be read"),
        (5, "left out"),
    ]


def test_tokens_are_counted_where_they_begin() -> None:
    assert [page.tokens for page in counted().pages] == [3, 0, 3, 0, 0]
    assert counted().tokens == 7
    assert {page.tokens for page in extract(REPORT).pages} == {None}


def test_pages_are_marked() -> None:
    assert render_text([counted()]) == (
        "--- page 1 of 5 ---\n\nFirst page.\n\n"
        "--- page 2 of 5: no text ---\n\n"
        "--- page 3 of 5 ---\n\nThird page, longer.\n\n"
        "--- page 4 of 5: could not be read ---\n\n"
        "--- page 5 of 5: left out ---"
    )


def test_neighbours_without_text_are_one_mark() -> None:
    scanned = Document("a.pdf", "Text.", 9, (Page(4, 0, 5),), (), "PDF", empty=(1, 2, 3, 5, 6))
    assert render_text([extract(scanned)]) == (
        "--- pages 1–3 of 9: no text ---\n\n--- page 4 of 9 ---\n\nText.\n\n"
        "--- pages 5–6 of 9: no text ---"
    )


def test_several_documents_are_named_and_one_without_pages_is_its_text() -> None:
    assert render_text([extract(NOTES)]) == "A note."
    assert render_text([extract(NOTES), extract(NOTES)]) == "\n\n".join(
        ["=== notes.txt ===", "A note."] * 2
    )


def test_the_json_holds_each_text_once() -> None:
    found = json.loads(render_json([counted(), extract(NOTES)]))
    assert found["schema"] == "fastkv/1"
    pdf, text = found["documents"]
    assert "text" not in pdf
    assert [page["text"] for page in pdf["pages"]] == ["First page.", "", TEXT[13:], "", ""]
    assert (text["text"], text["num_pages"], text["tokens"]) == ("A note.", None, None)
    assert pdf["warnings"] == ["1 of 5 pages holds no text (2)"]


@pytest.mark.parametrize("width", [60, 80])
def test_the_table_shows_names_as_they_are(width: int) -> None:
    console = Console(width=width)
    with console.capture() as captured:
        for shown in render_tables(counted()):
            console.print(shown, markup=False)
    text = captured.get()
    assert "a [red]report.pdf (PDF, 5 pages)" in text
    assert "could not be read" in text
    assert "–" not in text


def test_one_page_is_no_pages() -> None:
    of_one = Document("a.pdf", "Text.", 1, (Page(1, 0, 5),), (), "PDF")
    _, name, _ = render_tables(extract(of_one))
    assert str(name) == "a.pdf (PDF, 1 page)"
