"""What the documents say of an answer: worked out once it is there, so that it delays nothing."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from typing import TYPE_CHECKING

from ..evidence import Index, cite, index_documents, not_in_document
from ..stats import Evidence
from .corpus import Corpus

if TYPE_CHECKING:
    from .work import Outcome

_MOST_LOOKED_AT = 50  # tokens; the attention to all others is much the same everywhere


def most_looked_at(
    scores: Sequence[float], sources: Sequence[int]
) -> tuple[tuple[int, float], ...]:
    """The tokens of the corpus with the highest scores, the highest first.

    Args:
        scores: of the tokens of a prompt's text, as far as they have any.
        sources: which token of the corpus each of them is, below 0 for none.
    """
    pairs = zip(scores, sources, strict=False)
    best = nlargest(_MOST_LOOKED_AT, (pair for pair in pairs if pair[1] >= 0))
    return tuple((source, score) for score, source in best)


def gather_evidence(outcome: Outcome, corpus: Corpus, *, check: bool) -> Evidence:
    """Which pages carried an answer, and, where that is to be checked, what stands in none."""
    index = outcome.index or index_documents(corpus.documents)
    attention = share_attention(outcome.looked_at, corpus, index) if outcome.looked_at else None
    answer, question = outcome.generation.text, outcome.question
    if outcome.found is False:
        return Evidence((), (), found=False, reason=outcome.reason, guess=outcome.guess)
    return Evidence(
        citations=cite(answer, question, index, attention),
        not_in_document=tuple(not_in_document(answer, question, index)) if check else None,
        found=outcome.found,
    )


def share_attention(
    looked_at: Sequence[tuple[int, float]], corpus: Corpus, index: Index
) -> list[float]:
    """How the tokens that the model looked at spread over the blocks of an index.

    Returns:
        A share for each block; they add up to 1, or are all 0 where no token lies in any.
    """
    sums = [0.0] * len(index.blocks)
    for token, score in looked_at:
        block = index.block_at(*corpus.place_of(token))
        if block is not None:
            sums[block] += max(score, 0.0)
    total = sum(sums) or 1.0
    return [each / total for each in sums]
