"""What typesetting put into a PDF is taken out, and nothing else."""

from __future__ import annotations

import time

import pytest

from fastkv_cli.documents import clean
from fastkv_cli.documents.clean import clean_text


def clean_pages(pages: dict[int, str]) -> dict[int, str]:
    return clean.join_pages({number: clean.clean_page(page) for number, page in pages.items()})


def clean_page(page: str) -> str:
    return clean_pages({1: page})[1]


@pytest.mark.parametrize(
    ("page", "cleaned"),
    [
        ("a dan- \ngerous thing", "a dangerous\nthing"),
        ("method\nof the meth-\nod of", "method\nof the method\nof"),
        ("a well-known man, a well-\nknown man", "a well-known man, a well-known\nman"),
        ("2015\u00ad09, hy\u00ad\nphens", "2015-09, hyphens"),
        ("un-\ncon-\ntrolled", "uncontrolled"),
        ("narcotic, non-nar-\ncotic", "narcotic, non-narcotic"),
        ("non-nar-\ncotic", "non-nar-\ncotic"),  # not known
        ("out-of-\nrange entries", "out-of-\nrange entries"),
        ("the rear rank—la-\nment that", "the rear rank—lament\nthat"),
        ("from Nord-\nSüd", "from Nord-\nSüd"),
        ("pre-\nand post-war", "pre-\nand post-war"),
        ("see a.org/some-\npage", "see a.org/some-\npage"),
        ("1999-\n2000 and 4 -\nx", "1999-\n2000 and 4 -\nx"),
        ("end-\n\nnext", "end-\n\nnext"),
    ],
)
def test_hyphens_at_line_ends(page: str, cleaned: str) -> None:
    assert clean_page(page) == cleaned


def test_a_document_that_breaks_no_words_keeps_its_hyphens() -> None:
    text = "third-party, third-\nparty and user-\nfriendly"
    assert clean_page(text) == "third-party, third-party\nand user-friendly"


def test_lines_that_all_end_in_hyphens_are_no_text_and_joining_them_takes_long() -> None:
    assert clean_page("ab-\n" * 90) == "ab" * 89 + "ab-"
    assert clean_page("ab-\n" * 900) == "ab-\n" * 899 + "ab-"


def test_glyph_forms_are_folded_and_meaning_is_kept() -> None:
    assert clean_page("eﬃcient ﬂow ﬁn\u00a0de\u202fsiècle") == "efficient flow fin de siècle"
    assert clean_page("m² ½ … ™ x₁") == "m² ½ … ™ x₁"
    assert clean_page("\ufee3\ufeae\ufea3\ufe92\ufe8e") == "مرحبا"
    assert clean_page("⼀⼈") == "一人"


@pytest.mark.parametrize(
    ("marks", "kept"),
    [
        ("\u0301\u0316" * 500_000, "\u0316" * 15 + "\u0301" * 14),  # á takes one in
        ("\u0f73" * 500_000, "\u0f71" * 30 + "\u0f72" * 30),  # one that is made of two
        ("\u0316\u0301", "\u0316"),
    ],
)
def test_marks_upon_marks_are_bounded_as_sorting_them_takes_quadratic_time(
    marks: str, kept: str
) -> None:
    letter = "á" if "\u0301" in marks else "a"
    for cleaned in (clean_text(f"a{marks}b")[0], clean_page(f"a{marks}b")):
        assert cleaned == f"{letter}{kept}b"


def test_a_page_of_nothing_that_is_seen_is_empty() -> None:
    assert clean.clean_page(" \u00ad \x00\n\x1b\u00a0\t") == ""


def test_surrogates_are_paired_or_dropped() -> None:
    assert clean_text("a\ud83d\ude00b\ud800c")[0] == "a😀bc"


