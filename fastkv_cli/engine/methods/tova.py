"""TOVA (arXiv 2401.06104): the tokens that the last token attends to, shared by a layer's heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from .base import Observation, Plan, PromptShape
from .budgeted import BudgetedMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class TOVA(BudgetedMethod):
    """The last query's attention, averaged over heads, makes one selection per layer."""

    name: ClassVar[str] = "tova"

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan the same capacity in every layer, with the last token as the window."""
        return self.even_plan(prompt, window=1)

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Attention averaged over heads, the same for every KV head, (B, H_kv, T − 1)."""
        scores = observed.window_weights(plan).sum(dim=2)
        return scores.mean(dim=1, keepdim=True).expand(-1, observed.key.shape[1], -1)
