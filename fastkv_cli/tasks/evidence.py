"""What the documents say of an answer: worked out once it is there, so that it delays nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ..evidence.index import Index
from .corpus import Corpus


def share_attention(
    scores: Sequence[float], sources: Sequence[int], corpus: Corpus, index: Index
) -> list[float]:
    """How the model's attention to a text spreads over the blocks of the index.

    Args:
        scores: of the prompt's text, one a token, as prefill gives them.
        sources: which token of the corpus each of them is; below 0 for marks of our own.
        corpus: the text of the documents.
        index: of the same documents.

    Returns:
        A share for each block; they add up to 1, or are all 0 where nothing was looked at.
    """
    sums = [0.0] * len(index.blocks)
    for score, source in zip(scores, sources, strict=False):  # the window itself has no scores
        if source >= 0:
            block = index.block_at(*corpus.place_of(source))
            if block is not None:
                sums[block] += score
    total = sum(sums) or 1.0
    return [each / total for each in sums]
