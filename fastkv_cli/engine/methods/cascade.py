"""FastKV with several steps of propagation: fewer and fewer tokens, deeper and deeper."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ...config import MethodSettings
from ...propagation import PropagationStep
from ..tuning import Tuning
from .base import PromptShape
from .probe import FastKVProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class FastKVCascade(FastKVProbe):
    """FastKVProbe with any number of steps, each of which selects among the tokens still there.

    Dropping tokens at several depths is UniPrefill's idea (arXiv 2605.06221). Here the scores are
    those of FastKVProbe: the question's attention, accumulated over the layers. A step propagates a
    fixed share of the prompt, or the fewest tokens that hold a share of the scores (top-p), so that
    a question which one place answers costs less than one that is spread over the text. Layers
    behind a step keep the retention rate of the prompt, or all that they see where that is less.

    Attributes:
        tsp_steps: by ascending layer; without any, the one of `tsp_layer` and `tsp_rate`.
    """

    name: ClassVar[str] = "fastkv-cascade"

    tsp_steps: tuple[PropagationStep, ...] = ()

    def _check_rates(self) -> None:
        if not self.tsp_steps:
            FastKVProbe._check_rates(self)

    @classmethod
    def from_settings(cls, settings: MethodSettings, tuning: Tuning) -> Self:
        """Take the user's steps, else the preset's; with a TSP layer or rate by hand, that one."""
        tuned = tuning.presets[settings.chosen_preset]
        by_hand = settings.tsp_layer is not None or settings.tsp_rate is not None
        steps = settings.tsp_steps or (() if by_hand else tuned.tsp_steps)
        one_step = replace(settings, tsp_steps=())
        built = super(FastKVCascade, cls).from_settings(one_step, tuning)
        is_default = settings.is_default and tuning.full_below
        return replace(built, tsp_steps=steps, full_below=is_default or 0)

    def steps(self, prompt: PromptShape) -> tuple[PropagationStep, ...]:
        """The steps on a model, each at a layer that attends to all tokens.

        Raises:
            UsageError: when the model has no such layer.
        """
        for step in self.tsp_steps:
            prompt.choose_layer(step.layer, step.layer, "TSP layer")
        return self.tsp_steps or FastKVProbe.steps(self, prompt)
