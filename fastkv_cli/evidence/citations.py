"""Find the pages that support an answer: by its words, and by the model's attention."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import log

from ..stats import Citation
from .index import Hits, Index, most_together
from .words import COMMON, find_words, is_number, keys_of

MAX_CITATIONS = 5
SNIPPET_CHARACTERS = 200
_MIN_SHARE = 0.1  # of the weight of all terms, for a further citation
# Weights of terms besides their rarity. Numbers weigh more than words. Terms that are also in the
# question weigh less: they only decide between places that have the answer's.
_NUMBER, _QUESTION, _PAIR = 1.5, 0.5, 0.5
_ANSWER_ONLY = 3.0  # weight of terms that only the answer has, in the choice of the snippet
# Attention's part of the score; the rest is the words'. Of 43 right answers, the right page was
# ranked first for 42 with 0.05 to 0.2, for 39 with 0.4, and for 27 by attention alone.
_ATTENTION = 0.1

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n{2,}|\n(?=[^\S\n]*+(?:[-*•◦]|\d+[.)])\s)")


def cite(
    answer: str, question: str, index: Index, attention: Sequence[float] | None = None
) -> tuple[Citation, ...]:
    """The pages that support an answer, best first; none if its words occur nowhere.

    A page's score is the share of the terms of answer and question, weighted by rarity, that occur
    close together on it, plus a part of the model's attention to it. Further pages count for the
    answer's terms that the pages before them lack.

    Args:
        answer: the answer's text.
        question: the user's question; empty for a summary.
        index: of the documents.
        attention: the share of each block of the index, with sum 1; None if not measured.
    """
    hits, weights = _find_hits(answer, question, index)
    total = sum(weights.values())
    if not total:
        return ()
    asked = set(_terms(question))
    cited: dict[int, float] = {}
    left = dict(weights)
    while len(cited) < min(MAX_CITATIONS, len(hits)):
        scores = {
            at: _score(block, left, total, None if attention is None else attention[at])
            for at, block in enumerate(hits)
            if at not in cited
        }
        best = max(scores, key=lambda at: scores[at])
        present = {term for _, term in hits[best]} & left.keys()
        gain = sum(left[term] for term in present - asked)
        if not present or (cited and gain < _MIN_SHARE * total):
            break
        cited[best] = scores[best]
        left = {term: weight for term, weight in left.items() if term not in present}
    return tuple(_citation(index, at, weights, asked, score) for at, score in cited.items())


def _terms(text: str) -> list[str]:
    """The content words of a text, and pairs of adjacent words with at least one of them."""
    keys = keys_of(text)
    pairs = [f"{one} {other}" for one, other in pairwise(keys) if not {one, other} <= COMMON]
    return [key for key in keys if key not in COMMON] + pairs


def _find_hits(answer: str, question: str, index: Index) -> tuple[list[Hits], dict[str, float]]:
    """The hits of all terms in each block, and the weight of each term."""
    asked, said = set(_terms(question)), set(_terms(answer))
    terms = asked | said
    hits = [block.find(terms) for block in index.blocks]
    found = Counter(term for block in hits for term in {term for _, term in block})
    weights = {}
    for term, count in found.items():
        weight = log((len(hits) + 1) / count)
        weight *= _PAIR if " " in term else _NUMBER if is_number(term) else 1.0
        weights[term] = weight * (_QUESTION if term in asked else 1.0)
    return hits, weights


def _score(
    hits: Hits, weights: Mapping[str, float], total: float, attention: float | None
) -> float:
    """A block's score, 0 to 1."""
    words = min(most_together(hits, weights) / total, 1.0)  # rounding of sums
    return words if attention is None else (1 - _ATTENTION) * words + _ATTENTION * attention


def _citation(
    index: Index, at: int, weights: Mapping[str, float], asked: set[str], score: float
) -> Citation:
    """The citation of a block, with the sentence that supports the answer best."""
    block = index.blocks[at]
    document = index.documents[block.document]
    worth = {
        term: weight * (1 if term in asked else _ANSWER_ONLY) for term, weight in weights.items()
    }
    start, snippet = _best_sentence(document.text[block.start : block.end], worth)
    line = document.line_at(block.start + start) if block.page is None else None
    return Citation(document.path, block.page, line, score, snippet)


def _best_sentence(text: str, weights: Mapping[str, float]) -> tuple[int, str]:
    """The sentence with the highest weight: where it begins, and the part shown as snippet."""
    ends = [match.start() for match in _SENTENCE_END.finditer(text)]
    spans = list(pairwise([0, *ends, len(text)]))
    start, end = max(spans, key=lambda span: _worth(_terms(text[slice(*span)]), weights))
    start += len(text[start:end]) - len(text[start:end].lstrip())
    offset, part = _clip(text[start:end].rstrip(), weights)
    return start + offset, "".join(c for c in " ".join(part.split()) if c.isprintable())


def _worth(terms: Iterable[str], weights: Mapping[str, float]) -> float:
    return sum(weights.get(term, 0.0) for term in set(terms))


def _clip(sentence: str, weights: Mapping[str, float]) -> tuple[int, str]:
    """The part of a sentence that fits a snippet with the highest weight, and its offset."""
    if len(sentence) <= SNIPPET_CHARACTERS:
        return 0, sentence
    words = list(find_words(sentence))
    room = SNIPPET_CHARACTERS - 2 * len("… ")
    best, begin, end = -1.0, 0, room
    last = 0
    for at, word in enumerate(words):
        while last < len(words) and words[last].end - word.start <= room:
            last += 1
        worth = _worth((inside.key for inside in words[at:last]), weights)
        if last > at and worth > best:
            best, begin, end = worth, word.start, words[last - 1].end
    before, after = "… " if begin else "", " …" if end < len(sentence) else ""
    return begin, f"{before}{sentence[begin:end]}{after}"
