"""An index of documents: blocks of normalized words, each a page or about as many lines."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..documents import Document
from .words import keys_of

BLOCK_CHARACTERS = 1500  # in documents without pages; a block ends at a line end if there is one
WINDOW = 60  # words in a few sentences: terms within this distance are taken to belong together

# (position in words, term), by position.
Hits = list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Block:
    """A page, or some lines of a document without pages.

    Attributes:
        document: the index of its document.
        page: its number; None if the document has no pages.
        start, end: its span in the document's text, in characters.
        keys: the keys of its words, with a space before, between and after them.
    """

    document: int
    page: int | None
    start: int
    end: int
    keys: str

    def holds(self, phrase: str) -> bool:
        """Whether a phrase, as keys separated by spaces, occurs in this block."""
        return f" {phrase} " in self.keys

    def find(self, terms: Collection[str]) -> Hits:
        """Find terms; a term is the key of a word, or those of two adjacent words."""
        wanted = {word for term in terms for word in term.split()}
        words = [(at, word) for at, word in enumerate(self.keys.split()) if word in wanted]
        pairs = [
            (at, f"{word} {other}")
            for (at, word), (after, other) in pairwise(words)
            if after == at + 1
        ]
        return sorted(hit for hit in words + pairs if hit[1] in terms)


@dataclass(frozen=True, slots=True)
class Index:
    """The blocks of all documents, in order; built in one pass over the text."""

    documents: tuple[Document, ...]
    blocks: tuple[Block, ...]
    _counts: dict[str, int] = field(default_factory=dict, compare=False)

    def count(self, phrase: str) -> int:
        """The number of blocks that contain a phrase."""
        if phrase not in self._counts:
            self._counts[phrase] = sum(block.holds(phrase) for block in self.blocks)
        return self._counts[phrase]

    def holds(self, phrase: str) -> bool:
        """Whether a phrase occurs in a block, or across the boundary of two."""
        if self.count(phrase):
            return True
        return " " in phrase and f" {phrase} " in "".join(block.keys[:-1] for block in self.blocks)

    def begins(self, stem: str) -> bool:
        """Whether any word begins with these letters."""
        return any(f" {stem}" in block.keys for block in self.blocks)

    def block_at(self, document: int, character: int) -> int | None:
        """The number of the block with a character; None if that is negative, as in a heading."""
        place = (document, character)
        at = bisect_right(self.blocks, place, key=lambda block: (block.document, block.start)) - 1
        return at if character >= 0 and at >= 0 and self.blocks[at].document == document else None


def index_documents(documents: Sequence[Document]) -> Index:
    """Build the index."""
    blocks = [
        Block(number, page, start, end, f" {' '.join(keys_of(document.text[start:end]))} ")
        for number, document in enumerate(documents)
        for page, start, end in _cut(document)
    ]
    return Index(tuple(documents), tuple(blocks))


def most_together(hits: Hits, weights: Mapping[str, float]) -> float:
    """The largest total weight of distinct terms within `WINDOW` words."""
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
    """Split a document into its pages, or into runs of lines."""
    for page in document.pages:
        yield page.number, page.start, page.end
    start = 0
    while not document.pages and start < document.num_characters:
        end = document.text.find("\n", start + BLOCK_CHARACTERS)
        end = end + 1 if end >= 0 else document.num_characters
        most = start + 2 * BLOCK_CHARACTERS
        if end > most:  # a line of excessive length is cut between words
            end = document.text.rfind(" ", start + 1, most) + 1 or most
        yield None, start, end
        start = end
