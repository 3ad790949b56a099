"""Documents as one run of tokens, and where it may be cut."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..disarm import disarm_headings
from ..documents import Document
from ..documents.source import label
from ..prompts import tokenize_text
from ..stats import DocumentStats

# Where a text may be cut, best first: between documents and pages, paragraphs, lines, sentences,
# words. A higher rank wins over a more even cut.
_PARAGRAPH = re.compile(r"\n{2,}")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s")
_WORD = re.compile(r"\s")


@dataclass(frozen=True, slots=True)
class Corpus:
    """The documents of a run, joined.

    Attributes:
        documents: as they were read, in order.
        token_ids: all tokens, headings between documents counted in.
        starts: per token, where it begins in its document's text, in characters; in a heading,
            which belongs to no text, below 0.
        spans: the tokens of each document.
        cuts: per rank, best first, the token indices at which the text may be cut, ascending.
    """

    documents: tuple[Document, ...]
    token_ids: list[int]
    starts: array[int]
    spans: tuple[slice, ...]
    cuts: tuple[list[int], ...]

    @property
    def num_tokens(self) -> int:
        """Tokens of all documents and headings."""
        return len(self.token_ids)

    @property
    def stats(self) -> tuple[DocumentStats, ...]:
        """What was read of each document."""
        return tuple(
            DocumentStats(
                path=document.path,
                pages=None if document.num_pages is None else len(document.pages),
                characters=document.num_characters,
                tokens=span.stop - span.start,
                kind=document.kind,
                num_pages=document.num_pages,
                pages_empty=len(document.empty),
                pages_failed=len(document.failed),
                pages_left_out=len(document.left_out),
            )
            for document, span in zip(self.documents, self.spans, strict=True)
        )

    def place_of(self, token: int) -> tuple[int, int]:
        """Where a token stands: the number of its document, and the character of its text."""
        return bisect_right(self.spans, token, key=lambda span: span.start) - 1, self.starts[token]

    def split(self, max_tokens: int, span: slice | None = None) -> list[slice]:
        """Cut into parts of at most `max_tokens`, about equally long, at the best places.

        Args:
            max_tokens: the most tokens of a part, 1 or more.
            span: the tokens to cut; None is all of them.
        """
        start, stop = (span.start, span.stop) if span else (0, self.num_tokens)
        parts = []
        while stop - start > max_tokens:
            num_parts = -(-(stop - start) // max_tokens)
            even = start + -(-(stop - start) // num_parts)
            cut = self._best_cut(start + (even - start) // 2, even, start + max_tokens)
            parts.append(slice(start, cut))
            start = cut
        parts.append(slice(start, stop))
        return parts

    def _best_cut(self, low: int, wanted: int, high: int) -> int:
        """The cut of the best rank in (low, high], nearest to the wanted place."""
        for cuts in self.cuts:
            inside = cuts[bisect_left(cuts, low + 1) : bisect_left(cuts, high + 1)]
            if inside:
                return min(inside, key=lambda cut: abs(cut - wanted))
        return wanted


def join_documents(documents: Sequence[Document], tokenizer: Any) -> Corpus:
    """Tokenize documents one after the other; several are each named by a heading.

    Lines of their own that look like one are disarmed.
    """
    token_ids: list[int] = []
    starts = array("i")
    spans: list[slice] = []
    cuts: tuple[list[int], ...] = ([], [], [], [], [])
    for document in documents:
        heading = f"=== {label(document.path)} ===\n\n" if len(documents) > 1 else ""
        own = disarm_headings(document.text) if heading else document.text
        offset, text = len(heading), heading + own + ("\n\n" if heading else "")
        tokens = tokenize_text(tokenizer, text)
        base = len(token_ids)
        pages = [(page.start + offset, page.start + offset) for page in document.pages]
        breaks = [
            [match.span() for match in pattern.finditer(text)]
            for pattern in (_PARAGRAPH, _LINE, _SENTENCE, _WORD)
        ]
        for rank, gaps in enumerate(([(0, 0), *pages], *breaks)):
            cuts[rank].extend(base + at for at in _token_cuts(tokens.starts, gaps))
        token_ids.extend(tokens.token_ids)
        starts.extend(start - offset for start in tokens.starts)
        spans.append(slice(base, len(token_ids)))
    return Corpus(tuple(documents), token_ids, starts, tuple(spans), cuts)


def _token_cuts(starts: list[int], gaps: Iterable[tuple[int, int]]) -> list[int]:
    """The tokens before which the text may be cut, ascending.

    A gap is a run of white space, from its first character to the one behind it. A tokenizer may
    put the space at the head of the next word, so a cut lies at the last token that begins in the
    gap or at its end; a gap inside a token is none. Where several tokens make up one character,
    they begin at the same place, and the cut is before the first.

    Args:
        starts: where each token begins, ascending.
        gaps: (first, last) places for a cut, in characters.
    """
    found = set()
    for first, last in gaps:
        behind = bisect_right(starts, last)
        if behind and starts[behind - 1] >= first:
            found.add(bisect_left(starts, starts[behind - 1]))
    return sorted(found)
