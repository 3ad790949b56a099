"""Decide whether a text supports a sentence, by words, names and numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from math import log

from .index import Index, most_together
from .unsupported import not_in_document
from .words import COMMON, is_number, keys_of

_NUMBER = 1.5  # weight of a number relative to a word
MIN_SUPPORT = 0.6  # of a sentence's content words, weighted by rarity, in one place of the text


def share_supported(sentence: str, index: Index) -> float:
    """The share of a sentence that one place of the documents says, 0 to 1.

    It is that of its content words, weighted by rarity, that occur within 60 words of the text; 0
    if it has a name or a number that no document contains, or no content words at all.

    Args:
        sentence: the sentence.
        index: of the documents.
    """
    keys = keys_of(sentence)
    phrase = " ".join(keys)
    if phrase and index.holds(phrase):
        return 1.0
    terms = set(keys) - COMMON
    if not terms or not_in_document(sentence, "", index):
        return 0.0
    return share_together(terms, index)


def share_together(terms: Collection[str], index: Index) -> float:
    """The largest share of the terms, weighted by rarity, that occur in one place, 0 to 1."""
    hits = [block.find(terms) for block in index.blocks]
    found = Counter(term for block in hits for term in {term for _, term in block})
    weights = {
        term: log((len(hits) + 1) / (found[term] or 0.5)) * (_NUMBER if is_number(term) else 1.0)
        for term in terms
    }
    most = max((most_together(block, weights) for block in hits), default=0.0)
    return min(most / (sum(weights.values()) or 1.0), 1.0)  # rounding of sums
