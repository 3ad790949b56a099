"""AdaKV (arXiv 2407.11550): a layer's budget is divided among its heads by their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ...errors import UsageError
from ..selection import shared_counts, top_positions_per_head
from .base import Capacity, Kept, Plan
from .window import HeadwiseMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaKV(HeadwiseMethod):
    """SnapKV's scores; a head with more of a layer's highest scores gets more of its budget.

    Attributes:
        floor: the share of the even budget that every head is guaranteed.
    """

    name: ClassVar[str] = "adakv"

    floor: float = 0.2

    def __post_init__(self) -> None:
        HeadwiseMethod.__post_init__(self)
        if not 0 <= self.floor <= 1:
            raise UsageError(f"floor {self.floor:g} is out of range", "it lies in [0, 1]")

    def keep(self, scores: Tensor, capacity: Capacity, plan: Plan) -> Kept:
        """Keep each head's highest scores, as many as its share of the budget, and the window."""
        if not isinstance(capacity, int):
            raise TypeError("AdaKV takes one capacity per layer and divides it itself")
        counts = shared_counts(scores[0], capacity, plan.window, self.floor)
        return top_positions_per_head(scores[0], counts, plan.window)
