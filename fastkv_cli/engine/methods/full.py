"""Full: all tokens propagated, all keys and values kept. The exact baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from ...config import MethodSettings
from ...errors import UsageError
from ..tuning import Tuning
from .base import Method, Plan, PromptShape


@dataclass(frozen=True, slots=True)
class Full(Method):
    """No compression; generates the tokens that the model itself generates."""

    name: ClassVar[str] = "full"

    @classmethod
    def from_settings(
        cls,
        settings: MethodSettings,
        tuning: Tuning,  # noqa: ARG003 (nothing to tune)
    ) -> Self:
        """Build the method, which has no settings.

        Raises:
            UsageError: when the user changed a setting.
        """
        settings.refuse_sparse()
        if not settings.is_default:
            raise UsageError(
                "method full keeps everything",
                "leave out --budget, --preset, --tsp-layer, --tsp-rate and --tsp-steps",
            )
        return cls()

    @property
    def budget(self) -> str:
        """The whole cache."""
        return "100%"

    def plan(self, prompt: PromptShape) -> Plan:
        """Keep all tokens in all layers, so that no layer is scored."""
        return Plan.keep_all(prompt)
