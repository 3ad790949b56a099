"""Full: every token through every layer, every key and value kept. The exact baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NoReturn, Self

from torch import Tensor

from ...config import MethodDefaults, MethodSettings
from ...errors import UsageError
from .base import Method, Observation, Plan


@dataclass(frozen=True, slots=True)
class Full(Method):
    """No compression; gives the tokens that the model itself would give."""

    name: ClassVar[str] = "full"

    @classmethod
    def from_settings(
        cls,
        settings: MethodSettings,
        defaults: MethodDefaults,  # noqa: ARG003 (nothing to set)
    ) -> Self:
        """There is nothing to set."""
        if not settings.is_default:
            raise UsageError(
                "method full keeps everything", "leave out --budget, --tsp-layer and --tsp-rate"
            )
        return cls()

    @property
    def budget(self) -> str:
        """Everything."""
        return "100%"

    def plan(self, num_tokens: int, num_layers: int) -> Plan:
        """Keep all tokens in all layers."""
        return Plan(capacities=(num_tokens,) * num_layers)

    def scores(self, observed: Observation, plan: Plan) -> NoReturn:
        """Never asked for: a plan with capacity for every token needs no scores."""
        raise NotImplementedError

    def keep(self, scores: Tensor, capacity: int, plan: Plan) -> NoReturn:
        """Never asked for."""
        raise NotImplementedError

    def propagate(self, scores: Tensor, length: int, plan: Plan) -> NoReturn:
        """Never asked for."""
        raise NotImplementedError
