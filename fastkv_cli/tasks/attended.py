"""Find the evidence for an answer; runs after the answer, so that it delays nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from heapq import nlargest
from typing import TYPE_CHECKING

from ..evidence import Index, cite, find_quotes, not_in_document
from ..stats import Evidence
from .corpus import Corpus
from .excerpt import sum_by_segment

if TYPE_CHECKING:
    from .work import Outcome

_NUM_ATTENDED = 50  # tokens; the attention to all others is nearly uniform


def most_attended(scores: Sequence[float], sources: Sequence[int]) -> tuple[tuple[int, float], ...]:
    """The tokens of the corpus with the highest attention scores, highest first.

    Args:
        scores: of the prompt's text tokens; may be shorter than the text.
        sources: the position of each of them in the corpus, negative for none.
    """
    pairs = zip(scores, sources, strict=False)
    best = nlargest(_NUM_ATTENDED, (pair for pair in pairs if pair[1] >= 0))
    return tuple((source, score) for score, source in best)


def gather_evidence(
    outcome: Outcome, corpus: Corpus, *, check: bool, num_quotes: int = 0
) -> Evidence:
    """Collect the citations of an answer, quotes, and, if `check` is set, unsupported claims.

    Args:
        outcome: the answer.
        corpus: that it was answered from.
        check: whether to look for unsupported claims.
        num_quotes: the most quotes for its question; a summary has none.
    """
    index = corpus.index
    answer, question = outcome.generation.text, outcome.question
    is_refused = bool(outcome.reason)
    quotes = find_quotes(
        question,
        corpus.segment_index,
        answer="" if is_refused else answer,
        attention=outcome.attention or attention_of(outcome.attended, corpus),
        max_quotes=num_quotes if question else 0,
    )
    evidence = Evidence(verdict=outcome.verdict, found=outcome.found, quotes=quotes)
    if is_refused:
        return replace(evidence, not_in_document=(), reason=outcome.reason, guess=outcome.guess)
    attention = share_attention(outcome.attended, corpus, index) if outcome.attended else None
    return replace(
        evidence,
        citations=cite(answer, question, index, attention),
        not_in_document=tuple(not_in_document(answer, question, index)) if check else None,
    )


def attention_of(attended: Sequence[tuple[int, float]], corpus: Corpus) -> Sequence[float] | None:
    """The attention to each segment, from that to the most attended tokens."""
    if not attended:
        return None
    tokens, scores = zip(*attended, strict=True)
    return sum_by_segment(corpus, tokens, scores)


def share_attention(
    attended: Sequence[tuple[int, float]], corpus: Corpus, index: Index
) -> list[float]:
    """Distribute the attention to the most attended tokens over the blocks of an index.

    Returns:
        A share for each block, with sum 1, or all 0 if no token is in any block.
    """
    sums = [0.0] * len(index.blocks)
    for token, score in attended:
        block = index.block_at(*corpus.place_of(token))
        if block is not None:
            sums[block] += max(score, 0.0)
    total = sum(sums) or 1.0
    return [each / total for each in sums]
