"""Scores and their intervals, against worked examples and published figures."""

from __future__ import annotations

import math
import random

import pytest

from fastkv_cli.evaluation.quality.scoring import (
    contains,
    mean_interval,
    ratio_interval,
    token_f1,
)


@pytest.mark.parametrize(
    ("text", "answers", "share"),
    [
        ("It is 42.", ["42"], 1.0),
        ("It is 43.", ["42"], 0.0),
        ("", ["42"], 0.0),
        ("BURSLEM, they say", ["Burslem"], 1.0),
        ("new\n  york\tcity", ["New York City"], 1.0),
        ("newyork", ["New York"], 0.0),
        ("the ﬁlter of １４", ["FILTER"], 1.0),  # a ligature
        ("the filter of １４", ["14"], 1.0),  # full-width digits
        ("Cafe\u0301", ["caf\u00e9"], 1.0),  # a combining accent
        ("11 and 22", ["11", "22"], 1.0),
        ("11 and 23", ["11", "22"], 0.5),
        ("none", ["11", "22"], 0.0),
        ("1 3", ["1", "2", "3"], 2 / 3),
    ],
)
def test_containment_is_the_share_of_the_answers(
    text: str, answers: list[str], share: float
) -> None:
    assert contains(text, answers) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "answers", "f1"),
    [
        ("Simon Newcomb", ["Simon Newcomb"], 1.0),
        ("simon NEWCOMB!", ["Simon Newcomb"], 1.0),
        # cat sat on mat, cat on mat: 3 shared, precision 3/4, recall 3/3
        ("The cat sat on the mat.", ["a cat on a mat"], 6 / 7),
        # one yes is shared: precision 1/3, recall 1/2
        ("yes yes yes", ["yes no"], 2 / 5),
        # two are: precision 2/3, recall 2/2
        ("yes yes yes", ["yes yes"], 4 / 5),
        ("U.S.A., 1999!", ["usa 1999"], 1.0),
        ("An answer", ["the answer"], 1.0),
        ("another theory", ["other"], 0.0),  # articles are words, not letters
        ("Rome", ["Paris"], 0.0),
        ("", ["Paris"], 0.0),
        ("the", ["Paris"], 0.0),
        ("...", ["Paris"], 0.0),
        # all answers are wanted: 1 shared of 2 given and of 2 wanted
        ("11 33", ["11", "22"], 1 / 2),
    ],
)
def test_token_f1_by_hand(text: str, answers: list[str], f1: float) -> None:
    assert token_f1(text, answers) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [
        (8, 10, 0.4902, 0.9433),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (1, 1, 0.2065, 1.0),
        (50, 100, 0.4038, 0.5962),
    ],
)
def test_wilson_s_interval(right: int, of: int, low: float, high: float) -> None:
    interval = mean_interval([1.0] * right + [0.0] * (of - right))
    assert interval.value == right / of
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    assert 0 <= interval.low <= interval.value <= interval.high + 1e-12 <= 1 + 1e-9


def test_parts_of_a_point_count_as_such() -> None:
    halves = mean_interval([0.5] * 10)
    assert halves == mean_interval([1.0] * 5 + [0.0] * 5)


class TestRatio:
    """Mean over mean, of the same questions."""

    def test_the_same_scores_are_exactly_level(self) -> None:
        scores = [1.0, 0.0, 0.5, 1.0, 0.0]
        assert ratio_interval(scores, scores, seed=0) == (1.0, 1.0, 1.0)

    def test_what_is_hard_for_both_does_not_widen_it(self) -> None:
        reference = [1.0, 0.0, 0.5, 1.0, 0.0]
        halves = [score / 2 for score in reference]
        assert ratio_interval(halves, reference, seed=0) == pytest.approx((0.5, 0.5, 0.5))

    def test_without_a_point_of_the_reference_there_is_none(self) -> None:
        assert all(map(math.isnan, ratio_interval([1.0, 1.0], [0.0, 0.0], seed=0)))

    def test_it_is_seeded(self) -> None:
        chance = random.Random(1)
        scores = [chance.random() for _ in range(40)]
        reference = [chance.random() for _ in range(40)]
        once = ratio_interval(scores, reference, seed=3)
        assert once == ratio_interval(scores, reference, seed=3)
        other = ratio_interval(scores, reference, seed=4)
        assert other.value == once.value == pytest.approx(sum(scores) / sum(reference))
        assert other != once
        assert (other.low, other.high) == pytest.approx((once.low, once.high), abs=0.05)

    @pytest.mark.parametrize("count", [1, 2, 10, 200])
    def test_it_is_never_infinite(self, count: int) -> None:
        reference = [1.0] + [0.0] * (count - 1)
        interval = ratio_interval([1.0] * count, reference, seed=0)
        assert all(map(math.isfinite, interval))
        assert 0 < interval.low <= interval.value == count
        assert interval.high >= interval.low

    def test_it_covers_the_truth_about_as_often_as_it_says(self) -> None:
        """Both are right half of the time, on their own: the ratio of the means is 1."""
        chance = random.Random(2)
        covered = 0
        for trial in range(100):
            pairs = [(chance.random() < 0.5, chance.random() < 0.5) for _ in range(60)]
            low, high = ratio_interval(
                [float(a) for a, _ in pairs], [float(b) for _, b in pairs], seed=trial
            )[1:]
            covered += low <= 1 <= high
        assert 85 <= covered <= 100
