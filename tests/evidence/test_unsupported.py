"""What an answer says that its documents do not."""

from __future__ import annotations

import pytest
from pages import make_document, make_text

from fastkv_cli.evidence.index import index_documents
from fastkv_cli.evidence.unsupported import not_in_document

TEXT = """In 1972 two hundred engineers of Bell Labs, led by Ken Thompson, rewrote UNIX in the
language C. It took 65,535 bytes and 32K words, 1.5 million dollars and one year.
The Morlocks’ machine – “the engine of progress” – was built in the United States of America."""
INDEX = index_documents(
    [make_document([TEXT, "On the third page stands hyphen-\nation, and a dot."])]
)


@pytest.mark.parametrize(
    "answer",
    [
        "Ken Thompson rewrote it in 1972.",
        "It took 65535 bytes, or 65,535, and 1 year.",
        "There were 200 engineers, and it cost 1,500,000 dollars.",
        "It has 32 K words.",
        "The American engineers of Thompson’s team worked at Bell Labs.",
        "1. Unix was rewritten.\n2. The language was C.\n10) It took a year.\n**11.** Unix.\n12. 1972",
        'He called it “the Engine of Progress”, and "two hundred engineers" built it.',
        "He said “the engine … in the United States”.",
        "However, it took time. Sadly, nobody knows.\n**Main Points**\n\nKey Facts And Figures:\n- Costs",
        "Question: how long? Answer: a year.",
        "I think that it was written by Thompson in the 1st year.",
        "",
    ],
)
def test_what_the_document_holds_is_not_listed(answer: str) -> None:
    assert not_in_document(answer, "", INDEX) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("It was written in 1987 by Dennis Ritchie.", ["1987", "Dennis Ritchie"]),
        ("Dennis Ritchie wrote it, and Ritchie signed.", ["Ritchie"]),
        ("Ken Ritchie wrote it for Ken.", ["Ritchie"]),
        ("It took 3.7 million dollars, 65,536 bytes and 64K words.", ["3.7", "65,536", "64K"]),
        ("It was made for NASA, for NASA and for ESA.", ["NASA", "ESA"]),
        ("He calls it “the engine of war”.", ["“the engine of war”"]),
        ("In 1987, 1987 and 1,987 again.", ["1987"]),
        ("It is 5kg heavy.", ["5kg"]),
        ("4.7 million dollars.", ["4.7"]),
        ("14:30.", ["14", "30"]),
        ("47.", ["47"]),
        ("47.\nIt took 48.", ["47", "48"]),
        ("They met Mr. Wells there.", ["Mr. Wells"]),
    ],
)
def test_what_it_lacks_is_listed_once_in_order(answer: str, expected: list[str]) -> None:
    assert not_in_document(answer, "", INDEX) == expected


def test_the_question_s_words_are_the_user_s() -> None:
    answer = "Dennis Ritchie did not write it in 1987."
    assert not_in_document(answer, "Did Dennis Ritchie write it in 1987?", INDEX) == []
    assert not_in_document('No "grand opening" is told of.', "And the grand opening?", INDEX) == []


def test_german_nouns_are_no_names() -> None:
    text = "Der Ausschuss und die Gemeinde berieten 14 Tage über das Wasser und die Luft."
    index = index_documents([make_text(text)])
    assert not_in_document("Es geht um die Beratung der Gemeinde im Jahr 1999.", "", index) == [
        "1999"
    ]


def test_several_documents_are_one_source() -> None:
    index = index_documents([make_text("Weena slept."), make_document(["Filby spoke in 1895."])])
    answer = "It says that Weena slept, and that in 1895 Filby spoke of Richmond."
    assert not_in_document(answer, "", index) == ["Richmond"]
