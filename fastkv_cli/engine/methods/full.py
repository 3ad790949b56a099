"""Full: every token through every layer, every key and value kept. The exact baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from ...config import MethodSettings
from ...errors import UsageError
from ..tuning import Tuning
from .base import Method, Plan, PromptShape


@dataclass(frozen=True, slots=True)
class Full(Method):
    """No compression; gives the tokens that the model itself would give."""

    name: ClassVar[str] = "full"

    @classmethod
    def from_settings(
        cls,
        settings: MethodSettings,
        tuning: Tuning,  # noqa: ARG003 (nothing to tune)
    ) -> Self:
        """There is nothing to set."""
        if not settings.is_default:
            raise UsageError(
                "method full keeps everything",
                "leave out --budget, --preset, --tsp-layer and --tsp-rate",
            )
        return cls()

    @property
    def budget(self) -> str:
        """Everything."""
        return "100%"

    def plan(self, prompt: PromptShape) -> Plan:
        """Keep all tokens in all layers; then nothing is ever scored."""
        return Plan.keep_all(prompt)
