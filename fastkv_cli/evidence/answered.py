"""Decide whether documents are about a question, and whether they say what an answer says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from math import log

from .index import Index
from .segment_index import SegmentIndex, terms_of
from .unsupported import capitalizes_nouns, not_in_document
from .words import COMMON, find_words, is_number, key_of, keys_of

# A question is not answered where its best place holds too little of its terms: their share,
# weighted by rarity, and their weight, counted in terms that stand in a single block. Long
# questions are paraphrases, and need a smaller share. Of 376 answerable questions 5 lie below, of
# 135 on other subjects 128, of 126 on the documents' own subject that they do not answer 41.
_MIN_ABOUT, _WEIGHT = 0.68, 0.3
# Weights of a word that stands nowhere, and of such a name, relative to one that is only rare. A
# question of two words, one of which stands nowhere, may be answered if the other is in one block.
_ABSENT, _ABSENT_NAME = 1.5, 3.0
_MIN_RARITY = 0.4  # of the rarest term's: what stands everywhere is what the document is about
_PLACE_TERMS = 80  # terms of adjacent segments that count as one place
_NUMBER, _GENERAL = 1.5, 0.2  # weights of numbers, and of words that say what is asked for
_MAX_COUNTED = 20  # up to here, a number may be counted from the text instead of read in it
_MIN_KNOWN = 0.2  # of a question's words, if it has none of English's common ones
# The share of an answer's words that the question does not have, and the quotes must have. Of 287
# right answers 252 reach it, of 313 wrong ones 168.
MIN_SUPPORT = 0.5

# First words of questions without a question mark.
_ASKING = frozenset(
    keys_of(
        """are can could did do does had has have how in is may must on shall should to was were
        what when where which who whom whose why will with would"""
    )
)
# Words that no text in English lacks, and most texts in other languages do.
_ENGLISH = keys_of("the of and that with this from which are")
# Words that say what is asked for, and seldom where it stands.
_GENERAL_WORDS = frozenset(
    keys_of(
        """amount author become call called chapter city come country date day document example
        first get give given go group kind last make makes making mean meaning month name new number
        one organization part people person place put section size sort state sum take taken term
        text time title town two type use used using value way word year"""
    )
)
# Common words that may have a capital in any question.
_CAPITALIZED = frozenset(("i", "may", "us", "will"))
# Words about the answer itself, in which a small model wraps it.
_WRAPPING = frozenset(
    keys_of(
        """according based describe described document follow following information mention
        mentioned passage provide provided question refer say state stated text"""
    )
)


def why_not_found(question: str, index: SegmentIndex) -> str:
    """The reason why documents cannot answer a question; empty if they may.

    It judges the documents, not the model: nothing in them is about the question.

    Args:
        question: one for which `is_judged` is true.
        index: of the documents.
    """
    weights, places = _weigh_terms(question, index)
    total = sum(weights.values())
    if not total:
        return ""
    most = _most_in_one_place(weights, places, index)
    single = log(len(index.index.blocks) + 1)
    if most / total + _WEIGHT * most / single >= _MIN_ABOUT:
        return ""
    return f"no place in it holds more than {most / total:.0%} of what the question names"


def is_judged(question: str, index: Index) -> bool:
    """Whether an answer can be judged by its words.

    Not so for instructions ("Translate it to Welsh."), for questions that name nothing ("What is it
    about?"), and for questions in a language other than the documents'.
    """
    names_something = not set(keys_of(question)) <= COMMON
    return names_something and _is_question(question) and not _is_foreign(question, index)


def support(said: str, question: str, passages: Sequence[str], index: Index) -> float:
    """How far passages say what an answer says, 0 to 1.

    The share of its words, without those of the question, that stand in the passages. 0 if there
    are none ("The answer to this question is:"), or if it names what no document contains.

    Args:
        said: a sentence of the answer.
        question: the user's question.
        passages: quotes from the documents.
        index: of the documents.
    """
    held = {term for passage in passages for term in terms_of(keys_of(passage))}
    asked = {*terms_of(keys_of(question)), *COMMON, *_WRAPPING}
    new = [term for term in terms_of(keys_of(said)) if term not in asked]
    if not new or _is_unknown(said, question, index):
        return 0.0
    return sum(_is_held(term, held) for term in new) / len(new)


def _is_held(term: str, held: Collection[str]) -> bool:
    """Whether a term is among others, with any ending."""
    if term in held or _is_counted(term):
        return True
    stem = term[: max(len(term) - 3, 4)]
    return not is_number(term) and len(stem) > 4 and any(other.startswith(stem) for other in held)


def _is_unknown(said: str, question: str, index: Index) -> bool:
    """Whether a sentence names something that no document contains."""
    return any(
        not item.startswith("“") and not _is_counted(item)
        for item in not_in_document(said, question, index)
    )


def _is_counted(item: str) -> bool:
    """Whether an item is a number small enough to be counted from the text."""
    key = key_of(item)  # turns ² into 2, which `int` rejects, and drops leading zeros
    is_small = key.isdecimal() and len(key) <= len(str(_MAX_COUNTED))
    return item[0].isdigit() and is_small and int(key) <= _MAX_COUNTED


def _weigh_terms(
    question: str, index: SegmentIndex
) -> tuple[dict[str, float], dict[str, dict[int, float]]]:
    """The weight of each term of a question, and the segments that hold it."""
    weights, places = {}, {}
    num_blocks = len(index.index.blocks)
    names = set() if capitalizes_nouns(index.index) else _names_in(question)
    for term in {*terms_of(keys_of(question))} - COMMON:
        places[term] = index.count(term)
        held = len({index.blocks[number] for number in places[term]})
        weight = max(log((num_blocks + 1) / max(held, 1)), _MIN_RARITY * log(num_blocks + 1))
        weight *= _NUMBER if is_number(term) else 1.0
        if not places[term]:
            weight *= _ABSENT_NAME if term in names else _ABSENT
        weights[term] = weight * (_GENERAL if term in _GENERAL_WORDS else 1.0)
    return weights, places


def _names_in(question: str) -> set[str]:
    """The keys of capitalized words, except the first; none in capitals or in title case."""
    words = list(find_words(question))[1:]
    names = {word.key for word in words if question[word.start].isupper()}
    return names if names.isdisjoint(COMMON - _CAPITALIZED) else set()


def _most_in_one_place(
    weights: dict[str, float], places: dict[str, dict[int, float]], index: SegmentIndex
) -> float:
    """The largest weight of terms in adjacent segments."""
    by_segment: dict[int, dict[str, float]] = defaultdict(dict)
    for term, numbers in places.items():
        for number, value in numbers.items():
            by_segment[number][term] = min(value, 1.0)
    most = 0.0
    for first in by_segment:
        found: dict[str, float] = {}
        length, number = 0, first
        while length < _PLACE_TERMS and number < len(index.segments):
            if index.blocks[number] > index.blocks[first] + 1:
                break
            for term, value in by_segment.get(number, {}).items():
                found[term] = max(found.get(term, 0.0), value)
            length += max(index.lengths[number], 1)
            number += 1
        most = max(most, sum(weights[term] * value for term, value in found.items()))
    return most


def _is_question(text: str) -> bool:
    """Whether a text is a question, and not an instruction."""
    return "?" in text or "？" in text or (keys_of(text)[:1] or [""])[0] in _ASKING


def _is_foreign(question: str, index: Index) -> bool:
    """Whether a question is in a language other than the documents'."""
    asked = set(keys_of(question))
    known = {key for key in asked if index.holds(key)}
    if asked & COMMON:
        return not any(index.holds(word) for word in _ENGLISH)
    return len(known) < _MIN_KNOWN * len(asked)
