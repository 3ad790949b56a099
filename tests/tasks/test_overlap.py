"""Words that question and passages share."""

from __future__ import annotations

import pytest

from fastkv_cli.tasks.overlap import word_overlap

PASSAGES = [
    "The committee met in the town hall and wrote it all down.",
    "The treasurer of the rowing club is Ingrid Solheim.",
    "The club met twice. The club of the town has many members, and the club meets often.",
    "",
]


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("Who is the TREASURER of the rowing clubs?", 1),
        ("What did the committee write?", 0),
        ("How often does the club meet?", 2),
    ],
)
def test_rare_words_count_more(question: str, best: int) -> None:
    scores = word_overlap(question, PASSAGES)
    assert scores.index(max(scores)) == best
    assert scores[3] == 0
    assert min(scores) >= 0


def test_characters_without_blanks_are_words() -> None:
    scores = word_overlap("委员会何时开会？", ["他们去学校了。", "委员会在三月开会。"])
    assert scores[1] > scores[0]


def test_nothing_shared() -> None:
    assert word_overlap("Quo vadis?", PASSAGES) == [0.0] * 4
    assert word_overlap("Who?", []) == []
