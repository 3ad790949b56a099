"""FastKV (arXiv 2502.01068): Token-Selective Propagation and GQA-aware KV compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from ...config import Budget, MethodDefaults, MethodSettings
from ...errors import UsageError
from ..selection import Pooling, group_scores, pool_scores, top_positions, window_scores
from .base import Method, Observation, Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class FastKV(Method):
    """One scoring serves two decisions: which KV entries to keep, and which tokens go deeper.

    The defaults are the paper's. Rates are shares of the prompt; `capacity` and `tsp_length`, in
    tokens, replace them (the constant form of the first version: 512 and 2,048).

    Attributes:
        tsp_layer: ℓ*, 0-based; None is L/2 − 1, the paper's choice for its models.
        tsp_rate: share of the tokens that go on behind ℓ*.
        retention_rate: share of the tokens whose K and V each layer keeps; at most `tsp_rate`.
        window_size: W, the last tokens, whose queries score the others; always kept.
        kernel_size: odd width of the pool along the text.
        pooling: "max" (v3 and later) or "avg" (v1 and v2).
        tsp_length: a number of tokens in place of `tsp_rate`.
        capacity: a number of tokens in place of `retention_rate`.
        full_below: prompts of fewer tokens than this are left alone; 0 is the published method.
    """

    name: ClassVar[str] = "fastkv"

    tsp_layer: int | None = None
    tsp_rate: float = 0.2
    retention_rate: float = 0.1
    window_size: int = 8
    kernel_size: int = 7
    pooling: Pooling = "max"
    tsp_length: int | None = None
    capacity: int | None = None
    full_below: int = 0

    def __post_init__(self) -> None:
        for name, rate in (("TSP rate", self.tsp_rate), ("retention rate", self.retention_rate)):
            if not 0 < rate <= 1:
                raise UsageError(f"{name} {rate:g} is out of range", "it lies in (0, 1]")
        if self.window_size < 1:
            raise UsageError(f"window size {self.window_size} is out of range", "it is 1 or more")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise UsageError(f"kernel size {self.kernel_size} is out of range", "it is odd: 1, 3 …")
        if self.pooling not in ("max", "avg"):
            raise UsageError(f"pooling {self.pooling!r} is unknown", 'it is "max" or "avg"')
        if self.tsp_layer is not None and self.tsp_layer < 0:
            raise UsageError(f"TSP layer {self.tsp_layer} is out of range", "layers count from 0")
        for name, count in (("TSP length", self.tsp_length), ("capacity", self.capacity)):
            if count is not None and count <= self.window_size:
                raise UsageError(
                    f"{name} {count} is out of range",
                    f"it is more than the observation window of {self.window_size} tokens",
                )
        if (self.capacity, self.tsp_length) == (None, None) and self.retention_rate > self.tsp_rate:
            raise UsageError(
                f"retention rate {self.retention_rate:g} is above the TSP rate {self.tsp_rate:g}",
                f"no layer can keep more than it sees: it lies in (0, {self.tsp_rate:g}]",
            )

    @classmethod
    def from_settings(cls, settings: MethodSettings, defaults: MethodDefaults) -> Self:
        """The user's settings, the rest from the model's defaults.

        Where the user sets only the budget, the TSP rate is raised to it: layers behind ℓ* cannot
        keep more than they see. Where the user sets anything, short prompts are compressed too.
        """
        budget = settings.budget or defaults.budget
        retention_rate = budget.rate or defaults.tsp_rate
        tsp_rate = settings.tsp_rate or max(defaults.tsp_rate, retention_rate)
        return cls(
            tsp_layer=defaults.tsp_layer if settings.tsp_layer is None else settings.tsp_layer,
            tsp_rate=tsp_rate,
            retention_rate=retention_rate,
            capacity=budget.tokens,
            full_below=defaults.full_below if settings.is_default else 0,
        )

    @property
    def budget(self) -> str:
        """The retention rate, or the capacity."""
        return str(
            Budget(rate=None if self.capacity else self.retention_rate, tokens=self.capacity)
        )

    def plan(self, num_tokens: int, num_layers: int) -> Plan:
        """Budgets for a prompt; one too short to hold the window in its budget runs in full.

        Layers behind ℓ* hold as many entries as those before it, as far as they see so many.

        Raises:
            UsageError: when the model has no such TSP layer.
        """
        tsp_layer = self.tsp_layer if self.tsp_layer is not None else num_layers // 2 - 1
        tsp_layer = max(tsp_layer, 0)
        if tsp_layer >= num_layers:
            raise UsageError(
                f"TSP layer {tsp_layer} is out of range",
                f"this model has layers 0 to {num_layers - 1}",
            )
        capacity = min(self.capacity or int(num_tokens * self.retention_rate), num_tokens)
        tsp_length = min(self.tsp_length or int(num_tokens * self.tsp_rate), num_tokens)
        full = (num_tokens,) * num_layers
        if num_tokens < self.full_below:
            return Plan(full, note=f"kept in full: under {self.full_below:,} tokens")
        if min(capacity, tsp_length) < self.window_size:
            return Plan(full, note="kept in full: the budget is below the observation window")
        if tsp_length == num_tokens:
            return Plan((capacity,) * num_layers, self.window_size)
        behind = num_layers - tsp_layer - 1
        return Plan(
            capacities=(capacity,) * (tsp_layer + 1) + (min(capacity, tsp_length),) * behind,
            window=self.window_size,
            tsp_layer=tsp_layer,
            tsp_length=tsp_length,
            tsp_rate=tsp_length / num_tokens if self.tsp_length else self.tsp_rate,
        )

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Step 1: window attention, pooled along the text, summed over each KV head's group."""
        query = observed.queries(plan.window)
        scores = window_scores(query, observed.key, observed.scaling)
        scores = pool_scores(scores, self.kernel_size, self.pooling)
        return group_scores(scores, num_kv_heads=observed.key.shape[1])

    def keep(self, scores: Tensor, capacity: int, plan: Plan) -> Tensor:
        """Step 2: per KV head the highest scores, and the window."""
        return top_positions(scores[0], capacity, plan.window)

    def propagate(self, scores: Tensor, length: int, plan: Plan) -> Tensor:
        """Step 3: the tokens with the highest scores over all KV heads, and the window."""
        return top_positions(scores[0].sum(dim=0), length, plan.window)
