"""Which sentences of a model take the place of the key sentences that they rewrite."""

from __future__ import annotations

import pytest

from fastkv_cli.evidence.words import is_number
from fastkv_cli.tasks.digest import Digest, Point
from fastkv_cli.tasks.sentences import Sentence, find_sentences

SOURCES = [
    "The bell of Halden, which everybody knows, was cast by masons from Bergen in 1904.",
    "Ringers climb up the narrow stairs of the tower before dawn on every day of the week.",
    "The tower was repaired with 300 blocks of granite after the flood.",
]
NAMES = {"halden", "bergen"}


def digest(*, bullets: bool = False) -> Digest:
    points = []
    for source in SOURCES:
        sentence = Sentence(f"- {source}" if bullets else source, True)
        names = frozenset(key for key in sentence.keys if key in NAMES or is_number(key))
        points.append(Point(sentence, names))
    return Digest(points)


def write(said: str, *, bullets: bool = False, translated: bool = False) -> str:
    grown = digest(bullets=bullets)
    text = "".join(grown.add(each, translated=translated) for each in find_sentences(said))
    return text + grown.finish(leaves_out=translated)


def test_without_a_model_the_sources_stand() -> None:
    assert write("") == " ".join(SOURCES)


def test_a_shorter_sentence_takes_the_place_of_its_source() -> None:
    short = "The bell of Halden was cast by masons from Bergen in 1904."
    assert write(short) == " ".join([short, *SOURCES[1:]])
    later = "Ringers climb up the stairs of the tower before dawn on every day."
    assert write(later) == " ".join([SOURCES[0], later, SOURCES[2]])


def test_one_sentence_for_two() -> None:
    both = (
        "Ringers climb up the stairs of the tower before dawn on every day of the week, "
        "repaired with 300 blocks of granite after the flood."
    )
    assert write(both) == f"{SOURCES[0]} {both}"


@pytest.mark.parametrize(
    "said",
    [
        "The bell of Halden was cast by masons from Bergen.",  # the year is lost
        "The bell of Halden was cast by masons from Bergen in 1904 and 1905.",
        "The bell of Halden was cast by masons from Oslo in 1904.",
        "The bell of Halden was cast by masons from Bergen in 1904 for Queen Astrid.",
        "The bell of Halden was cast by masons from Bergen in 1904",  # truncated
        "Dragons live beneath the mountain.",
        SOURCES[0].replace(".", ", and nobody knows what became of it in all of those years."),
    ],
)
def test_what_does_not_hold_leaves_the_source(said: str) -> None:
    assert write(said) == " ".join(SOURCES)


def test_out_of_order_is_left_out() -> None:
    later = "Ringers climb up the stairs of the tower before dawn on every day."
    first = "The bell of Halden was cast by masons from Bergen in 1904."
    assert write(f"{later} {first}") == f"{SOURCES[0]} {later} {SOURCES[2]}"


def test_bullets_stay_a_list() -> None:
    lines = write(
        "1. Ringers climb up the stairs of the tower before dawn on every day.", bullets=True
    )
    assert lines.split("\n") == [
        f"- {SOURCES[0]}",
        "- Ringers climb up the stairs of the tower before dawn on every day.",
        f"- {SOURCES[2]}",
    ]


def test_a_translation_is_checked_for_its_numbers() -> None:
    said = "Die Glocke wurde 1904 gegossen. Der Turm wurde 1999 neu gebaut."
    assert write(said, translated=True) == "Die Glocke wurde 1904 gegossen."
    assert write("Der Turm wurde 1999 neu gebaut.", translated=True) == " ".join(SOURCES)
