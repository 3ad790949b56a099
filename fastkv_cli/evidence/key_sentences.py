"""Choose the sentences of documents that say most of what they are about.

No model is needed: a sentence is worth the terms it has, names and numbers more than words, and
each of them less once it was said (SumBasic, Nenkova and Vanderwende, 2005, and the submodular
coverage of Lin and Bilmes, 2011). The model's attention is one more factor.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from math import exp, log

from ..documents import Document
from .plain_line import plain_line
from .segment_index import terms_of
from .segments import Kind, find_segments
from .words import COMMON, find_words, is_number, keys_of

MIN_WORDS, MAX_WORDS = 6, 50
_MIN_LETTERS = 0.85  # of a sentence's characters: less is a formula, a table, or code
_PIECE = 100  # characters: a segment that is longer and has no end mark is a piece of a sentence
# A column's line that strayed into another's sentence: "curiosity to It stands", "seems mw- A tin".
_GARBLED = re.compile(
    r"(?<=[a-z]) (?:It|He|She|They|We|This|These|There|In|If|But|And|When) [a-z]"
    r"|\w- |[•*|<>\\{}=_]|\.\.\."
)
_CLOSE = 0.6  # of the terms of the shorter of two sentences: about the same thing
# Weights of terms, and the factor on a term's weight each time that it was said.
_NUMBER, _SECTION, _NAME, _ONCE, _REPEATED = 2.5, 0.2, 1.0, 0.5, 0.4
_COMMONNESS = 0.7  # exponent of the logarithm of how often a term occurs
_KINDS = 1.0  # weight of having any name, number or date at all
_LENGTH = 0.5  # exponent of the number of words by which a sentence's worth is divided
_SPREAD = 0.8  # factor for each sentence chosen from the same stretch of the text
_LEAD, _LEAD_SHARE = 0.5, 0.1  # factor of the beginning, and the share of the text that it fades in
# Factors on the worth of sentences that do not stand alone.
_DEPENDS, _IN_QUOTES, _SPEECH, _QUESTION, _REFERS, _TELLS = 0.5, 0.3, 0.8, 0.3, 0.7, 1.5
_BROKEN = 0.2

_SECTION_NUMBER = re.compile(r"\d+(?:\.\d+)+")
_END = re.compile(r"[.!?؟۔।。！？][\"”’»)\]」』）]*\Z")
_FIRST = re.compile(r"[\"“„«(\[‘「『]*(\w+)")
_DEPENDENT = frozenset(
    """accordingly additionally alas also although and another as because both but consequently
    each either even finally first further furthermore hence her here his however in instead it its
    likewise moreover neither next nor note now or otherwise perhaps second see she similarly since
    so still such that their them then there therefore these they third this those thus what when
    where which while who yet you your""".split()  # noqa: SIM905
)
_PHRASE = re.compile(
    r"\W*(?:for (?:example|instance|this|that|these|the (?:same|above|following))"
    r"|in (?:addition|fact|this|that|these|such)|at (?:this|that)|as (?:a result|noted|we|i)"
    r"|on the other|of course|with this|to this|the (?:above|latter|former|following))\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\W*(?:this|the) (?:document|specification|standard|report|paper|article|guide|manual|memo"
    r"|book|study|survey|agreement|section|chapter|law|act) "
    r"(?:is|are|was|defines?|describes?|specif(?:y|ies)|provides?|presents?|covers?|explains?)\b",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\b(?:see|section|figure|table|appendix|https?|www)\b", re.IGNORECASE)
_MONTHS = "January|February|March|April|June|July|August|September|October|November|December"
_DATE = re.compile(rf"\b(?:{_MONTHS})\b|\bMay \d|\b(?:1[0-9]|20)\d\d\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class KeySentence:
    """A sentence of a document that can stand in a summary.

    Attributes:
        document: the index of its document.
        start, end: its span in the document's text, in characters.
        text: its words on one line, without markup.
        terms: its content words, each once.
        names: those of them that are names or numbers.
        place: where it begins in the text of all documents, 0 to 1.
        factor: on the worth of its terms; below 1 if it does not stand alone.
        num_words: all its words.
    """

    document: int
    start: int
    end: int
    text: str
    terms: frozenset[str]
    names: frozenset[str]
    place: float
    factor: float
    num_words: int

    def is_close_to(self, other: KeySentence) -> bool:
        """Whether both are about the same thing."""
        shorter = min(len(self.terms), len(other.terms))
        return len(self.terms & other.terms) > _CLOSE * shorter


class TermWeights:
    """What each term of documents is worth: by how often it occurs, and whether it is a name."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._counts: Counter[str] = Counter()
        inside, lower = Counter[str](), Counter[str]()
        for document in documents:
            text = document.text
            end = 0
            for word in find_words(text):
                self._counts[word.key] += 1
                if text[word.start].islower():
                    lower[word.key] += 1
                elif text[word.start].isupper() and _is_inside(text[end : word.start]):
                    inside[word.key] += 1
                end = word.end
        self._names = {key for key, times in inside.items() if times > lower[key]}

    def is_name(self, term: str) -> bool:
        """Whether it is written with a capital within sentences, or is a number."""
        return term in self._names or is_number(term)

    def __getitem__(self, term: str) -> float:
        if is_number(term):
            return _NUMBER * (_SECTION if _SECTION_NUMBER.fullmatch(term) else 1.0)
        times = self._counts[term] if len(term) != 2 else max(self._counts[term], 2)
        worth = log(1 + times) ** _COMMONNESS if times > 1 else _ONCE
        return worth * (1 + _NAME * (term in self._names))