def test_running_lines_are_dropped() -> None:
    names = ["alpha", "beta", "gamma", "delta", "epsilon"]
    pages = {
        n: f"Annual Report{' ' * n}2020\n{name} text\nmore {name}\nPage {n} of 5\n"
        for n, name in enumerate(names, start=1)
    }
    bare = {n: f"{name} text\nmore {name}" for n, name in enumerate(names, start=1)}
    assert clean_pages(pages) == {**bare, 1: f"Annual Report 2020\n{bare[1]}"}


def test_left_and_right_pages_with_gaps_in_the_numbers() -> None:
    words = {1: "ant", 3: "bee", 4: "cat", 7: "dog", 8: "eel", 10: "fox"}
    pages = {
        n: (f"{n + 40} MY BOOK" if n % 2 else f"MY BOOK {n + 40}") + f"\n{w} {w}\nthe {w}\nan {w}"
        for n, w in words.items()
    }
    assert [n for n, page in clean_pages(pages).items() if "BOOK" in page] == [1]


def test_headers_of_left_and_right_pages_and_chapters_beside_page_numbers() -> None:
    words = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "imp", "jay"]
    bare = {n: f"{word} {word}\nthe {word}\nan {word}" for n, word in enumerate(words, start=1)}
    sides = {n: f"{'THE BOOK' if n % 2 else 'A. WRITER'}\n{page}" for n, page in bare.items()}
    chapters = {n: f"{n + 6} Chapter {'ABCD'[n // 4]}\n{page}" for n, page in bare.items()}
    assert clean_pages(sides) == {**bare, 1: sides[1], 2: sides[2]}
    assert clean_pages(chapters) == {**bare, **{n: chapters[n] for n in (1, 4, 8)}}
    alone = {n: f"{n + 6} {page}" for n, page in bare.items()}
    assert clean_pages(alone) == alone, "a line that no other page has may be text"


def test_lines_that_only_look_alike_stay() -> None:
    numbers = {
        n: "\n".join(f"{n * 37 % 11}.{row * n} {row}" for row in range(9)) for n in range(1, 9)
    }
    totals = {n: f"words of page {'abcdefgh'[n]}\nTotal {n * n * 7 % 13}" for n in range(8)}
    few = {n: f"Header\nwords {'abc'[n]}" for n in range(3)}
    rare = {n: ("Header\n" if n < 4 else "") + f"words {'abcdefgh'[n]}" for n in range(8)}
    for pages in (numbers, totals, few, rare):
        assert clean_pages(pages) == pages


def test_a_page_of_nothing_but_running_lines_keeps_them() -> None:
    pages = {n: f"Confidential\n{n}" for n in range(1, 6)}
    assert clean_pages(pages) == {**pages, 1: "Confidential"}


def test_what_a_running_line_says_stays_once() -> None:
    texts = {n: f"{word} {word}\nthe {word}\nan {word}" for n, word in enumerate("abcdef", start=1)}

    def headed(form: str) -> dict[int, str]:
        pages = {n: f"{form.format(n)}\n{text}" for n, text in texts.items()}
        cleaned = clean_pages(pages)
        return {n: page.split("\n")[0] for n, page in cleaned.items() if page != texts[n]}

    assert headed("Brandvold Fisheries") == {1: "Brandvold Fisheries"}
    assert headed("Sample {}") == {n: f"Sample {n}" for n in texts}, "one record a page"
    for form in ("{}", "- {} -", "Page {} of 6", "Seite {}", "{} / 6"):
        assert headed(form) == {}, form
    for form in ("{} Chapter One", "Chapter One\t{}", "Chapter One, page {}", "Chapter One | {}"):
        assert list(headed(form)) == [1], form


@pytest.mark.parametrize(
    "page", ["x" + " " * 300_000 + "y", "a-\n" * 100_000, "\f\n" * 100_000, "a" * 300_000 + "-\nb"]
)
def test_hostile_pages_take_linear_time(page: str) -> None:
    started = time.process_time()
    clean_page(page)
    assert time.process_time() - started < 60, "it hangs"
