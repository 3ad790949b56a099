"""Which pages carried an answer: where its words stand together, and where the model looked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import log

from ..stats import Citation
from .index import Block, Index
from .words import find_words, is_number, keys_of

MAX_CITATIONS = 5
SNIPPET_CHARACTERS = 200
_MIN_SHARE = 0.1  # of the answer's words, for a further citation
_WINDOW = 60  # words within which those of answer and question should stand
# What a word is worth beside its rarity; a number says more than a word, and what the question
# has too says less: the question's words only tell apart places that hold the answer's.
_NUMBER, _QUESTION, _PAIR = 1.5, 0.5, 0.5
_SAID = 3.0  # in the choice of the sentence to show, what the answer has and the question has not
_ATTENTION = 0.2  # the model's part in the score; the rest is that of the words

_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n{2,}|\n(?=\s*(?:[-*•◦]|\d+[.)])\s)")
_Hits = list[tuple[int, str]]


def cite(
    answer: str, question: str, index: Index, attention: Sequence[float] | None = None
) -> tuple[Citation, ...]:
    """The pages that carried an answer, best first; none where its words stand nowhere.

    A page is worth the share of the answer's words, by how rare they are, that stand close together
    on it, and a little of the attention that the model paid to it. Further pages count for what
    those before them lack.

    Args:
        answer: what was said.
        question: what was asked; nothing for a summary.
        index: of the documents.
        attention: of each block of the index, adding up to 1; None where it was not measured.
    """
    hits, weights = _find_hits(answer, question, index)
    total = sum(weights.values())
    if not total:
        return ()
    asked = set(_terms(question))
    citations: list[Citation] = []
    left = dict(weights)
    while len(citations) < MAX_CITATIONS:
        scores = _scores(hits, left, total, attention)
        best = max(scores, key=lambda at: scores[at])
        present = {term for _, term in hits[best]} & left.keys()
        gain = sum(left[term] for term in present - asked)
        if scores[best] <= 0 or (citations and gain < _MIN_SHARE * total):
            break
        citations.append(_citation(index, best, weights, asked, min(scores[best], 1.0)))
        left = {term: weight for term, weight in left.items() if term not in present}
    return tuple(citations)


def _terms(text: str) -> list[str]:
    """The words of a text, and each with the one behind it."""
    keys = keys_of(text)
    return keys + [f"{one} {other}" for one, other in pairwise(keys)]


def _find_hits(answer: str, question: str, index: Index) -> tuple[list[_Hits], dict[str, float]]:
    """Where in each block a term stands, in words; and what each term is worth."""
    asked, said = set(_terms(question)), set(_terms(answer))
    terms = asked | said
    hits = [_find_in(block, terms) for block in index.blocks]
    found = Counter(term for block in hits for term in {term for _, term in block})
    weights = {}
    for term, count in found.items():
        weight = log((len(hits) + 1) / count)
        weight *= _PAIR if " " in term else _NUMBER if is_number(term) else 1.0
        weights[term] = weight * (_QUESTION if term in asked else 1.0)
    return hits, weights


def _find_in(block: Block, terms: set[str]) -> _Hits:
    words = block.stream.split()
    singles = [(at, word) for at, word in enumerate(words) if word in terms]
    pairs = [
        (at, pair)
        for (at, word), (after, other) in pairwise(singles)
        if after == at + 1 and (pair := f"{word} {other}") in terms
    ]
    return sorted(singles + pairs)


def _scores(
    hits: Sequence[_Hits],
    weights: Mapping[str, float],
    total: float,
    attention: Sequence[float] | None,
) -> dict[int, float]:
    """What each block is worth, 0 to 1."""
    scores = {at: _best_window(block, weights) / total for at, block in enumerate(hits)}
    if attention is None:
        return scores
    return {
        at: (1 - _ATTENTION) * score + _ATTENTION * attention[at] for at, score in scores.items()
    }


def _best_window(hits: _Hits, weights: Mapping[str, float]) -> float:
    """The most that different terms within a window of words are worth together."""
    inside: Counter[str] = Counter()
    best = worth = 0.0
    first = 0
    for at, term in hits:
        if term not in weights:
            continue
        while hits[first][0] <= at - _WINDOW:
            gone = hits[first][1]
            first += 1
            if gone in weights:
                inside[gone] -= 1
                worth -= weights[gone] if not inside[gone] else 0.0
        worth += weights[term] if not inside[term] else 0.0
        inside[term] += 1
        best = max(best, worth)
    return best


def _citation(
    index: Index, at: int, weights: Mapping[str, float], asked: set[str], score: float
) -> Citation:
    """The block as a citation, with the sentence that says what the answer says."""
    block = index.blocks[at]
    document = index.documents[block.document]
    worth = {term: weight * (1 if term in asked else _SAID) for term, weight in weights.items()}
    start, snippet = _best_sentence(document.text[block.start : block.end], worth)
    line = document.text.count("\n", 0, block.start + start) + 1 if block.page is None else None
    return Citation(document.path, block.page, line, score, snippet)


def _best_sentence(text: str, weights: Mapping[str, float]) -> tuple[int, str]:
    """Where the sentence with the most of the terms begins, and what of it a snippet holds."""
    ends = [match.start() for match in _SENTENCE_END.finditer(text)]
    spans = list(pairwise([0, *ends, len(text)]))
    start, end = max(spans, key=lambda span: _worth(_terms(text[slice(*span)]), weights))
    start += len(text[start:end]) - len(text[start:end].lstrip())
    offset, part = _clip(text[start:end].rstrip(), weights)
    return start + offset, "".join(c for c in " ".join(part.split()) if c.isprintable())


def _worth(terms: Iterable[str], weights: Mapping[str, float]) -> float:
    return sum(weights.get(term, 0.0) for term in set(terms))


def _clip(sentence: str, weights: Mapping[str, float]) -> tuple[int, str]:
    """The part of a sentence that fits a snippet and holds the most, and where it begins."""
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
