"""Score passages by the words they share with a question (BM25)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ..evidence.words import keys_of

_SATURATION, _LENGTH_SHARE = 1.2, 0.75  # k1 and b, at their usual values


def word_overlap(question: str, passages: Sequence[str]) -> list[float]:
    """Okapi BM25 (Robertson and Zaragoza, 2009) of each passage, 0 or more.

    Words are compared by their keys in `evidence.words`, which ignore case, plurals and spellings
    of numbers.
    """
    wanted = set(keys_of(question))
    counts, lengths = [], []
    for passage in passages:  # a list of all words would take ten times the text's memory
        keys = keys_of(passage)
        counts.append(Counter(key for key in keys if key in wanted))
        lengths.append(len(keys))
    mean_length = sum(lengths) / max(len(lengths), 1) or 1.0
    scores = [0.0] * len(passages)
    for key in wanted:
        holders = [at for at, count in enumerate(counts) if key in count]
        rarity = math.log(1 + (len(passages) - len(holders) + 0.5) / (len(holders) + 0.5))
        for at in holders:
            often = counts[at][key]
            length = 1 - _LENGTH_SHARE + _LENGTH_SHARE * lengths[at] / mean_length
            scores[at] += rarity * often * (_SATURATION + 1) / (often + _SATURATION * length)
    return scores
