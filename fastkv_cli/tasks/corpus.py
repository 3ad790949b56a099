"""Documents joined to one sequence of tokens, and the positions where it may be split."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any

from ..documents import Document
from ..documents.source import label
from ..evidence import Index, SegmentIndex, index_documents, index_segments
from ..prompts.disarm import disarm_headings
from ..prompts.prompt import tokenize_document
from ..stats import DocumentStats
from .text_limits import TextLimits

# Where a text may be split, best first: between documents and pages, paragraphs, lines, sentences,
# words. A better rank is preferred over parts of more even length.
_PARAGRAPH = re.compile(r"\n{2,}")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s")
_WORD = re.compile(r"\s")
_GAPS_AT_ONCE = 1 << 15


@dataclass(frozen=True)  # no slots: the indexes are cached
class Corpus:
    """The documents of a run, joined.

    Attributes:
        documents: in order.
        token_ids: all tokens, including those of headings between documents.
        starts: for each token, the character of its document's text at which it begins; negative
            in a heading, which is not part of any text.
        spans: the tokens of each document.
        cuts: for each rank, best first, the token positions before which the text may be split,
            ascending.
    """

    documents: tuple[Document, ...]
    token_ids: array[int]
    starts: array[int]
    spans: tuple[slice, ...]
    cuts: tuple[array[int], ...]

    @cached_property
    def index(self) -> Index:
        """The documents by pages, for citations; made when it is first used."""
        return index_documents(self.documents)

    @cached_property
    def segment_index(self) -> SegmentIndex:
        """The documents by sentences, for quotes; made when it is first used."""
        return index_segments(self.index)

    @cached_property
    def token_segments(self) -> array[int]:
        """The segment of each token; -1 in a heading, and before the first of a document."""
        import numpy as np

        index = self.segment_index
        documents = [index.index.blocks[block].document for block in index.blocks]
        found = array("i")
        for number, span in enumerate(self.spans):
            first, last = bisect_left(documents, number), bisect_right(documents, number)
            begins = [segment.start for segment in index.segments[first:last]]
            starts = np.frombuffer(self.starts, np.intc)[span]
            places = np.searchsorted(begins, starts, "right") - 1
            found.frombytes(np.where(places < 0, -1, places + first).astype(np.intc).tobytes())
        return found

    @property
    def num_tokens(self) -> int:
        """Tokens of all documents and headings."""
        return len(self.token_ids)

    @property
    def stats(self) -> tuple[DocumentStats, ...]:
        """Statistics of each document."""
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
        """The index of a token's document, and the character of its text."""
        return bisect_right(self.spans, token, key=lambda span: span.start) - 1, self.starts[token]

    def tokens_of(self, document: int, start: int, end: int) -> slice:
        """The tokens that begin among some characters of a document's text."""
        span = self.spans[document]
        first = bisect_left(self.starts, start, span.start, span.stop)
        return slice(first, bisect_left(self.starts, end, first, span.stop))

    def split(self, max_tokens: int, span: slice | None = None) -> list[slice]:
        """Split into parts of at most `max_tokens`, about equally long, at the best positions.

        Args:
            max_tokens: the maximum length of a part, 1 or more.
            span: the tokens to split; None for all.
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
        """The cut of the best rank in (low, high], nearest to the wanted position."""
        for cuts in self.cuts:
            inside = cuts[bisect_left(cuts, low + 1) : bisect_left(cuts, high + 1)]
            if inside:
                return min(inside, key=lambda cut: abs(cut - wanted))
        return wanted


def join_documents(
    documents: Sequence[Document], tokenizer: Any, limit_s: float | None = None
) -> Corpus:
    """Tokenize documents and join them; if there are several, a heading names each.

    Lines of the documents that look like such a heading are disarmed.

    Args:
        documents: in order.
        tokenizer: a fast tokenizer of transformers.
        limit_s: time limit in seconds for each document, including reading it; None for no limit.

    Raises:
        DocumentError: when the time limit of a document is exceeded.
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
    """Find the tokens before which the text may be split, ascending.

    A gap is a run of white space, from its first character to the character after it. A tokenizer
    may attach the space to the next word, so the cut is at the last token that begins in the gap or
    at its end; a gap inside a token has none. If several tokens make up one character, they begin
    at the same position, and the cut is before the first.

    Args:
        starts: where each token begins; ascending from `base` on.
        base: the first token of the document.
        gaps: (first, last) characters of each gap, ascending.
        found: the tokens are appended here.
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
