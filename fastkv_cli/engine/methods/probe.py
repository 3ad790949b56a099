"""FastKV with the question as its observation window: fastkv's default method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from ...config import MethodSettings, PrefillAttention
from ..selection import pool_scores
from ..tuning import Tuning
from .base import Observation, Plan, PromptShape
from .fastkv import FastKV


@dataclass(frozen=True, slots=True, kw_only=True)
class FastKVProbe(FastKV):
    """FastKV with four changes that were chosen by measurement (all candidates: docs/accuracy.md).

    The question's own tokens are the observation window: the prompt's last tokens belong to the
    chat template and hardly attend to the text. Scores take the maximum over the question's tokens,
    not the sum. They are pooled widely: a word of the question matches where the text has it, but
    the answer stands a few tokens further on. And the propagated tokens are selected by the decayed
    scores of all layers so far, not by those of one layer alone (StructKV, arXiv 2604.06746).

    Attributes:
        max_rows: the most tokens of the question that score, its last ones.
        decay: factor on a layer's accumulated scores for each further layer.
    """

    name: ClassVar[str] = "fastkv-probe"

    kernel_size: int = 21
    max_rows: int = 64
    decay: float = 0.9

    @classmethod
    def _is_sparse(cls, settings: MethodSettings, tuning: Tuning) -> bool:
        """Whether attention is sparse: as the user says, else as the preset was calibrated."""
        if settings.prefill_attention is PrefillAttention.AUTO:
            return tuning.presets[settings.chosen_preset].is_sparse
        return settings.prefill_attention is PrefillAttention.SPARSE

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan FastKV's budgets; the window extends from the question to the prompt's end."""
        window, num_rows = self.window_size, None
        if prompt.question is not None:
            stop = prompt.question.stop
            start = max(prompt.question.start, stop - self.max_rows)
            window, num_rows = prompt.num_tokens - start, stop - start
        plan = self.window_plan(prompt, window, num_rows)
        return replace(plan, steps=tuple(replace(step, accumulates=True) for step in plan.steps))

    def per_head_scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Maximum attention from any question token, pooled along the text, (B, H, T − W)."""
        scores = observed.window_weights(plan).amax(dim=2)
        return pool_scores(scores, self.kernel_size, self.pooling)

    def combine(self, scored: Sequence[Tensor]) -> Tensor:
        """The decayed sum of all layers' scores."""
        total = scored[0][0].sum(dim=0)
        for scores in scored[1:]:
            total = self.decay * total + scores[0].sum(dim=0)
        return total
