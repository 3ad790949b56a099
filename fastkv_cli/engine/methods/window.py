"""Base classes of the methods that score by an observation window, introduced by SnapKV."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...errors import UsageError
from ..selection import Pooling, group_scores, pool_scores
from .base import Observation, Plan, PromptShape
from .budgeted import BudgetedMethod, check_kernel_size


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowMethod(BudgetedMethod):
    """The last W tokens score the others; each head keeps those W and the highest-scoring entries.

    Attributes:
        window_size: W, the number of last tokens, whose queries score the others; always kept.
        kernel_size: odd width of the pool along the text.
        pooling: "max" or "avg".
    """

    window_size: int = 8
    kernel_size: int = 7
    pooling: Pooling = "max"

    def __post_init__(self) -> None:
        BudgetedMethod.__post_init__(self)
        if self.window_size < 1:
            raise UsageError(f"window size {self.window_size} is out of range", "it is 1 or more")
        check_kernel_size(self.kernel_size)
        if self.pooling not in ("max", "avg"):
            raise UsageError(f"pooling {self.pooling!r} is unknown", 'it is "max" or "avg"')
        if self.capacity is not None and self.capacity <= self.window_size:
            raise UsageError(
                f"capacity {self.capacity} is out of range",
                f"it is more than the observation window of {self.window_size} tokens",
            )

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan the same capacity in every layer; keep all where it is smaller than the window."""
        return self.even_plan(prompt, self.window_size)

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Step 1: window attention, pooled along the text, summed over each KV head's group."""
        return group_scores(self.per_head_scores(observed, plan), observed.key.shape[1])

    def per_head_scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Window attention of each query head, pooled along the text, (B, H, T − W)."""
        scores = observed.window_weights(plan).sum(dim=2)
        return pool_scores(scores, self.kernel_size, self.pooling)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadwiseMethod(WindowMethod):
    """A window method that was published with a selection, and a copy of K and V, per query head.

    Attributes:
        per_query_head: select per query head, as published, instead of per KV head by the group's
            summed scores.
    """

    per_query_head: bool = False

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """(B, H, T − W) as published, else (B, H_kv, T − W)."""
        if self.per_query_head:
            return self.per_head_scores(observed, plan)
        return WindowMethod.scores(self, observed, plan)
