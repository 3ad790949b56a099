"""Documents as one run of tokens, and where it may be cut."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

from ..documents import Document
from ..documents.source import label
from ..prompts.disarm import disarm_headings
from ..prompts.prompt import tokenize_document
from ..stats import DocumentStats
from .text_limits import TextLimits

# Where a text may be cut, best first: between documents and pages, paragraphs, lines, sentences,
# words. A higher rank wins over a more even cut.
_PARAGRAPH = re.compile(r"\n{2,}")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s")
_WORD = re.compile(r"\s")
_GAPS_AT_ONCE = 1 << 15


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
    token_ids: array[int]
    starts: array[int]
    spans: tuple[slice, ...]
    cuts: tuple[array[int], ...]

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


def join_documents(
    documents: Sequence[Document], tokenizer: Any, limit_s: float | None = None
) -> Corpus:
    """Tokenize documents one after the other; several are each named by a heading.

    Lines of their own that look like one are disarmed.

    Args:
        documents: as they were read.
        tokenizer: a fast tokenizer of transformers.
        limit_s: seconds for each document, reading it counted in; None is no limit.

    Raises:
        DocumentError: when the time of a document is up.
        OutOfMemoryError: when there is not enough memory for it.
    """
    token_ids, starts = array("i"), array("i")
    spans: list[slice] = []
    cuts = tuple(array("i") for _ in range(5))
    for document in documents:
        limits = TextLimits(document, limit_s)
        heading = f"=== {label(document.path)} ===\n\n" if len(documents) > 1 else ""
        own = disarm_headings(document.text) if heading else document.text
        offset, text = len(heading), heading + own + ("\n\n" if heading else "")
        base = len(token_ids)
        for piece in tokenize_document(tokenizer, text, limits.check):
            token_ids.extend(piece.token_ids)
            starts.extend([start - offset for start in piece.starts] if offset else piece.starts)
        pages = ((page.start, page.start) for page in document.pages)
        breaks = (
            ((match.start() - offset, match.end() - offset) for match in pattern.finditer(text))
            for pattern in (_PARAGRAPH, _LINE, _SENTENCE, _WORD)
        )
        ranks = (chain([(-offset, -offset)], pages), *breaks)
        for found, gaps in zip(cuts, ranks, strict=True):
            _find_cuts(starts, base, gaps, found, partial(limits.check, document.num_characters))
        spans.append(slice(base, len(token_ids)))
    return Corpus(tuple(documents), token_ids, starts, tuple(spans), cuts)


def _find_cuts(
    starts: array[int],
    base: int,
    gaps: Iterable[tuple[int, int]],
    found: array[int],
    check: Callable[[], None],
) -> None:
    """Add the tokens before which the text may be cut, ascending.

    A gap is a run of white space, from its first character to the one behind it. A tokenizer may
    put the space at the head of the next word, so a cut lies at the last token that begins in the
    gap or at its end; a gap inside a token is none. Where several tokens make up one character,
    they begin at the same place, and the cut is before the first.

    Args:
        starts: where each token begins; ascending from `base` on.
        base: the first token of the document.
        gaps: (first, last) places for a cut, in characters, ascending.
        found: takes the tokens.
        check: called now and then; may raise.
    """
    import numpy as np

    own = np.frombuffer(starts, np.intc)[base:]
    gaps = iter(gaps)
    while batch := list(islice(gaps, _GAPS_AT_ONCE)):
        check()
        first, last = np.array(batch, np.intc).T
        behind = np.searchsorted(own, last, "right")
        first, behind = first[behind > 0], behind[behind > 0]
        begins = own[behind - 1]
        cut = np.unique(np.searchsorted(own, begins[begins >= first])) + base
        if found and len(cut) and cut[0] == found[-1]:
            cut = cut[1:]
        found.frombytes(cut.astype(np.intc).tobytes())