def _is_inside(gap: str) -> bool:
    """Whether the characters between two words are no end of a sentence, a heading or an item."""
    return gap in {" ", "\n", ", ", ",\n"}


def find_key_sentences(documents: Sequence[Document], weights: TermWeights) -> list[KeySentence]:
    """All sentences that can stand in a summary, in order.

    They are whole, of 6 to 50 words, and no table, formula or list of names. If the documents have
    fewer than two of those, all their segments are returned.

    Args:
        documents: in order.
        weights: of their terms.
    """
    total = sum(document.num_characters for document in documents) or 1
    strict: list[KeySentence] = []
    others: list[KeySentence] = []
    before = 0
    for number, document in enumerate(documents):
        is_cut = False  # whether the segment before goes on in the next
        for start, end, kind in _segments(document):
            text = plain_line(document.text[start:end])
            keys = keys_of(text)
            continues, is_cut = is_cut, _goes_on(text, keys)
            terms = frozenset(term for term in terms_of(keys) if term not in COMMON)
            if not terms or kind is Kind.CONTENTS:
                continue
            sentence = KeySentence(
                number,
                start,
                end,
                text,
                terms,
                frozenset(filter(weights.is_name, terms)),
                (before + start) / total,
                _factor(text) * (1 + _LEAD * exp(-start / (_LEAD_SHARE * document.num_characters))),
                len(keys),
            )
            is_fit = kind in {Kind.SENTENCE, Kind.ITEM} and _is_sentence(text, len(keys))
            (strict if is_fit and not continues else others).append(sentence)
        before += document.num_characters
    return strict if len(strict) > 1 else sorted(strict + others, key=lambda each: each.place)


def _segments(document: Document) -> Iterator[tuple[int, int, Kind]]:
    spans = [(page.start, page.end) for page in document.pages]
    for start, end in spans or [(0, document.num_characters)]:
        yield from find_segments(document.text, start, end)


def _is_sentence(text: str, num_words: int) -> bool:
    """Whether a line is a whole sentence of words."""
    first = _FIRST.match(text)
    if first is None or not MIN_WORDS <= num_words <= MAX_WORDS or not _END.search(text):
        return False
    letters = sum(c.isalpha() or c.isspace() for c in text)
    return not first[1][0].islower() and letters >= _MIN_LETTERS * len(text)


def _goes_on(text: str, keys: Sequence[str]) -> bool:
    """Whether a segment is the beginning of a sentence: cut for its length, or at a line's end."""
    return not _END.search(text) and (len(text) > _PIECE or (keys or [""])[-1] in COMMON)


def _factor(text: str) -> float:
    """How well a sentence can be understood without those around it."""
    factor = 1.0
    first = _FIRST.match(text)
    if _ABOUT.match(text):
        factor *= _TELLS
    elif (first and first[1].lower() in _DEPENDENT) or _PHRASE.match(text):
        factor *= _DEPENDS
    if text.count("“") != text.count("”") or text.count('"') % 2:
        factor *= _IN_QUOTES
    elif "“" in text:
        factor *= _SPEECH
    if text.rstrip('"”’)').endswith("?"):
        factor *= _QUESTION
    if _GARBLED.search(text):
        factor *= _BROKEN
    if _REFERENCE.search(text):
        factor *= _REFERS
    return factor


def choose_sentences(
    sentences: Sequence[KeySentence],
    weights: TermWeights,
    sizes: Sequence[int],
    most: int,
    max_size: int,
    attention: Sequence[float] | None = None,
) -> list[KeySentence]:
    """The sentences that together are worth most, in text order; at least one if there are any.

    Greedy: each time the sentence that adds most for its length is taken, unless it is about the
    same thing as one before.

    Args:
        sentences: to choose from.
        weights: of their terms.
        sizes: of each sentence, in tokens.
        most: the maximum number of sentences.
        max_size: the maximum size of all.
        attention: a factor for each sentence; None if not measured.
    """
    said: Counter[str] = Counter()
    taken: Counter[int] = Counter()
    chosen: list[int] = []

    def gain(at: int) -> float:
        sentence = sentences[at]
        worths = [(term, weights[term]) for term in sentence.terms]
        worths += [(kind, _KINDS) for kind in _kinds(sentence)]
        worth = sum(worth * pow(_REPEATED, said[term]) for term, worth in worths)
        seen = 1.0 if attention is None else attention[at]
        spread = pow(_SPREAD, taken[int(sentence.place * most)])
        length = pow(sentence.num_words + 5.0, _LENGTH)
        return float(worth * sentence.factor * spread * seen / length)

    # Gains only fall: the best one that is up to date is the best of all.
    queue = [(-gain(at), at) for at in range(len(sentences))]
    heapify(queue)
    size = 0
    while queue and len(chosen) < most:
        at = queue[0][1]
        sentence = sentences[at]
        is_too_long = bool(chosen) and size + sizes[at] > max_size
        if is_too_long or any(sentence.is_close_to(sentences[other]) for other in chosen):
            heappop(queue)
            continue
        now = -gain(at)
        if len(queue) > 1 and now > min(entry[0] for entry in queue[1:3]):
            heapreplace(queue, (now, at))
            continue
        heappop(queue)
        chosen.append(at)
        size += sizes[at]
        said.update(sentence.terms)
        said.update(_kinds(sentence))
        taken[int(sentence.place * most)] += 1
    return [sentences[at] for at in sorted(chosen)]


def _kinds(sentence: KeySentence) -> Iterator[str]:
    """Whether it tells who or where, how many, and when, as terms that no text has."""
    if any(not is_number(name) for name in sentence.names):
        yield "\0name"
    if any(map(is_number, sentence.names)):
        yield "\0number"
    if _DATE.search(sentence.text):
        yield "\0date"
