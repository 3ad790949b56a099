"""Which sentences of a text can stand in a summary, and which of them are chosen."""

from __future__ import annotations

import pytest

from fastkv_cli import Document
from fastkv_cli.evidence.key_sentences import (
    KeySentence,
    TermWeights,
    choose_sentences,
    find_key_sentences,
)
from fastkv_cli.evidence.plain_line import plain_line

TEXT = """# The bridge of Halden

The bridge of Halden was opened by Queen Astrid in June 1904. It took six years to build.
Masons from Bergen cut 4,200 blocks of granite for the four arches of the bridge.
Why did nobody thank them?

| year | carts |
| --- | --- |
| 1905 | 311 |

- The toll for a cart was set at 12 ore by the council of Halden in 1906.
- Carts, carts, carts.

The council of Halden closed the bridge to carts after the flood of May 1951. "We had to
wait. Nobody knew why the council of Halden had closed the bridge at all that winter."
"""


def find(text: str) -> tuple[list[KeySentence], TermWeights]:
    document = Document(path="a.txt", text=text, num_pages=None, pages=(), warnings=())
    weights = TermWeights([document])
    return find_key_sentences([document], weights), weights


def choose(text: str, most: int, max_size: int = 1000) -> list[str]:
    found, weights = find(text)
    sizes = [each.num_words for each in found]
    return [each.text for each in choose_sentences(found, weights, sizes, most, max_size)]


def test_what_can_stand_in_a_summary() -> None:
    found, _ = find(TEXT)
    texts = [each.text for each in found]
    assert texts[0] == "The bridge of Halden was opened by Queen Astrid in June 1904."
    assert "The toll for a cart was set at 12 ore by the council of Halden in 1906." in texts
    assert not any(words in text for text in texts for words in ("#", "|", "Carts, carts", "Why"))
    assert [each.place for each in found] == sorted(each.place for each in found)
    assert {"astrid", "1904"} <= found[0].names
    assert all(0 <= each.place < 1 for each in found)
    for each in found:
        assert " ".join(TEXT[each.start : each.end].split()).endswith(each.text)


def test_sentences_that_lean_on_others_are_worth_less() -> None:
    factors = {each.text: each.factor for each in find(TEXT)[0]}
    whole = factors["The council of Halden closed the bridge to carts after the flood of May 1951."]
    assert factors["It took six years to build."] < whole
    [quoted] = [value for text, value in factors.items() if text.startswith("Nobody")]
    assert quoted < whole


def test_the_choice_is_in_order_and_of_the_size_asked_for() -> None:
    assert choose(TEXT, 2) == [
        "The bridge of Halden was opened by Queen Astrid in June 1904.",
        "The council of Halden closed the bridge to carts after the flood of May 1951.",
    ]
    assert len(choose(TEXT, 1)) == 1
    assert len(choose(TEXT, 9, max_size=16)) == 1
    assert choose(TEXT, 1, max_size=0)  # never nothing


def test_attention_decides_between_equals() -> None:
    text = "The council of Aldra met in spring.\n\nThe council of Belma met in autumn.\n"
    found, weights = find(text)
    sizes = [1] * len(found)
    for best in (0, 1):
        attention = [2.0 if at == best else 1.0 for at in range(2)]
        assert choose_sentences(found, weights, sizes, 1, 9, attention) == [found[best]]


def test_what_was_said_is_not_said_again() -> None:
    text = "The bridge of Halden was opened by Queen Astrid in June 1904.\n\n" * 5
    assert len(choose(text, 3)) == 1


@pytest.mark.parametrize(
    "text", ["a | b | c\nd | e | f\n", "Introduction\n\nWords", "甲乙丙丁戊己。庚辛壬癸子丑。"]
)
def test_a_text_without_sentences_gives_what_it_has(text: str) -> None:
    assert choose(text, 3)


def test_nothing_is_chosen_from_nothing() -> None:
    assert choose("", 3) == []
    assert choose("…\n", 3) == []


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("A *very* **strong** _point_ of\n  5 * 3 * 2.", "A very strong point of 5 * 3 * 2."),
        ("See [the rules](#rules) of [[RFC 20]](https://a.b/c).", "See the rules of RFC 20."),
        ("<td>A <i>PIN</i> is 4 < 5 digits.</td>", "A PIN is 4 < 5 digits."),
        ("- An item.", "An item."),
        ("12. An item.", "An item."),
        ("5.1.1 Secrets", "Secrets"),
        ("snake_case_name stays", "snake_case_name stays"),
    ],
)
def test_plain_line(text: str, plain: str) -> None:
    assert plain_line(text) == plain
