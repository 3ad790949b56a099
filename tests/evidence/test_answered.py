"""Whether documents are about a question, and whether they say what an answer says."""

from __future__ import annotations

import pytest
from pages import make_document, make_text

from fastkv_cli.evidence import (
    SegmentIndex,
    index_documents,
    index_segments,
    is_judged,
    support,
    why_not_found,
)
from fastkv_cli.evidence.answered import MIN_SUPPORT

FILLER = "The members met again, talked about which is better and which was. "
WEENA = "The Time Traveller pocketed two white mallows that Weena gave him."
RULE = "Passwords shall be at least 8 characters long, their salt 32 bits."
FILBY = "Filby, an argumentative person with red hair, spoke of Burslem."
TEXT = [FILLER * 5 + f"{sentence} " + FILLER for sentence in (WEENA, RULE, FILBY)]


@pytest.fixture(scope="module")
def index() -> SegmentIndex:
    return index_segments(index_documents([make_document(TEXT)]))


@pytest.mark.parametrize(
    "question",
    [
        "How long shall passwords be at least?",
        "What is the shortest password?",
        "WHAT IS THE SHORTEST PASSWORD?",
        "What Is the Shortest Password?",
        "Who has red hair?",
        "What did Weena give him?",
        "How many people spoke of Burslem?",
        "How many mallows did Weena give the traveller?",
        "What is it about?",
        "Who?",
    ],
)
def test_what_the_text_is_about_may_be_answered(index: SegmentIndex, question: str) -> None:
    assert why_not_found(question, index) == ""


@pytest.mark.parametrize(
    "question",
    [
        "Who painted the Mona Lisa?",
        "What is the capital of Australia?",
        "Which spice is yellow?",
        "Which gas do plants breathe?",
        "In which year did the Berlin Wall fall?",
        "What will the US salt of Mongolia be in May?",  # not in title case
        "What is the salt of Mongolia?",  # one of two words, and the other one stands nowhere
    ],
)
def test_what_the_text_is_not_about_is_not_found(index: SegmentIndex, question: str) -> None:
    assert is_judged(question, index.index)
    assert why_not_found(question, index).startswith("no place in it holds more than ")


@pytest.mark.parametrize(
    "question",
    [
        "Summarize the text, please.",
        "Translate the rules to Welsh.",
        "Wie lang muss das Salz sein?",  # another language
        "What is it about?",
    ],
)
def test_instructions_and_the_like_are_not_judged(index: SegmentIndex, question: str) -> None:
    assert not is_judged(question, index.index)


def test_words_far_apart_are_not_one_place(index: SegmentIndex) -> None:
    assert why_not_found("Which argumentative salt was pocketed?", index)
    assert not why_not_found("Which argumentative person has hair?", index)


def test_a_question_without_terms_may_be_answered() -> None:
    tiny = index_segments(index_documents([make_text("x")]))
    assert why_not_found("Who is it?", tiny) == ""  # no term to look for


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("8 characters", "How long shall passwords be at least?"),
        ("Passwords shall be at least 8 characters long.", "How long shall passwords be?"),
        ("Filby", "Who has red hair?"),
        ("The document states that Weena gave him white mallows.", "What did Weena give him?"),
        ("3", "How many mallows did Weena give him?"),  # counted: it stands nowhere
        ("The traveller got two mallows.", "What did Weena give?"),  # other endings
    ],
)
def test_what_a_passage_says_is_supported(index: SegmentIndex, said: str, question: str) -> None:
    assert support(said, question, [WEENA, RULE, FILBY], index.index) >= MIN_SUPPORT


@pytest.mark.parametrize(
    ("said", "question"),
    [
        ("The answer to this question is:", "How long shall passwords be?"),
        ("Passwords are long.", "How long shall passwords be?"),
        ("Weena gave him a garland of flowers.", "What did Weena give him?"),
        ("It was Dennis Ritchie.", "Who has red hair?"),
        ("Weena was 214 years old.", "How old was Weena?"),
        ("7²⁴ characters", "How long shall passwords be?"),
        ("7" * 5000, "How long shall passwords be?"),
        ("²⁴ characters", "How long shall passwords be?"),
        ("٢٤ characters", "How long shall passwords be?"),
        ("", "Who?"),
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_what_no_passage_says_is_not_supported(
    index: SegmentIndex, said: str, question: str
) -> None:
    assert support(said, question, [WEENA, RULE, FILBY], index.index) < MIN_SUPPORT


def test_support_is_by_the_passages_not_by_the_whole_text(index: SegmentIndex) -> None:
    question = "Who has red hair?"
    assert support("Filby.", question, [FILBY], index.index) == 1
    assert support("Filby.", question, [RULE], index.index) == 0
