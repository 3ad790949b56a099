"""The passages of a text that a question is answered from."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from ..evidence.quotes import find_passages
from ..evidence.ranking import Candidate
from ..prompts.prompt import tokenize_text
from .corpus import Corpus

_BREAK = "\n"  # between passages: a mark such as "[…]" costs a small model answers


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Passages of a corpus, in its order.

    Attributes:
        token_ids: of the passages, with a line break between them.
        sources: the position of each token in the corpus; -1 for one that is in no document.
    """

    token_ids: list[int]
    sources: list[int]

    @property
    def num_used(self) -> int:
        """Tokens of the corpus."""
        return sum(source >= 0 for source in self.sources)


def choose_excerpt(
    corpus: Corpus,
    tokenizer: object,
    question: str,
    attention: Sequence[float] | None,
    num_passages: int,
    max_tokens: int,
) -> Excerpt:
    """The passages that are likeliest to answer a question, as many as fit.

    They are those that are quoted: whole sentences, table rows and list items. If there are several
    documents, the heading of each stands before its passages.

    Args:
        corpus: the text.
        tokenizer: the model's.
        question: the user's.
        attention: the model's to each segment of the corpus; None if not measured.
        num_passages: the most to choose.
        max_tokens: the most that fit.
    """
    index = corpus.segment_index
    gap = tokenize_text(tokenizer, _BREAK).token_ids.tolist()
    passages = find_passages(question, index, num_passages, attention=attention)
    chosen: list[slice] = []
    left = max_tokens
    for passage in passages:
        span = _tokens_of(corpus, passage)
        cost = span.stop - span.start + len(gap) + _heading_length(corpus, span)
        if cost > left and chosen:
            break
        chosen.append(slice(span.start, min(span.stop, span.start + left)))
        left -= cost
    if not chosen:  # no word and no attention points anywhere: the text begins with what it is
        chosen = [slice(0, min(max_tokens, corpus.num_tokens))]
    sources = _join(corpus, sorted(chosen, key=lambda span: span.start), len(gap))
    breaks = iter(gap * len(sources))
    ids = [corpus.token_ids[at] if at >= 0 else next(breaks) for at in sources]
    return Excerpt(ids, sources)


def sum_by_segment(corpus: Corpus, tokens: Sequence[int], scores: Sequence[float]) -> list[float]:
    """The sum of the scores of each segment's tokens.

    Args:
        corpus: the text.
        tokens: positions in the corpus; negative ones count for nothing.
        scores: of these tokens.
    """
    sums = [0.0] * len(corpus.segment_index.segments)
    segments = corpus.token_segments
    for token, score in zip(tokens, scores, strict=False):
        if token >= 0 and segments[token] >= 0:
            sums[segments[token]] += max(score, 0.0)
    return sums


def _tokens_of(corpus: Corpus, passage: Candidate) -> slice:
    """The tokens of a passage."""
    index = corpus.segment_index
    document = index.index.blocks[index.blocks[passage.first]].document
    start, end = index.segments[passage.first].start, index.segments[passage.last].end
    return corpus.tokens_of(document, start, end)


def _heading_length(corpus: Corpus, span: slice) -> int:
    """Tokens of the heading of a span's document; 0 if there is one document."""
    number, _ = corpus.place_of(span.start)
    first: int = corpus.spans[number].start
    return bisect_left(corpus.starts, 0, first, span.start) - first


def _join(corpus: Corpus, spans: Sequence[slice], gap: int) -> list[int]:
    """The positions of spans in the corpus, with headings; -1 for each token of a break."""
    joined: list[int] = []
    document, end = -1, -1
    for span in spans:
        number, _ = corpus.place_of(span.start)
        if joined and span.start != end:
            joined += [-1] * gap
        if number != document:
            first = corpus.spans[number].start
            joined += range(first, first + _heading_length(corpus, span))
        joined += range(span.start, span.stop)
        document, end = number, span.stop
    return joined
