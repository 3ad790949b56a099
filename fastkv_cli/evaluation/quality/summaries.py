"""Check the form of a summary by its sentences, without a human reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...config import SUMMARY_SENTENCES, Length
from ...evidence.words import keys_of
from ...tasks.sentences import Sentence, find_sentences

_CLOSE = 0.6  # share of the shorter sentence's words, above which two are about the same thing
_LOOP_WORDS = 6


@dataclass(frozen=True, slots=True)
class SummaryCheck:
    """The findings on a summary.

    Attributes:
        sentences: number of sentences, including list items and headings.
        words: number of words.
        is_as_long_as_asked: whether it has the number of sentences asked for, in one paragraph, or
            in several for a long summary.
        ends_whole: whether its last sentence is complete.
        repeated: number of sentences that repeat an earlier one in nearly the same words.
        close: number of sentences that share most of their words with an earlier one, including
            the repeated ones.
        looped_words: number of words in runs of six that occurred before.
        out_of_order: number of sentences about an earlier part of the text than the one before.
        unsupported: the share of the content words that are not in the text.
    """

    sentences: int
    words: int
    is_as_long_as_asked: bool
    ends_whole: bool
    repeated: int
    close: int
    looped_words: int
    out_of_order: int
    unsupported: float

    @property
    def is_sound(self) -> bool:
        """Whether it has the right length, is complete, in order, and free of repetition."""
        flaws = self.repeated + self.looped_words + self.out_of_order
        return self.is_as_long_as_asked and self.ends_whole and not flaws


def check_summary(summary: str, length: Length, parts: Sequence[str]) -> SummaryCheck:
    """Check a summary.

    Args:
        summary: as it was shown.
        length: the length asked for.
        parts: the text, split into parts of equal length, in order.
    """
    sentences = find_sentences(summary)
    content = [key for sentence in sentences for key in sentence.content]
    known = {key for part in parts for key in keys_of(part)}
    least, most = SUMMARY_SENTENCES[length]
    has_paragraphs = any(sentence.begins_paragraph for sentence in sentences[1:])
    return SummaryCheck(
        sentences=len(sentences),
        words=len(keys_of(summary)),
        is_as_long_as_asked=least <= len(sentences) <= most
        and has_paragraphs is (length is Length.LONG),
        ends_whole=bool(sentences) and sentences[-1].is_whole,
        repeated=_count_earlier(sentences, Sentence.repeats),
        close=_count_earlier(
            sentences, lambda one, other: one.repeats(other) or _close(one, other)
        ),
        looped_words=_count_looped(keys_of(summary)),
        out_of_order=_count_out_of_order(sentences, parts),
        unsupported=sum(key not in known for key in content) / len(content) if content else 0.0,
    )


def _close(one: Sentence, other: Sentence) -> bool:
    shared = len(one.content & other.content)
    return shared > max(_CLOSE * min(len(one.content), len(other.content)), 2)


def _count_earlier(
    sentences: Sequence[Sentence], like: Callable[[Sentence, Sentence], bool]
) -> int:
    """Count the sentences that are like an earlier one."""
    return sum(
        any(like(sentence, earlier) for earlier in sentences[:at])
        for at, sentence in enumerate(sentences)
    )


def _count_looped(keys: Sequence[str]) -> int:
    seen: set[tuple[str, ...]] = set()
    looped: set[int] = set()
    for at in range(len(keys) - _LOOP_WORDS + 1):
        run = tuple(keys[at : at + _LOOP_WORDS])
        if run in seen:
            looped.update(range(at, at + _LOOP_WORDS))
        seen.add(run)
    return len(looped)


def _count_out_of_order(sentences: Sequence[Sentence], parts: Sequence[str]) -> int:
    """Assign each sentence to the part with most of its words, rare ones weighing more."""
    words = [set(keys_of(part)) for part in parts]
    spread = Counter(key for each in words for key in each)
    places = []
    for sentence in sentences:
        weights = [sum(1 / spread[key] for key in sentence.content & each) for each in words]
        if max(weights, default=0) > 0:
            places.append(weights.index(max(weights)))
    return sum(later < earlier for earlier, later in pairwise(places))
