"""Whether documents can hold an answer, by its words and by those of the question."""

from __future__ import annotations

import pytest
from pages import make_document, make_text

from fastkv_cli.evidence import Index, index_documents, why_not_found
from fastkv_cli.evidence.answered import share_together

FILLER = "The members met again, talked about which is better and which was. "
TEXT = [
    FILLER * 5 + "The Time Traveller pocketed two white mallows that Weena gave him. " + FILLER,
    FILLER * 5 + "Passwords shall be at least 8 characters long, their salt 32 bits. " + FILLER,
    FILLER * 5 + "Filby, an argumentative person with red hair, spoke of Burslem. " + FILLER,
]


@pytest.fixture(scope="module")
def index() -> Index:
    return index_documents([make_document(TEXT)])


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("How long shall passwords be at least?", "8 characters"),
        ("How long shall passwords be at least?", "Passwords shall be at least 8 characters long."),
        ("What is the shortest password?", "The shortest password is 8 characters long."),
        ("Who has red hair?", "Filby"),
        ("What did Weena give him?", "The document states that Weena gave him white mallows."),
        ("How many people spoke of Burslem?", "One person."),
        ("How many mallows did Weena give him?", "3"),  # counted: it stands nowhere
        ("What is it about?", "It is about the meetings of a club and its rules."),
        ("Summarize the text, please.", "Members met, and there were rules for passwords."),
        ("Wie lang muss das Salz sein?", "Das Salz muss 32 Bit lang sein."),  # another language
        ("Translate the rules to Welsh.", "Rhaid i gyfrineiriau Cymru fod yn hir."),
        ("Who?", ""),
    ],
)
def test_what_may_be_there_is_let_through(index: Index, question: str, said: str) -> None:
    assert why_not_found(said, question, index) == ""


@pytest.mark.parametrize(
    ("question", "said", "reason"),
    [
        (
            "Who painted the Mona Lisa?",
            "The Mona Lisa was painted by a man.",
            "no place in it",
        ),
        (
            "What is the capital of Australia?",
            "The capital is Canberra.",
            "not in the document: Canberra",
        ),
        ("How old was Weena?", "Weena was 214 years old.", "not in the document: 214"),
        ("Who painted the Mona Lisa", "It was painted by a man.", "no place in it"),
        ("Which spice is yellow?", "The spice that is yellow is turmeric.", "no place in it"),
    ],
)
def test_what_cannot_be_there_is_refused(
    index: Index, question: str, said: str, reason: str
) -> None:
    assert reason in why_not_found(said, question, index)


def test_what_nobody_asked_for_is_refused(index: Index) -> None:
    said = "Filby, an argumentative person with red hair, spoke of Burslem."
    reason = why_not_found(said, "Which gas do plants breathe?", index)
    assert reason == "no place in it holds more than 0% of what the question names"


def test_the_same_words_far_apart_do_not_count(index: Index) -> None:
    near, apart = {"white", "mallow", "weena", "pocketed"}, {"burslem", "mallow", "8", "salt"}
    assert share_together(near, index) == 1
    assert 0.4 < share_together(apart, index) < 0.7
    assert share_together(near | {"xyzzy"}, index) < 1


def test_an_empty_index_holds_nothing() -> None:
    assert share_together({"weena"}, index_documents([])) == 0
    assert why_not_found("It is Weena.", "Who is it?", index_documents([make_text("x")])) == ""


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("7²⁴", "7²⁴"),
        ("7" * 5000, "7" * 5000),
        ("²⁴", "²⁴"),
        ("③", ""),  # as small as 3, and may be counted
        ("٣", ""),
        ("٢٤", "٢٤"),
        ("0003", ""),
        ("0" * 5000 + "5", ""),
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_numbers_of_all_kinds(index: Index, said: str, missing: str) -> None:
    reason = why_not_found(said, "How long shall passwords be at least?", index)
    assert reason == (f"not in the document: {missing}" if missing else "")
