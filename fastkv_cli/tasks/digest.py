"""A summary made of notes on the parts of a text: which of their sentences to take, in order.

A small model takes notes on a page or two well, but makes little of forty notes: it repeats their
labels, invents, or gives up. So the notes' own sentences are chosen from, by what can be checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import SUMMARY_SENTENCES, Length
from ..evidence.words import is_number, keys_of
from .sentences import Sentence, find_sentences, join_sentences

_MIN_SUPPORT = 0.6  # of a sentence's words, in the part that it is about
_MIN_CONTENT, _MAX_CONTENT = 3, 15  # words that say something; more earn a sentence nothing
_MAX_WORDS = 60
_TOO_CLOSE = 0.6  # of the words of the shorter of two sentences
_PARAGRAPHS = 5  # of a long summary


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a note.

    Attributes:
        place: the number of the part, and of the sentence in its note.
        sentence: itself.
        score: how much it says that stands in the part.
    """

    place: tuple[int, int]
    sentence: Sentence
    score: float

    def is_close_to(self, other: Candidate) -> bool:
        """Whether both speak of the same."""
        mine, theirs = self.sentence.content, other.sentence.content
        return len(mine & theirs) > _TOO_CLOSE * min(len(mine), len(theirs))


def find_candidates(notes: Sequence[str], parts: Sequence[str]) -> list[Candidate]:
    """The sentences of the notes that say something, and something that stands in their part.

    Left out are items of lists, sentences cut short, those that speak of the document and not of
    what it says, and those with a number, or too many words, that the part does not have.

    Args:
        notes: on the parts, in their order.
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
    """The share of a sentence's words that are known, 0 to 1; 0 where a number is not."""
    content = sentence.content
    missing = content - known
    if not content or any(map(is_number, missing)):
        return 0.0
    return 1 - len(missing) / len(content)


def choose(candidates: Sequence[Candidate], num_parts: int, most: int) -> list[Candidate]:
    """Up to `most` sentences that differ, spread evenly over the parts, in the order of the text.

    The parts are put into as many groups as sentences are wanted; each group gives its best one,
    and where some have none, others give their second.
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
    """The sentences as one paragraph; a long summary as several, each of neighbouring parts."""
    num_paragraphs = min(_PARAGRAPHS, num_parts) if length is Length.LONG else 1
    sentences: list[Sentence] = []
    last = 0
    for candidate in chosen:
        paragraph = candidate.place[0] * num_paragraphs // num_parts
        sentences.append(Sentence(candidate.sentence.text, True, paragraph > last))
        last = paragraph
    return join_sentences(sentences)


def holds_up(summary: Sequence[Sentence], chosen: Sequence[Candidate], length: Length) -> bool:
    """Whether what a model made of chosen sentences is a summary of them.

    It is as long as asked for, in whole sentences, says of each nothing but what stands there, and
    keeps their order.
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
