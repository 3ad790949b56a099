"""Base class of the methods that keep a share of the prompt, or a number of tokens, per layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor

from ...config import Budget, MethodSettings
from ...errors import UsageError
from ..selection import top_positions, top_positions_per_head
from ..tuning import Tuning
from .base import Capacity, Kept, Method, Plan, PromptShape


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetedMethod(Method):
    """Each head keeps its highest-scoring entries and a window of the last tokens.

    Attributes:
        retention_rate: share of the tokens whose K and V each layer keeps, on average.
        capacity: a number of tokens in place of `retention_rate`.
        full_below: prompts of fewer tokens are not compressed; 0 is the published method.
    """

    retention_rate: float = 0.1
    capacity: int | None = None
    full_below: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.retention_rate <= 1:
            raise UsageError(
                f"retention rate {self.retention_rate:g} is out of range", "it lies in (0, 1]"
            )
        if self.capacity is not None and self.capacity < 1:
            raise UsageError(f"capacity {self.capacity} is out of range", "it is 1 or more")

    @classmethod
    def from_settings(cls, settings: MethodSettings, tuning: Tuning) -> Self:
        """Take the user's budget, else the preset's.

        Short prompts are kept in full only where the user changed no setting.
        """
        settings.refuse_tsp()
        settings.refuse_sparse()
        return cls.with_budget(settings, tuning)

    @classmethod
    def with_budget(cls, settings: MethodSettings, tuning: Tuning, **others: Any) -> Self:
        """As `from_settings`, with values for a method's own fields."""
        budget = settings.budget or tuning.presets[settings.chosen_preset].budget
        if budget.rate is not None:
            others["retention_rate"] = budget.rate
        return cls(
            capacity=budget.tokens,
            full_below=tuning.full_below if settings.is_default else 0,
            **others,
        )

    @property
    def budget(self) -> str:
        """The retention rate, or the capacity."""
        if self.capacity is not None:
            return str(Budget(tokens=self.capacity))
        return str(Budget(rate=self.retention_rate))

    def keep(self, scores: Tensor, capacity: Capacity, plan: Plan) -> Kept:
        """Keep each head's highest scores, and the window."""
        if isinstance(capacity, int):
            return top_positions(scores[0], capacity, plan.window)
        return top_positions_per_head(scores[0], capacity, plan.window)

    def even_capacity(self, num_tokens: int) -> int:
        """Entries per head if every layer keeps the same number."""
        return min(self.capacity or int(num_tokens * self.retention_rate), num_tokens)

    def even_plan(self, prompt: PromptShape, window: int) -> Plan:
        """Plan the same capacity in every layer; keep all where it is smaller than the window."""
        capacity = self.even_capacity(prompt.num_tokens)
        if note := self.full_note(prompt.num_tokens, capacity, window):
            return Plan.keep_all(prompt, note)
        return Plan(prompt.capacities((capacity,) * len(prompt.global_layers)), window)

    def full_note(self, num_tokens: int, capacity: int, window: int) -> str:
        """The reason why a prompt is kept in full; empty if it is compressed."""
        if num_tokens < self.full_below:
            return f"kept in full: under {self.full_below:,} tokens"
        if capacity < max(window, 1):
            return "kept in full: the budget is below the observation window"
        return ""


def check_kernel_size(kernel_size: int) -> None:
    """Raise a UsageError unless the pool's width is odd, so that it has a middle."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise UsageError(f"kernel size {kernel_size} is out of range", "it is odd: 1, 3 …")
