"""Which sentences of the notes a summary is made of, and when a model's own summary is one."""

from __future__ import annotations

import pytest

from fastkv_cli.config import Length
from fastkv_cli.tasks.digest import (
    Candidate,
    choose,
    find_candidates,
    is_faithful,
    support_of,
    write,
)
from fastkv_cli.tasks.sentences import Sentence, find_sentences

SUBJECTS = {
    "bell": "Ringers climb up narrow stairs before dawn.",
    "tunnel": "Trains full of coal rumble below the mountain.",
    "orchard": "Pears ripen slowly behind a wall of brick.",
    "reservoir": "Engineers check every pump after heavy rain.",
    "harbour": "Fishermen mend torn nets beside their boats.",
    "library": "Students borrow maps and rare atlases.",
    "theatre": "Actors rehearse comedies until midnight.",
    "bakery": "Apprentices knead dough with cardamom.",
}
NOTES = [
    f"The {name} of Halden was built by masons in {1900 + at}. {more}"
    for at, (name, more) in enumerate(SUBJECTS.items())
]
PARTS = [f"Careful as ever: {note} People visit every summer." for note in NOTES]


def places(candidates: list[Candidate]) -> list[tuple[int, int]]:
    return [candidate.place for candidate in candidates]


@pytest.mark.parametrize(
    "note",
    [
        "The document provides an overview of the key points.",  # says nothing
        "1. The bell of Halden was built by masons.",
        "The bell of Halden was built by masons in",
        "The bell of Halden was built by masons in 1987.",  # the part has no such number
        "Dr. Elara Blackwood invented a machine for the king of Norway.",
        "The bell was built by masons, " + "and people visit the bell of Halden, " * 9 + "it says.",
        "",
    ],
)
def test_what_is_no_candidate(note: str) -> None:
    assert find_candidates([note], PARTS[:1]) == []


def test_candidates_keep_their_places() -> None:
    found = find_candidates(["Nothing here.", *NOTES[1:]], PARTS)
    assert places(found) == [(at, number) for at in range(1, 8) for number in range(2)]
    assert all(candidate.score > 0 for candidate in found)


def test_support() -> None:
    [sentence] = find_sentences("The bell of Halden weighs 40 tonnes.")
    assert support_of(sentence, {"bell", "halden", "weigh", "40", "tonne"}) == 1
    assert support_of(sentence, {"bell", "halden", "40"}) == pytest.approx(3 / 5)
    assert support_of(sentence, {"bell", "halden", "weigh", "tonne"}) == 0


@pytest.mark.parametrize("most", [1, 3, 6, 8, 12])
def test_a_choice_is_spread_over_the_parts_in_their_order(most: int) -> None:
    candidates = find_candidates(NOTES, PARTS)
    chosen = choose(candidates, len(PARTS), most)
    assert len(chosen) == most
    assert places(chosen) == sorted(set(places(chosen)))
    groups = [part * min(most, 8) // 8 for part, _ in places(chosen)]
    assert set(groups) == set(range(min(most, 8)))


def test_what_was_said_is_not_chosen_again() -> None:
    candidates = find_candidates([NOTES[0]] * 4, [PARTS[0]] * 4)
    assert len(choose(candidates, 4, 8)) == 2


def test_fewer_where_there_is_no_more() -> None:
    assert choose([], 5, 3) == []
    assert len(choose(find_candidates(NOTES[:1], PARTS[:1]), 1, 9)) == 2


def test_a_long_summary_has_paragraphs() -> None:
    chosen = choose(find_candidates(NOTES, PARTS), 8, 16)
    assert len(chosen) == 16
    assert write(chosen, 8, Length.LONG).count("\n\n") == 4
    assert "\n" not in write(chosen, 8, Length.MEDIUM)


FIT = [f"The {name} was built by masons." for name in [*SUBJECTS][:5]]


@pytest.mark.parametrize(
    ("summary", "holds"),
    [
        (FIT, True),
        (FIT[::-1], False),  # out of order
        (FIT[:3], False),  # too short
        (FIT * 2, False),  # too long
        ([*FIT[:4], "The bakery was built by masons"], False),
        ([*FIT[:4], "- The bakery was built by masons."], False),
        ([*FIT[:4], "Seven dragons live beneath the mountain."], False),
        ([*FIT[:4], "The bakery was built by 12 masons."], False),
    ],
)
def test_is_faithful(summary: list[str], holds: bool) -> None:
    chosen = choose(find_candidates(NOTES, PARTS), 8, 16)
    sentences = [Sentence(text, text.endswith(".")) for text in summary]
    assert is_faithful(sentences, chosen, Length.MEDIUM) is holds
