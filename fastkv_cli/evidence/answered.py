"""Decide whether documents can contain an answer: they may not cover the question at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from math import log

from .index import Index, most_together
from .unsupported import not_in_document
from .words import COMMON, is_number, key_of, keys_of

# The share of the terms, weighted by rarity, that must occur together in one place: of those of
# question and answer, and of those of the question alone, as a small model may recite facts that
# it was not asked for.
_MIN_TOGETHER, _MIN_ASKED = 0.25, 0.1
_NUMBER = 1.5  # weight of a number relative to a word
_MAX_COUNTED = 20  # up to here, a number may be counted from the text instead of read in it
_MIN_KNOWN = 0.2  # of a question's words, if it has none of English's common ones

# First words of questions without a question mark.
_ASKING = frozenset(
    keys_of(
        """are can could did do does had has have how in is may must on shall should to was were
        what when where which who whom whose why will with would"""
    )
)


def why_not_found(said: str, question: str, index: Index) -> str:
    """The reason why the documents cannot contain the answer; empty if they can.

    They cannot if its first sentence names something that no document contains, or if the terms of
    question and answer occur nowhere together. Not checked: questions in a language other than the
    documents', and instructions ("Translate it to Welsh.").

    Args:
        said: the first sentence of the answer.
        question: the user's question.
        index: of the documents.
    """
    if not _is_question(question) or _is_foreign(question, index):
        return ""
    missing = [
        item
        for item in not_in_document(said, question, index)
        if not item.startswith("“") and not _is_counted(item)
    ]
    if missing:
        return f"not in the document: {', '.join(missing)}"
    asked = set(keys_of(question)) - COMMON
    for terms, least, whose in (
        (asked, _MIN_ASKED, "the question names"),
        (asked | set(keys_of(said)) - COMMON, _MIN_TOGETHER, "question and answer say"),
    ):
        share = share_together(terms, index)
        if asked and share < least:  # "What is it about?" has no terms to look for
            return f"no place in it holds more than {share:.0%} of what {whose}"
    return ""


def _is_counted(item: str) -> bool:
    """Whether an item is a number small enough to be counted from the text."""
    key = key_of(item)  # turns ² into 2, which `int` rejects, and drops leading zeros
    is_small = key.isdecimal() and len(key) <= len(str(_MAX_COUNTED))
    return item[0].isdigit() and is_small and int(key) <= _MAX_COUNTED


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


def _is_question(text: str) -> bool:
    """Whether a text is a question, and not an instruction."""
    return "?" in text or "？" in text or (keys_of(text)[:1] or [""])[0] in _ASKING


def _is_foreign(question: str, index: Index) -> bool:
    """Whether a question is in a language other than the documents'."""
    asked = set(keys_of(question))
    known = {key for key in asked if index.holds(key)}
    if asked & COMMON:
        return not known & COMMON
    return len(known) < _MIN_KNOWN * len(asked)
