"""Build a summary from notes on the parts of a text: select sentences, and keep their order.

A small model takes good notes on a page or two, but fails on forty notes: it repeats their labels,
invents, or gives up. So the notes' own sentences are selected by criteria that can be checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import SUMMARY_SENTENCES, Length
from ..evidence.words import is_number, keys_of
from .sentences import Sentence, find_sentences, join_sentences

_MIN_SUPPORT = 0.6  # of a sentence's words, in the part it is about
_MIN_CONTENT, _MAX_CONTENT = 3, 15  # content words: minimum, and maximum that adds to a score
_MAX_WORDS = 60
_TOO_CLOSE = 0.6  # of the content words of the shorter of two sentences
_PARAGRAPHS = 5  # of a long summary


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a note.

    Attributes:
        place: the number of the part, and of the sentence in its note.
        sentence: the sentence.
        score: supported share of its content words, times their number (at most 15).
    """

    place: tuple[int, int]
    sentence: Sentence
    score: float

    def is_close_to(self, other: Candidate) -> bool:
        """Whether both are about the same thing."""
        mine, theirs = self.sentence.content, other.sentence.content
        return len(mine & theirs) > _TOO_CLOSE * min(len(mine), len(theirs))


def find_candidates(notes: Sequence[str], parts: Sequence[str]) -> list[Candidate]:
    """The sentences of the notes that have content, supported by their part.

    Rejected are list items, truncated sentences, sentences about the document instead of its
    content, and those with a number, or too many words, not found in the part.

    Args:
        notes: on the parts, in order.
        parts: the texts of the parts.
    """
    found = []
    for number, (note, part) in enumerate(zip(notes, parts, strict=True)):
        known = set(keys_of(part))
        for at, sentence in enumerate(find_sentences(note)):
            support = support_of(sentence, known)
            is_fit = sentence.is_whole and not sentence.is_item and len(sentence.keys) <= _MAX_WORDS
            if is_fit and support >= _MIN_SUPPORT and len(sentence.content) >= _MIN_CONTENT:
                score = support * min(len(sentence.content), _MAX_CONTENT)
                found.append(Candidate((number, at), sentence, score))
    return found


def support_of(sentence: Sentence, known: set[str]) -> float:
    """The share of a sentence's content words that are known, 0 to 1; 0 if a number is not."""
    content = sentence.content
    missing = content - known
    if not content or any(map(is_number, missing)):
        return 0.0
    return 1 - len(missing) / len(content)


def choose(candidates: Sequence[Candidate], num_parts: int, most: int) -> list[Candidate]:
    """Up to `most` different sentences, spread evenly over the parts, in text order.

    The parts form as many groups as there are sentences wanted. Each group contributes its best
    sentence; if some have none, others contribute their second.
    """
    num_groups = max(min(most, num_parts), 1)
    best_first = sorted(candidates, key=lambda candidate: -candidate.score)
    chosen: list[Candidate] = []
    taken = [0] * num_groups
    for turn in range(most):
        for candidate in best_first:
            group = candidate.place[0] * num_groups // num_parts
            if len(chosen) == most:
                break
            if taken[group] > turn or any(map(candidate.is_close_to, chosen)):
                continue
            chosen.append(candidate)
            taken[group] += 1
    return sorted(chosen, key=lambda candidate: candidate.place)


def write(chosen: Sequence[Candidate], num_parts: int, length: Length) -> str:
    """Join the sentences to one paragraph; for a long summary, one per group of adjacent parts."""
    num_paragraphs = min(_PARAGRAPHS, num_parts) if length is Length.LONG else 1
    sentences: list[Sentence] = []
    last = 0
    for candidate in chosen:
        paragraph = candidate.place[0] * num_paragraphs // num_parts
        sentences.append(Sentence(candidate.sentence.text, True, paragraph > last))
        last = paragraph
    return join_sentences(sentences)


def is_faithful(summary: Sequence[Sentence], chosen: Sequence[Candidate], length: Length) -> bool:
    """Whether a model's summary of the chosen sentences can be trusted.

    It must have the length asked for, in whole sentences that are supported by the chosen ones and
    keep their order.
    """
    least, most = SUMMARY_SENTENCES[length]
    if not least <= len(summary) <= most:
        return False
    known = {key for candidate in chosen for key in candidate.sentence.keys}
    sources = []
    for sentence in summary:
        is_fit = sentence.is_whole and not sentence.is_item
        if not is_fit or support_of(sentence, known) < _MIN_SUPPORT:
            return False
        shared = [len(sentence.content & candidate.sentence.content) for candidate in chosen]
        sources.append(shared.index(max(shared)))
    return sources == sorted(sources)
