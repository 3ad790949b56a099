"""H2O (arXiv 2306.14048): the tokens that received the most attention, and the most recent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..selection import group_scores
from .base import Observation, Plan, PromptShape
from .budgeted import BudgetedMethod

# Query rows whose attention is computed at once.
_ROWS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class H2O(BudgetedMethod):
    """Half of the budget for heavy hitters, half for recent tokens.

    Every query contributes to the scores, so scoring costs as much again as the attention itself.
    """

    name: ClassVar[str] = "h2o"

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan the same capacity in every layer; the recent half is the window."""
        return self.even_plan(prompt, max(self.even_capacity(prompt.num_tokens) // 2, 1))

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Attention from all queries, summed over each KV head's group, (B, H_kv, T − W)."""
        num_kv_heads, num_tokens = observed.key.shape[1], observed.num_tokens
        received = observed.key.new_zeros(1, num_kv_heads, num_tokens, dtype=torch.float32)
        for start in range(0, num_tokens, _ROWS):
            stop = min(start + _ROWS, num_tokens)
            mass = observed.weights(slice(start, stop)).sum(dim=2)
            received[..., :stop] += group_scores(mass, num_kv_heads)
        return received[..., : num_tokens - plan.window]
