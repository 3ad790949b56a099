"""Documents as blocks of normalized words: a page each, or about as many lines."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..documents import Document
from .words import keys_of

BLOCK_CHARACTERS = 1500  # of a document without pages; blocks end with a line where one ends
WINDOW = 60  # words that speak of one thing, more or less: a few sentences

# Where terms stand in a block, in words: ascending.
Hits = list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Block:
    """A page, or some lines of a document that has none.

    Attributes:
        document: which of the documents.
        page: its number; None where the document has no pages.
        start, end: the characters of the document's text.
        stream: the keys of its words, with a blank before, between and behind them.
    """

    document: int
    page: int | None
    start: int
    end: int
    stream: str

    def holds(self, phrase: str) -> bool:
        """Whether the keys of a phrase, with blanks between, stand here one after the other."""
        return f" {phrase} " in self.stream

    def find(self, terms: Collection[str]) -> Hits:
        """Where terms stand, keys of words or of two words that follow each other."""
        wanted = {word for term in terms for word in term.split()}
        words = [(at, word) for at, word in enumerate(self.stream.split()) if word in wanted]
        pairs = [
            (at, f"{word} {other}")
            for (at, word), (after, other) in pairwise(words)
            if after == at + 1
        ]
        return sorted(hit for hit in words + pairs if hit[1] in terms)


@dataclass(frozen=True, slots=True)
class Index:
    """The blocks of all documents, in order; made in one pass over the text."""

    documents: tuple[Document, ...]
    blocks: tuple[Block, ...]
    _counts: dict[str, int] = field(default_factory=dict, compare=False)

    def count(self, phrase: str) -> int:
        """In how many blocks a phrase stands."""
        if phrase not in self._counts:
            self._counts[phrase] = sum(block.holds(phrase) for block in self.blocks)
        return self._counts[phrase]

    def holds(self, phrase: str) -> bool:
        """Whether a phrase stands in a block, or across the end of one."""
        if self.count(phrase):
            return True
        return " " in phrase and f" {phrase} " in "".join(
            block.stream[:-1] for block in self.blocks
        )

    def begins(self, stem: str) -> bool:
        """Whether a word begins with these letters."""
        return any(f" {stem}" in block.stream for block in self.blocks)

    def block_at(self, document: int, character: int) -> int | None:
        """The number of the block that holds a character; None for a negative one, a heading."""
        place = (document, character)
        at = bisect_right(self.blocks, place, key=lambda block: (block.document, block.start)) - 1
        return at if character >= 0 and at >= 0 and self.blocks[at].document == document else None


def index_documents(documents: Sequence[Document]) -> Index:
    """Read all words of the documents once."""
    blocks = [
        Block(number, page, start, end, f" {' '.join(keys_of(document.text[start:end]))} ")
        for number, document in enumerate(documents)
        for page, start, end in _cut(document)
    ]
    return Index(tuple(documents), tuple(blocks))


def most_together(hits: Hits, weights: Mapping[str, float]) -> float:
    """The most that different terms are worth together that stand within a window."""
    inside: Counter[str] = Counter()
    best = worth = 0.0
    first = 0
    for at, term in hits:
        if term not in weights:
            continue
        while hits[first][0] <= at - WINDOW:
            gone = hits[first][1]
            first += 1
            if gone in weights:
                inside[gone] -= 1
                worth -= weights[gone] if not inside[gone] else 0.0
        worth += weights[term] if not inside[term] else 0.0
        inside[term] += 1
        best = max(best, worth)
    return best


def _cut(document: Document) -> Iterator[tuple[int | None, int, int]]:
    """The pages of a document, or stretches of its lines."""
    for page in document.pages:
        yield page.number, page.start, page.end
    start = 0
    while not document.pages and start < document.num_characters:
        end = document.text.find("\n", start + BLOCK_CHARACTERS)
        end = end + 1 if end >= 0 else document.num_characters
        most = start + 2 * BLOCK_CHARACTERS
        if end > most:  # a line without end is cut between words
            end = document.text.rfind(" ", start + 1, most) + 1 or most
        yield None, start, end
        start = end
