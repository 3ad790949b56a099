"""Decide whether a text supports a sentence, by words, names and numbers."""

from __future__ import annotations

from .answered import share_together
from .index import Index
from .unsupported import not_in_document
from .words import COMMON, keys_of

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
