"""Whether documents hold what an answer says: they may not speak of it at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from math import log

from .index import Index, most_together
from .unsupported import not_in_document
from .words import COMMON, is_number, key_of, keys_of

# So much of what question and answer say, by how rare it is, has to stand together somewhere, and
# so much of what the question alone does: a small model may recite what nobody asked for.
_MIN_TOGETHER, _MIN_ASKED = 0.25, 0.1
_NUMBER = 1.5  # what a number is worth beside a word
_MAX_COUNTED = 20  # a small number may be counted, not read
_MIN_KNOWN = 0.2  # of the words of a question that has none of English's common ones

# What a question begins with where it has no question mark.
_ASKING = frozenset(
    keys_of(
        """are can could did do does had has have how in is may must on shall should to was were
        what when where which who whom whose why will with would"""
    )
)


def why_not_found(said: str, question: str, index: Index) -> str:
    """Why the documents cannot hold what an answer begins with; nothing where they can.

    They cannot where it names what stands nowhere in them, or where the words of question and
    answer stand nowhere together. Of a question in another language nothing is said, nor of what is
    no question: "Translate it to Welsh."

    Args:
        said: the first sentence of the answer.
        question: what was asked.
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
        if asked and share < least:  # "What is it about?" names nothing to look for
            return f"no place in it holds more than {share:.0%} of what {whose}"
    return ""


def _is_counted(item: str) -> bool:
    """Whether an item is so small a number that it may be counted where it is not read."""
    key = key_of(item)  # ² is 2 there, where `int` takes no ², and it has no zeros in front
    is_small = key.isdecimal() and len(key) <= len(str(_MAX_COUNTED))
    return item[0].isdigit() and is_small and int(key) <= _MAX_COUNTED


def share_together(terms: Collection[str], index: Index) -> float:
    """How much of what some words are worth, by how rare they are, stands in one place, 0 to 1."""
    hits = [block.find(terms) for block in index.blocks]
    found = Counter(term for block in hits for term in {term for _, term in block})
    weights = {
        term: log((len(hits) + 1) / (found[term] or 0.5)) * (_NUMBER if is_number(term) else 1.0)
        for term in terms
    }
    most = max((most_together(block, weights) for block in hits), default=0.0)
    return min(most / (sum(weights.values()) or 1.0), 1.0)  # sums round


def _is_question(text: str) -> bool:
    """Whether something is asked, and not a task given."""
    return "?" in text or "？" in text or (keys_of(text)[:1] or [""])[0] in _ASKING


def _is_foreign(question: str, index: Index) -> bool:
    """Whether a question is in another language than the documents."""
    asked = set(keys_of(question))
    known = {key for key in asked if index.holds(key)}
    if asked & COMMON:
        return not known & COMMON
    return len(known) < _MIN_KNOWN * len(asked)
