"""PyramidKV (arXiv 2406.02069): early layers keep many entries, deep layers few."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch

from ...errors import UsageError
from .base import Plan, PromptShape
from .window import WindowMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class PyramidKV(WindowMethod):
    """SnapKV's scores; budgets fall linearly over the layers, with the same total.

    Attributes:
        beta: β: of b entries on average, without the window, the last layer keeps b/β, the first
            2b − b/β.
    """

    name: ClassVar[str] = "pyramidkv"

    beta: float = 20.0

    def __post_init__(self) -> None:
        WindowMethod.__post_init__(self)
        if self.beta < 1:
            raise UsageError(f"beta {self.beta:g} is out of range", "it is 1 or more")

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan linearly falling budgets; no layer gets more than the whole prompt."""
        even = self.even_capacity(prompt.num_tokens)
        if note := self.full_note(prompt.num_tokens, even, self.window_size):
            return Plan.keep_all(prompt, note)
        b, most = even - self.window_size, prompt.num_tokens - self.window_size
        num_layers = len(prompt.global_layers)
        first = min(2 * b - b / self.beta, most) if num_layers > 1 else b
        line = torch.linspace(first, 2 * b - first, num_layers, dtype=torch.float64)
        ends = [0, *line.cumsum(0).round().int().tolist()]  # so that the total is exact
        capacities = [behind - before for before, behind in pairwise(ends)]
        capacities = [capacity + self.window_size for capacity in capacities]
        return Plan(prompt.capacities(capacities), self.window_size)
