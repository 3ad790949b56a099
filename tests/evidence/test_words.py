"""Words are compared by what a reader takes to be the same."""

from __future__ import annotations

import pytest

from fastkv_cli.evidence.words import find_words, is_number, key_of, keys_of, spellings


@pytest.mark.parametrize(
    "same",
    [
        ["Morlock", "Morlocks", "morlock’s", "MORLOCKS"],
        ["65,535", "65535", "65’535", "65\u202f535", "65\u00a0535"],
        ["2.5", "2,5"],
        ["one", "1", "first", "1st", "01"],
        ["19th", "nineteenth", "nineteen"],
        ["1990s", "1990"],
        ["ﬁle", "file", "Files"],  # a ligature
        ["U.S.", "US"],
        ["cities", "city"],
        ["V3.4.2", "3.4.2", "v3.4.2"],
        ["don’t", "don't", "dont"],
    ],
    ids=lambda same: same[0],
)
def test_one_spelling_for_what_is_the_same(same: list[str]) -> None:
    assert len({tuple(keys_of(word)) for word in same}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("1996", "1969"), ("3.3.3", "3.3"), ("second", "2"), ("32k", "32"), ("class", "cla")],
)
def test_what_differs_stays_apart(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


def test_words_are_found_where_they_stand() -> None:
    text = "Weena’s 65,535 bytes — see PEP636文档, 0x001000."
    words = [(text[word.start : word.end], word.key) for word in find_words(text)]
    assert words == [
        ("Weena’s", "weena"),
        ("65,535", "65535"),
        ("bytes", "byte"),
        ("see", "see"),
        ("PEP636", "pep636"),
        ("文", "文"),
        ("档", "档"),
        ("0x001000", "0x001000"),
    ]
    assert [word.is_number for word in find_words(text)] == [is_number(key) for _, key in words]
    assert sum(is_number(key) for _, key in words) == 3


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("200", "2 hundred"),
        ("42", "40 2"),
        ("1996", "1 thousand 9 hundred 90 6"),
        ("1500000", "1.5 million"),
        ("30000000", "30 million"),
    ],
)
def test_numbers_in_words(number: str, expected: str) -> None:
    assert expected in list(spellings(number))


@pytest.mark.parametrize("number", ["3.5", "٣", "x2", "0", "9" * 13])
def test_no_words_for_what_is_no_plain_number(number: str) -> None:
    assert list(spellings(number)) == []
