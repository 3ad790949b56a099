"""Join a summary from key sentences and what a model made of them: a check against invention.

A small model asked to rewrite ten sentences drops half of the facts and adds some. So each of its
sentences is compared with the key sentences that it covers, and takes their place only if it says
nothing else and loses no name and no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..evidence.words import COMMON, is_number
from .sentences import Sentence, gap_between

MIN_SUPPORT = 0.7  # of a sentence's content words, in the key sentences that it covers
_MIN_COVERED = 0.5  # of a key sentence's content words, in a sentence that covers it


@dataclass(frozen=True, slots=True)
class Point:
    """A key sentence as it stands in the summary, and the keys of its names and numbers."""

    sentence: Sentence
    names: frozenset[str]


class Digest:
    """A summary that grows from the first key sentence to the last.

    Attributes:
        num_rewritten: the key sentences whose place a sentence of the model has taken.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points
        self._next = 0  # the first point that is not in the summary yet
        self._before: Sentence | None = None
        self.num_rewritten = 0

    def add(self, said: Sentence, *, translated: bool = False) -> str:
        """Put a model's sentence in its place, if it holds; returns the new text of the summary.

        Args:
            said: the sentence.
            translated: whether it is in another language, so that only numbers can be compared.
        """
        said = Sentence(_unmarked(said.text), said.is_whole, said.begins_paragraph)
        if translated:
            numbers = {key for point in self._points for key in point.names if is_number(key)}
            holds = said.is_whole and set(filter(is_number, said.keys)) <= numbers
            return self._show(said) if holds else ""
        covered = self._covered_by(said)
        if not covered or covered[0] < self._next or not self._holds(said, covered):
            return ""
        before = "".join(
            self._show(point.sentence) for point in self._points[self._next : covered[0]]
        )
        self._next = covered[-1] + 1
        self.num_rewritten += len(covered)
        theirs = self._points[covered[0]].sentence
        text = f"- {said.text}" if theirs.is_item else said.text
        return before + self._show(Sentence(text, True, theirs.begins_paragraph))

    def finish(self, *, leaves_out: bool = False) -> str:
        """The rest of the summary: the key sentences that no sentence took the place of.

        Args:
            leaves_out: leave them out, unless there would be no summary.
        """
        if leaves_out and self._before is not None:
            return ""
        rest, self._next = self._points[self._next :], len(self._points)
        return "".join(self._show(point.sentence) for point in rest)

    def _covered_by(self, said: Sentence) -> list[int]:
        """The adjacent points whose content is in a sentence for the most part."""
        covered = [
            at
            for at, point in enumerate(self._points)
            if len(point.sentence.content & said.content)
            >= _MIN_COVERED * max(len(point.sentence.content), 1)
        ]
        is_run = covered and covered[-1] - covered[0] + 1 == len(covered)
        return covered if is_run else []

    def _holds(self, said: Sentence, covered: Sequence[int]) -> bool:
        """Whether a sentence says what the covered points say, nothing else, and not longer."""
        sources = [self._points[at] for at in covered]
        known = {key for source in sources for key in source.sentence.keys}
        names = {key for source in sources for key in source.names}
        content = set(said.keys) - COMMON
        missing = content - known
        length = sum(len(source.sentence.text) for source in sources)
        return (
            said.is_whole
            and len(said.text) <= length
            and names <= set(said.keys)
            and not any(map(is_number, missing))
            and not _has_new_name(said, missing)
            and len(missing) <= (1 - MIN_SUPPORT) * len(content)
        )

    def _show(self, sentence: Sentence) -> str:
        text = gap_between(self._before, sentence) + sentence.text
        self._before = sentence
        return text


def _has_new_name(said: Sentence, missing: set[str]) -> bool:
    """Whether a sentence has a word with a capital, not its first, that no source has."""
    words = said.text.split()[1:]
    return any(word[:1].isupper() and set(Sentence(word, True).keys) & missing for word in words)


def _unmarked(text: str) -> str:
    """A list item without its mark."""
    return text.split(maxsplit=1)[1] if Sentence(text, True).is_item else text
