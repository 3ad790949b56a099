"""Running lines that OCR read differently from page to page are dropped; nothing alike goes too."""

from __future__ import annotations

import random
import time

import pytest

from fastkv_cli.documents.clean import join_pages
from fastkv_cli.documents.misread import right_forms
from fastkv_cli.documents.running import drop_running_lines

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "imp", "jay", "kid", "lynx"]


def body(number: int) -> str:
    """Text that no other page has; it names Vicksburg as a book about it does."""
    word = WORDS[number % len(WORDS)] * (1 + number // len(WORDS))
    return f"The {word} of Vicksburg\nsaw {word} of {word}\nand the {word} went\nhome {word}"


def headed(heads: dict[int, str]) -> dict[int, str]:
    """The heads of pages that are kept, by page."""
    pages = {n: f"{head}\n{body(n)}" for n, head in heads.items()}
    cleaned = join_pages(pages)
    return {n: page.split("\n")[0] for n, page in cleaned.items() if page != body(n)}


def test_misread_heads_go_with_the_right_ones_and_the_first_right_one_stays() -> None:
    heads = {
        1: "THE SIEGE OP VICKSBURG. 49",
        2: "50 THE SIEGE OF VICKSBUEG.",
        3: "THE SIEGE OF VICKSBURG. 51",
        4: "52 THE SIEGE OF VICKSBURG,",
        5: "THESIEGE OF VICKSBURG. 53",
        6: "54 THE SIEGE OF VICKSBURG.",
    }
    assert headed(heads) == {3: heads[3]}


def test_page_numbers_may_jump_where_pages_are_missing() -> None:
    """As in an excerpt of the pages 49, 50, 52 and 53 of a book."""
    heads = {
        1: "THE SIEGE OF VICKSBURG. 49",
        2: "50 THE SIEGE OF VICKSBUEG.",
        3: "52 THE SIEGE OF VICKSBURG.",
        4: "THE SIEGE OP VICKSBURG. 53",
    }
    assert headed(heads) == {1: heads[1]}
    back = {**heads, 3: "47 THE SIEGE OF VICKSBURG.", 4: "THE SIEGE OF VICKSBURG. 48"}
    assert headed(back) == back, "numbers that fall are no page numbers"


@pytest.mark.parametrize(
    "heads",
    [
        ["Minutes of Monday", "Minutes of Monday", "Minutes of Sunday", "Minutes of Munday"],
        ["Schedule of prices, part I"] * 3 + ["Schedule of prices, part V"],
        ["Schedule of prices A"] * 3 + ["Schedule of prices B"],
        ["The Second World War"] * 3 + ["The Second World War II"],
        ["The Second World War of"] * 3 + ["The Second World War"],
        ["Room 101"] * 3 + ["Roon 101"],  # too short to tell
    ],
)
def test_heads_that_mean_something_else_stay(heads: list[str]) -> None:
    pages = dict(enumerate(heads, start=1))
    lines = {head.casefold(): heads.count(head) for head in heads}
    assert right_forms(lines, [f"{head}\n{body(n)}" for n, head in pages.items()]) == {}
    assert headed(pages) == pages


def test_a_word_that_the_text_has_as_often_is_none_that_was_misread() -> None:
    heads = {**dict.fromkeys(range(1, 8), "A life of Marion"), 8: "A life of Marian"}
    named = {n: f"{head}\n{body(n).replace('Vicksburg', 'Marian')}" for n, head in heads.items()}
    assert join_pages(named)[8] == named[8]
    assert headed(heads) == {1: heads[1]}


def test_300_pages_and_lines_of_an_enemy_take_little_time() -> None:
    letters = random.Random(5)

    def misread(text: str) -> str:
        at = letters.randrange(len(text))
        return text[:at] + letters.choice("abcdefgh") + text[at + 1 :]

    book = {
        n: f"{n} {misread('The Siege of Vicksburg') if n % 2 else 'The Siege of Vicksburg'}\n"
        + "\n".join([body(n)] * 10)
        for n in range(1, 301)
    }
    base = "".join(letters.choices("abcd efgh ", k=200))
    near = {n: f"{misread(misread(base))} {base[: n % 40]}\nx{n}" for n in range(1, 5_001)}
    same = {n: f"{base}{chr(97 + n % 9)}\n{base}{chr(105 + n % 9)}" for n in range(1, 5_001)}
    long = {n: f"{'long ' * 45}{n % 7}word{n % 50}x\nx{n}" for n in range(1, 5_001)}
    for pages, most_s in ((book, 1.0), (near, 3.0), (same, 3.0), (long, 3.0)):
        started = time.process_time()
        dropped = drop_running_lines(pages)
        assert time.process_time() - started < most_s
        assert len(dropped) == len(pages)
    heads = [page.split("\n")[0] for page in drop_running_lines(book).values()]
    assert sum("iege" in head for head in heads) < 10
