"""Score answers by the standard definitions, with confidence intervals."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_Z = 1.959964  # the normal quantile of a 95% interval
_RESAMPLES = 2000
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class Interval(NamedTuple):
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


def contains(text: str, answers: Sequence[str]) -> float:
    """The share of the answers that a text contains (as in RULER), 0 to 1.

    Both are compared in NFKC, lower case, with white space collapsed.
    """
    given = _plain(text)
    return sum(_plain(answer) in given for answer in answers) / len(answers)


def token_f1(text: str, answers: Sequence[str]) -> float:
    """The F1 of the words shared by text and answers (SQuAD, arXiv 1606.05250, section 6.1)."""
    given, wanted = _words(text), _words(" ".join(answers))
    shared = sum((Counter(given) & Counter(wanted)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(given), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def mean_interval(scores: Sequence[float]) -> Interval:
    """The mean of scores between 0 and 1, with Wilson's interval (1927)."""
    n, mean = len(scores), float(np.mean(scores))
    centre = (mean + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * math.sqrt(mean * (1 - mean) / n + _Z**2 / (4 * n**2))
    return Interval(mean, max(centre - half, 0.0), min(centre + half, 1.0))


def ratio_interval(scores: Sequence[float], reference: Sequence[float], seed: int) -> Interval:
    """Mean score divided by mean reference on the same questions, with a bootstrap interval.

    Resamples questions with both of their scores, so that a question's difficulty for both does not
    widen the interval. NaN if the reference scores nothing.
    """
    both = np.array([scores, reference])
    if both[1].sum() == 0:
        return Interval(math.nan, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = both[:, rng.integers(0, both.shape[1], (_RESAMPLES, both.shape[1]))].sum(axis=2)
    drawn = drawn[:, drawn[1] > 0]  # a resample in which the reference scores nothing is dropped
    ratios = drawn[0] / drawn[1]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(float(both[0].sum() / both[1].sum()), float(low), float(high))


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _words(text: str) -> list[str]:
    """The words in lower case, without punctuation and articles."""
    bare = _plain(text).translate(str.maketrans("", "", string.punctuation))
    return _ARTICLES.sub(" ", bare).split()
