"""What a compression method is: a value that plans, scores and chooses.

The prefill loop asks a method four things and nothing else: a `plan` for this prompt, the `scores`
of a layer's tokens, which entries of the KV cache to `keep`, and which tokens to `propagate`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from ...config import MethodSettings
from ...errors import UsageError
from ..kernels.attention import round_up
from ..selection import attention_weights, top_positions
from ..tuning import Tuning

# Entries to keep in a layer, window counted in: of every head, or of each.
Capacity = int | tuple[int, ...]
# What a layer keeps: ascending row indices of each head, (heads, C), or a list where they differ.
Kept = Tensor | list[Tensor]


@dataclass(frozen=True, slots=True)
class PromptShape:
    """A prompt on a model, in numbers.

    Attributes:
        num_tokens: n.
        num_layers: L.
        num_heads: H, query heads.
        num_kv_heads: H_kv.
        question: the rows of the user's question in the prompt, where that is known.
    """

    num_tokens: int
    num_layers: int
    num_heads: int = 1
    num_kv_heads: int = 1
    question: slice | None = None

    def check_layer(self, layer: int, name: str) -> None:
        """Raise a UsageError unless the model has that layer."""
        if layer >= self.num_layers:
            raise UsageError(
                f"{name} {layer} is out of range",
                f"this model has layers 0 to {self.num_layers - 1}",
            )


@dataclass(frozen=True, slots=True)
class Propagation:
    """Which layer lets how many tokens go on.

    Attributes:
        layer: ℓ*, 0-based.
        length: tokens that go on, window counted in.
        rate: the same as a share of the prompt, as it was set.
        restart: whether they start again at the first layer, at positions without gaps (GemFilter),
            in place of going deeper.
        accumulates: whether the choice looks at the scores of all layers up to ℓ*.
    """

    layer: int
    length: int
    rate: float
    restart: bool = False
    accumulates: bool = False

    def needs_scores(self, layer: int) -> bool:
        """Whether the choice looks at the scores of this layer."""
        return layer == self.layer or (self.accumulates and layer < self.layer)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a method will do with one prompt, in numbers of tokens.

    Attributes:
        capacities: entries to keep per layer, of each head, window counted in.
        window: W, the last tokens, which are always kept; 0 where nothing is to be scored.
        num_rows: how many of them, the first ones, score the others; None is all.
        tsp: where tokens are left behind, if they are.
        note: why less was done than was asked for, if so, for the statistics.
    """

    capacities: tuple[Capacity, ...]
    window: int = 0
    num_rows: int | None = None
    tsp: Propagation | None = None
    note: str = ""

    @classmethod
    def keep_all(cls, prompt: PromptShape, note: str = "") -> Plan:
        """Every token through every layer, every key and value kept."""
        return cls((prompt.num_tokens,) * prompt.num_layers, note=note)


@dataclass(frozen=True, slots=True)
class Observation:
    """What a method may look at in a layer.

    Attributes:
        key: (B, H_kv, T, D), the rotated keys of every token that the layer sees; padding may lie
            behind them where `positions` says how many they are.
        queries: gives the rotated queries of some rows, (B, H, rows, D); computed on demand.
        scaling: what q·k is multiplied by.
        positions: (T,), where the tokens stand in the text.
        sliding_window: tokens that a query sees, itself counted in; None is all.
    """

    key: Tensor
    queries: Callable[[slice], Tensor]
    scaling: float
    positions: Tensor | None = None
    sliding_window: int | None = None

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.key.shape[2] if self.positions is None else self.positions.shape[0]

    def weights(self, rows: slice) -> Tensor:
        """The attention of rows [start, stop), (B, H, rows, stop) in float32.

        Causal, so no key behind `stop` is looked at, and inside the layer's sliding window.
        """
        key = self.key[:, :, : round_up(rows.stop)]
        has_window = self.sliding_window is not None and self.positions is not None
        first = 0 if has_window else rows.start  # the keys before it are seen by every row
        index = torch.arange(first, key.shape[2], device=key.device)
        hidden = index > torch.arange(rows.start, rows.stop, device=key.device).unsqueeze(1)
        if self.sliding_window is not None and self.positions is not None:
            reach = self.positions[rows].unsqueeze(1) - self.sliding_window
            hidden[:, : rows.stop] |= self.positions[: rows.stop] <= reach
        weights = attention_weights(self.queries(rows), key, self.scaling, hidden)
        return weights[..., : rows.stop]

    def window_weights(self, plan: Plan) -> Tensor:
        """What the window's scoring rows pay to each token before it, (B, H, rows, T − W)."""
        first = self.num_tokens - plan.window
        num_rows = plan.window if plan.num_rows is None else plan.num_rows
        return self.weights(slice(first, first + num_rows))[..., :first]


class Method(ABC):
    """A compression method; subclasses are frozen dataclasses whose fields are their settings.

    Scores and choices have one row a head: a KV head, or, in methods that were published so, a
    query head, which then stores a copy of K and V of its own.
    """

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: MethodSettings, tuning: Tuning) -> Self:
        """Make the method that the user asked for, the rest from what suits the model.

        Raises:
            UsageError: when a setting is out of range, or means nothing to this method.
        """

    @property
    @abstractmethod
    def budget(self) -> str:
        """What is kept, as users write it: `10%`, `512 tokens`."""

    @abstractmethod
    def plan(self, prompt: PromptShape) -> Plan:
        """Decide the budgets for a prompt.

        Raises:
            UsageError: when a setting does not fit the model, such as a TSP layer it lacks.
        """

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Score the tokens before the window, (B, heads, T − W)."""
        raise NotImplementedError(f"{self.name} plans to keep everything")

    def keep(self, scores: Tensor, capacity: Capacity, plan: Plan) -> Kept:
        """Choose the cache entries of one layer: of each head, ascending row indices."""
        raise NotImplementedError(f"{self.name} plans to keep everything")

    def combine(self, scored: Sequence[Tensor]) -> Tensor:
        """One score a token, over all heads, (T − W,): what decides which tokens go on.

        Args:
            scored: the scores of every layer so far, the TSP layer's last.
        """
        return scored[-1][0].sum(dim=0)

    def propagate(self, token_scores: Tensor, length: int, plan: Plan) -> Tensor:
        """Choose the tokens that go on, (length,) ascending row indices: the highest, and W.

        Args:
            token_scores: (T − W,), as `combine` gives them.
            length: how many tokens go on.
            plan: of this prompt.
        """
        return top_positions(token_scores, length, plan.window)
