"""What a compression method is: a value that plans, scores and chooses.

The prefill loop asks a method four things and nothing else: a `plan` for this prompt, the `scores`
of a layer's tokens, which entries of the KV cache to `keep`, and which tokens to `propagate`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

from torch import Tensor

from ...config import MethodDefaults, MethodSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """What a method will do with one prompt, in numbers of tokens.

    Attributes:
        capacities: entries to keep per layer (of each KV head), window counted in.
        window: W, the observation window; 0 where nothing is to be scored.
        tsp_layer: the layer behind which only `tsp_length` tokens go on, or None.
        tsp_length: tokens propagated behind the TSP layer, window counted in, or None.
        tsp_rate: the same as a share of the prompt, as it was set, or None.
        note: why less was done than was asked for, if so, for the statistics.
    """

    capacities: tuple[int, ...]
    window: int = 0
    tsp_layer: int | None = None
    tsp_length: int | None = None
    tsp_rate: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a method may look at in a layer.

    Attributes:
        key: (B, H_kv, T, D), the rotated keys of every token that the layer sees.
        queries: gives the rotated queries of the last n tokens, (B, H, n, D); computed on demand.
        scaling: what q·k is multiplied by.
    """

    key: Tensor
    queries: Callable[[int], Tensor]
    scaling: float


class Method(ABC):
    """A compression method; subclasses are frozen dataclasses whose fields are their settings."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: MethodSettings, defaults: MethodDefaults) -> Self:
        """Make the method that the user asked for.

        Raises:
            UsageError: when a setting is out of range, or means nothing to this method.
        """

    @property
    @abstractmethod
    def budget(self) -> str:
        """What is kept, as users write it: `10%`, `512 tokens`."""

    @abstractmethod
    def plan(self, num_tokens: int, num_layers: int) -> Plan:
        """Decide the budgets for a prompt.

        Raises:
            UsageError: when a setting does not fit the model, such as a TSP layer it lacks.
        """

    @abstractmethod
    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Score the tokens before the window, (B, H_kv, T − W)."""

    @abstractmethod
    def keep(self, scores: Tensor, capacity: int, plan: Plan) -> Tensor:
        """Choose the cache entries of one layer, (H_kv, capacity) ascending row indices."""

    @abstractmethod
    def propagate(self, scores: Tensor, length: int, plan: Plan) -> Tensor:
        """Choose the tokens that go on behind the TSP layer, (length,) ascending row indices."""
