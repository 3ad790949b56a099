"""Whatever documents, models and users write: evidence and tasks take it, and keep their promises.

Texts are drawn from all categories of Unicode, with digits of every kind (decimal, superscript,
circled, fractions, Roman, of other scripts), combining marks in front, surrogates, and numbers
longer than Python's `int` reads.
"""

from __future__ import annotations

import random
import re
import sys
import unicodedata
from collections import defaultdict
from itertools import pairwise

import pytest
from pages import make_document, make_text

from fastkv_cli.evidence import (
    cite,
    index_documents,
    index_segments,
    is_judged,
    not_in_document,
    support,
    why_not_found,
)
from fastkv_cli.evidence.citations import SNIPPET_CHARACTERS
from fastkv_cli.evidence.key_sentences import TermWeights, choose_sentences, find_key_sentences
from fastkv_cli.evidence.support import share_supported
from fastkv_cli.evidence.words import find_words, is_number, key_of, keys_of, spellings
from fastkv_cli.tasks.digest import Digest, Point
from fastkv_cli.tasks.overlap import word_overlap
from fastkv_cli.tasks.sentences import Sentence, SentenceFilter, find_sentences

LONG = "7" * (sys.get_int_max_str_digits() + 1)
DIGITS = ["²", "⁴", "①", "½", "Ⅷ", "٣", "३", "０", "፩", "𝟘", "零", "〡", "𐄇"]
PIECES = [
    *DIGITS,
    *(
        "7²⁴",
        "10⁻³",
        "٣٤٥",
        "1٢3",
        "①②",
        "⒈",
        "3½",
        "0" * 5000 + "5",
        LONG,
        "²" * 5000,
        "v²",
        "²th",
    ),
    *(
        "\u0301",
        "\u0301\u0308",
        "e\u0301",
        "\ud800",
        "\udfff",
        "ﷺ",
        "ŉ",
        "ß",
        "İ",
        "ﬃ",
        "㏂",
        "\u200d",
    ),
    *("The", "Zürich", "U.S.", "O’Brien’s", "third", "1990s", "65,535", "4.2.2", "?", "Who", "1."),
    *(
        "“",
        "”",
        "„",
        "«",
        "»",
        '"',
        "`",
        "…",
        "[",
        "]",
        "\n",
        "\n\n",
        "- ",
        "3) ",
        "\u2028",
        "\x00",
    ),
]


def alphabet() -> list[str]:
    """Some characters of each category."""
    found = defaultdict(list)
    for code in range(sys.maxunicode + 1):
        found[unicodedata.category(chr(code))].append(chr(code))
    rng = random.Random(0)
    return [character for each in found.values() for character in rng.choices(each, k=8)]


ALPHABET = alphabet()


def draw_text(rng: random.Random, most: int) -> str:
    """Words of odd pieces and characters, with or without blanks between them."""
    drawn = (
        "".join(rng.choices(rng.choice((PIECES, ALPHABET, DIGITS)), k=rng.randint(1, 3)))
        for _ in range(rng.randint(0, most))
    )
    return "".join(piece + rng.choice(("", " ", " ", ". ", "\n")) for piece in drawn)


def check_evidence(answer: str, question: str, texts: list[str]) -> None:
    index = index_documents([make_document(texts), make_text("\n".join(texts), "b.txt")])
    segments = index_segments(index)
    why_not_found(question, segments)
    is_judged(question, index)
    assert 0 <= support(answer, question, texts, index) <= 1
    missing = not_in_document(answer, question, index)
    assert len(missing) == len(set(missing))
    for item in missing:
        assert item.strip("“” ") in answer or item.startswith("“")
    for attention in (None, [1 / len(index.blocks)] * len(index.blocks) if index.blocks else None):
        citations = cite(answer, question, index, attention)
        for citation in citations:
            assert 0 <= citation.score <= 1
            assert len(citation.snippet) <= SNIPPET_CHARACTERS
            assert (citation.page is None) != (citation.line is None)


def check_words(text: str) -> None:
    words = list(find_words(text))
    assert [word.key for word in words] == keys_of(text)
    for before, word in pairwise(words):
        assert before.end <= word.start
    for key in keys_of(text):
        assert key
        assert key.split() == [key]  # a blank parts keys in an index
        assert key_of(key) == key or not is_number(key)
        for other in spellings(key):
            assert other


def check_sentences(text: str, parts: list[str]) -> None:
    sentences = find_sentences(text)
    assert all(sentence.text.strip() for sentence in sentences)
    shown = SentenceFilter(len(sentences) + 1)
    said = "".join(map(shown.push, re.findall("(?s).{1,50}", text))) + shown.end(was_cut=True)
    assert "".join(said.split()) in "".join(text.split()) or shown.num_dropped or "<" in text
    document = make_text("\n".join(parts), "b.txt")
    index, weights = index_documents([document]), TermWeights([document])
    found = find_key_sentences([document], weights)
    chosen = choose_sentences(found, weights, [1] * len(found), 4, 100)
    assert bool(chosen) is bool(found)
    digest = Digest([Point(Sentence(each.text, True), each.names) for each in chosen])
    assert "".join(map(digest.add, sentences)) + digest.finish() or not chosen
    assert all(0 <= share_supported(each.text, index) <= 1 for each in sentences[:3])
    assert all(score >= 0 for score in word_overlap(text, parts))


@pytest.mark.parametrize("seed", range(100))
def test_any_text(seed: int) -> None:
    rng = random.Random(seed)
    answer, question = draw_text(rng, 12), draw_text(rng, 6) + rng.choice(("", "?"))
    texts = [draw_text(rng, 30) for _ in range(rng.randint(1, 3))]
    check_words(answer)
    check_evidence(answer, question, texts)
    check_evidence(texts[0], question, [answer])  # all of it stands there, or next to nothing
    check_sentences(answer, texts)


@pytest.mark.parametrize("piece", [*PIECES, ""], ids=ascii)
def test_any_piece_alone(piece: str) -> None:
    for answer in (piece, f"{piece}.", f"It is {piece}.", f"{piece}{piece}"):
        check_words(answer)
        check_evidence(answer, f"What is {piece}?", ["It is written in the book.", piece])
        check_evidence(answer, "What is it, and how much?", [""])
        check_sentences(answer, ["the book", piece])
