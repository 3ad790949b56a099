"""StreamingLLM (arXiv 2309.17453): the first tokens and the most recent, whatever their content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ...errors import UsageError
from .base import Observation, Plan, PromptShape
from .budgeted import BudgetedMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingLLM(BudgetedMethod):
    """Attention sinks and a recent window.

    Attributes:
        num_sinks: number of first tokens kept; models put surplus attention on them.
    """

    name: ClassVar[str] = "streamingllm"

    num_sinks: int = 4

    def __post_init__(self) -> None:
        BudgetedMethod.__post_init__(self)
        if self.num_sinks < 0:
            raise UsageError(f"{self.num_sinks} sinks are out of range", "it is 0 or more")

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan a window of the capacity without the sinks, at least the last token."""
        capacity = self.even_capacity(prompt.num_tokens)
        return self.even_plan(prompt, max(capacity - self.num_sinks, 1))

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Higher scores for earlier tokens, (B, H_kv, T − W)."""
        batch, num_kv_heads = observed.key.shape[:2]
        age = torch.arange(observed.num_tokens - plan.window, 0, -1, device=observed.key.device)
        return age.float().expand(batch, num_kv_heads, -1)
