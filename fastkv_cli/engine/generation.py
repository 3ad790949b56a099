"""The items of a streamed generation: pieces of text, then the finished `Generation`."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..stats import GenerationStats, KVStats
from ..thinking_mode import ThinkingStats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Piece:
    """A streamed piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class TokenTrace:
    """What prefill made of each token of a prompt, in shares from 0 to 1.

    Attributes:
        propagated: (n,) 1 where the token was propagated behind the TSP layer, else 0; all 1
            without a TSP layer.
        kept: (n,) the share of the token's KV entries, over all layers and heads, that the cache
            kept.
    """

    propagated: array[float]
    kept: array[float]


@dataclass(frozen=True, slots=True)
class Generation:
    """A finished answer and its statistics.

    Attributes:
        token_ids: the new tokens, without the prompt, including an end token.
        text: the answer: the decoded tokens, without special tokens and thinking.
        cache_lengths: entries per layer and KV head, right after prefill.
        first_logits: (vocabulary,) float32, for the first new token.
        token_scores: the TSP layer's scores, one for each token of the prompt before the
            observation window; None if all tokens passed through every layer.
        finish_reason: "stop" at an end token, "length" at a limit, "loop" when the answer began to
            repeat itself.
        stats: times and memory.
        kv: statistics of the KV cache.
        trace: what prefill made of each token; None unless it was asked for.
        thinking: the thinking before the answer; None if there was none.
    """

    token_ids: list[int]
    text: str
    cache_lengths: list[list[int]]
    first_logits: Tensor
    token_scores: list[float] | None
    finish_reason: str
    stats: GenerationStats
    kv: KVStats
    trace: TokenTrace | None = None
    thinking: ThinkingStats | None = None
