"""Words that a PDF shows in two halves are joined where nothing else can be meant."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from pdf_maker import make_pdf

from fastkv_cli.config import ReadOptions
from fastkv_cli.documents import load_document
from fastkv_cli.documents.split_words import NARROW, join_split_words

LAW = "by the state, by law and by nobody else; the object of it is an object."


def joined(text: str, more: str = LAW) -> str:
    """The text as the first page of a document with another one."""
    whole = join_split_words({1: text, 2: more})
    assert whole.suspects == {}
    assert whole.pages[2] == more
    return whole.pages[1]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("signed into law b y him", "signed into law by him"),
        ("an ob ject.", "an object."),
        ("(Ob ject)", "(Object)"),
        (f"a ma{NARROW}jor role", "a major role"),  # known nowhere, but the space is narrow
        (f"ob{NARROW}jects", "objects"),
        (f"column-ma{NARROW}jor order", "column-major order"),
        (f"b{NARROW}y", "by"),
    ],
)
def test_halves_of_words_are_joined(text: str, right: str) -> None:
    assert joined(text) == right


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("put it in to the box", "into; into; into; in to; to"),
        ("may be it is", "maybe, maybe, maybe; it may; be it"),
        ("creative commons, creative commons", "see creativecommons"),  # once alone
        ("Code List", "codelist codelist codelist"),
        ("log, in", "login login login"),
        ("ob  ject", LAW),
        ("ob\nject", LAW),
        ("of a b c d and c d", "cd cd cd; c + d; a c"),  # names in formulas
        ("law (b) y", LAW),
    ],
)
def test_words_that_may_be_meant_stay(text: str, more: str) -> None:
    assert joined(text, more) == text


def test_a_narrow_space_between_words_is_a_space() -> None:
    assert joined(f"Extending{NARROW}the format", "the format; the end") == "Extending the format"


def test_letters_that_are_rarer_alone_than_their_word_are_named() -> None:
    whole = join_split_words({1: "law b y him", 2: "b and y", 3: "by " * 8})
    assert whole.pages[1] == "law b y him"
    assert whole.suspects == {"b y": 1}


def test_a_pdf_whose_kerning_looks_like_spaces(tmp_path: Path) -> None:
    """The space is there, but the letters behind it are moved back over it."""
    path = tmp_path / "kerned.pdf"
    content = (
        b"BT /F1 12 Tf 50 700 Td [(The main ob ) 250 (ject of this line is a ma ) 250 (jor one)] TJ"
        b" 0 -20 Td (signed into law b y him, by them and by us, up and by, by and up) Tj"
        b" 0 -20 Td (and by her, up, up, up; but u p stays, as u and p are there) Tj ET"
    )
    path.write_bytes(make_pdf([content]))
    document = load_document(str(path), ReadOptions())
    assert document.text.split("\n") == [
        "The main object of this line is a major one",
        "signed into law by him, by them and by us, up and by, by and up",
        "and by her, up, up, up; but u p stays, as u and p are there",
    ]
    assert document.warnings == ("words may be split in two: “u p” on page 1",)


@pytest.mark.parametrize("unit", ["a b ", f"a{NARROW}b ", "ab a b ", "x" + NARROW, "by b y\n"])
def test_hostile_pages_take_linear_time(unit: str) -> None:
    started = time.process_time()
    join_split_words({1: unit * (2**18 // len(unit))})
    assert time.process_time() - started < 5


@pytest.mark.parametrize("unit", ["ab ab ", "ab ab ab ab\n"], ids=["one line", "many lines"])
def test_hostile_pages_take_little_memory(unit: str) -> None:
    page = unit * (2**18 // len(unit)) + "\nabab"
    tracemalloc.start()
    try:
        assert join_split_words({1: page}).pages == {1: page}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * len(page), "50 to 70 bytes a character while all halves were held"
