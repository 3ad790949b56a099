"""An index of what can be quoted: which segments hold which terms, and words spelled alike."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from .index import Index
from .segments import Kind, Segment, find_segments
from .words import is_number, keys_of

_GRAM = 4  # characters that words must share to be compared at all; 3 in Arabic
_MIN_LETTERS = 5  # of words that are compared by their spelling
_MIN_BEGINNING = 4
_MIN_ALIKE = 0.5  # Dice's coefficient of two words, or the share of a common beginning
_FIRST_UNSPACED = "\u3040"  # kana and Han: written without spaces between words


@dataclass(frozen=True, slots=True)
class SegmentIndex:
    """The segments of all documents, in order.

    Attributes:
        index: of the documents, whose blocks are the pages.
        segments: in order.
        blocks: the block of each segment.
        lengths: the number of terms in each segment.
        headings: the heading above each segment, as its number; -1 if there is none.
    """

    index: Index
    segments: tuple[Segment, ...]
    blocks: array[int]
    lengths: array[int]
    headings: array[int]
    _holders: Mapping[str, list[int]]
    _grams: dict[str, list[str]] = field(default_factory=dict, compare=False)

    def count(self, term: str) -> dict[int, float]:
        """How often each segment holds a term, or words like it, which count for less than 1."""
        found: dict[int, float] = dict(Counter(self._holders.get(term, ())))
        for word, alike in self._spelled_alike(term):
            for number in self._holders[word]:
                found[number] = max(found.get(number, 0.0), alike)
        return found

    def text_of(self, first: int, last: int) -> str:
        """The text from one segment to another of the same block."""
        block = self.index.blocks[self.blocks[first]]
        text = self.index.documents[block.document].text
        return text[self.segments[first].start : self.segments[last].end]

    def _spelled_alike(self, term: str) -> Iterator[tuple[str, float]]:
        """Words with the same beginning or most of their letters, and how alike they are, 0 to 1.

        Inflections and derivations (publish, publication), and parts of compounds.
        """
        if len(term) < _MIN_LETTERS or is_number(term):
            return
        if not self._grams:
            self._grams.update(_group_by_grams(self._holders))
        mine = _grams_of(term)
        shared = Counter(word for gram in mine for word in self._grams.get(gram, ()))
        for word, num_shared in shared.items():
            theirs = len(word) - _GRAM + 1
            beginning = _same_beginning(term, word)
            if beginning >= max(_MIN_BEGINNING, 0.6 * min(len(term), len(word))):
                alike = max(
                    beginning / max(len(term), len(word)),
                    2 * num_shared / (len(mine) + theirs),
                )
            elif num_shared >= min(len(mine), theirs):  # one holds the other
                alike = 2 * num_shared / (len(mine) + theirs)
            else:
                continue
            if word != term and alike >= _MIN_ALIKE:
                yield word, alike


def index_segments(index: Index) -> SegmentIndex:
    """Build the index in one pass over the text of an index's documents."""
    segments: list[Segment] = []
    blocks, lengths, headings = array("i"), array("i"), array("i")
    holders: dict[str, list[int]] = {}
    heading = -1
    for at, segment in _all_segments(index):
        number = len(segments)
        document = index.documents[index.blocks[at].document]
        terms = terms_of(keys_of(document.text[segment.start : segment.end]))
        for term in terms:
            holders.setdefault(term, []).append(number)
        if segment.kind is Kind.HEADING:
            heading = number
        segments.append(segment)
        blocks.append(at)
        lengths.append(len(terms))
        headings.append(heading)
    return SegmentIndex(index, tuple(segments), blocks, lengths, headings, holders)


def terms_of(keys: Iterable[str]) -> list[str]:
    """Words as they are; of scripts without spaces, pairs of adjacent characters."""
    terms: list[str] = []
    before = ""  # a character of such a script
    is_paired = False
    for key in keys:
        if len(key) == 1 and key >= _FIRST_UNSPACED:
            if before:
                terms.append(before + key)
            is_paired, before = bool(before), key
            continue
        if before and not is_paired:
            terms.append(before)
        before, is_paired = "", False
        terms.append(key)
    if before and not is_paired:
        terms.append(before)
    return terms


def _all_segments(index: Index) -> Iterator[tuple[int, Segment]]:
    """Each segment with its block; blocks of documents without pages end within sentences."""
    for number, document in enumerate(index.documents):
        spans = [(page.start, page.end) for page in document.pages]
        for start, end in spans or [(0, document.num_characters)]:
            for segment in find_segments(document.text, start, end):
                block = index.block_at(number, segment.start)
                assert block is not None
                yield block, segment


def _same_beginning(one: str, other: str) -> int:
    """How many characters two words begin with alike."""
    for number, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return number
    return min(len(one), len(other))


def _grams_of(word: str) -> set[str]:
    return {word[at : at + _GRAM] for at in range(len(word) - _GRAM + 1)}


def _group_by_grams(words: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for word in words:
        if len(word) >= _GRAM and not is_number(word):
            for gram in _grams_of(word):
                groups.setdefault(gram, []).append(word)
    return groups
