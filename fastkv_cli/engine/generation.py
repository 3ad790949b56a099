"""What a generation gives as it goes: pieces of text, and at its end the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..stats import GenerationStats, KVStats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of the answer, as it came."""

    text: str


@dataclass(frozen=True, slots=True)
class Generation:
    """An answer and what it took.

    Attributes:
        token_ids: the new tokens, without the prompt; an end token counted in.
        text: the tokens decoded, special tokens left out.
        cache_lengths: entries per layer and KV head, right after prefill.
        first_logits: (vocabulary,) float32, of the first new token.
        token_scores: the TSP layer's, one for each token of the prompt before the observation
            window; None where no layer left tokens behind.
        finish_reason: "stop" at an end token, "length" at a limit, "loop" when the answer began to
            go round in circles.
        stats: the clock and the memory.
        kv: what was kept of the cache.
    """

    token_ids: list[int]
    text: str
    cache_lengths: list[list[int]]
    first_logits: Tensor
    token_scores: list[float] | None
    finish_reason: str
    stats: GenerationStats
    kv: KVStats
