"""HeadKV (arXiv 2410.19258): heads that retrieve and reason get more of the cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from ...config import MethodSettings
from ...errors import UsageError
from ..tuning import Tuning
from .base import Plan, PromptShape
from .window import HeadwiseMethod

HeadScores = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadKV(HeadwiseMethod):
    """SnapKV's scores; part of every head's budget goes into a pool, divided by head scores.

    Attributes:
        head_scores: retrieval score of each query head, (L, H), made by `fastkv profile-heads`.
        beta: β: of b entries on average, without the window, b // β go into the pool.
    """

    name: ClassVar[str] = "headkv"

    head_scores: HeadScores
    beta: float = 1.2

    def __post_init__(self) -> None:
        HeadwiseMethod.__post_init__(self)
        if self.beta < 1:
            raise UsageError(f"beta {self.beta:g} is out of range", "it is 1 or more")
        scores = [score for layer in self.head_scores for score in layer]
        if not all(score >= 0 for score in scores) or not sum(scores) > 0:
            raise UsageError(
                "the head scores are not shares of a whole", "make them with fastkv profile-heads"
            )

    @classmethod
    def from_settings(cls, settings: MethodSettings, tuning: Tuning) -> Self:
        """Take the user's budget, and the scores of the model's heads.

        Raises:
            UsageError: when the model's heads have not been scored yet.
        """
        settings.refuse_tsp()
        settings.refuse_sparse()
        if tuning.head_scores is None:
            raise UsageError(
                f"method headkv needs scores of the heads of {tuning.model}",
                f"make them with: fastkv profile-heads {tuning.model}",
            )
        return cls.with_budget(settings, tuning, head_scores=tuning.head_scores)

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan for each head its fixed part and its share of the pool, at most the whole prompt.

        Raises:
            UsageError: when the scores belong to another model.
        """
        even, window = self.even_capacity(prompt.num_tokens), self.window_size
        shares = self._shares(prompt)
        if note := self.full_note(prompt.num_tokens, even, window):
            return Plan.keep_all(prompt, note)
        if even == prompt.num_tokens:
            return Plan.keep_all(prompt)
        b = even - window
        pooled = b // self.beta
        pool = pooled * sum(map(len, shares))
        capacities = tuple(
            tuple(
                min(round(share * pool + b - pooled) + window, prompt.num_tokens) for share in layer
            )
            for layer in shares
        )
        return Plan(prompt.capacities(capacities), window)

    def _shares(self, prompt: PromptShape) -> HeadScores:
        """Scores of the global layers' heads, normalized to sum 1; per query head or per group."""
        num_heads = prompt.num_heads
        if [len(layer) for layer in self.head_scores] != [num_heads] * prompt.num_layers:
            raise UsageError(
                "the head scores are of another model",
                f"this one has {prompt.num_layers} layers of {num_heads} heads",
            )
        scores = [self.head_scores[layer] for layer in prompt.global_layers]
        total = sum(map(sum, scores))
        if not total > 0:
            raise UsageError(
                "the head scores of the layers that attend to all tokens are 0",
                "make them with fastkv profile-heads",
            )
        size = 1 if self.per_query_head else num_heads // prompt.num_kv_heads
        return tuple(
            tuple(sum(layer[at : at + size]) / total for at in range(0, num_heads, size))
            for layer in scores
        )
