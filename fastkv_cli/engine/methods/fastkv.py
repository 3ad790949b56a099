"""FastKV (arXiv 2502.01068): Token-Selective Propagation and GQA-aware KV compression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ...config import Budget, MethodSettings, PrefillAttention
from ...errors import UsageError
from ...propagation import PropagationStep
from ..kernels.sparse_attention import BlockSparsity
from ..tuning import Tuning
from .base import Plan, PromptShape, Propagation
from .window import WindowMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class FastKV(WindowMethod):
    """The same scores decide which KV entries to keep, and which tokens to propagate.

    The defaults are the paper's. Rates are shares of the prompt; `capacity` and `tsp_length`, in
    tokens, replace them (the constant form of the first version: 512 and 2,048); `pooling` is
    "avg" in versions 1 and 2.

    Attributes:
        tsp_layer: ℓ*, 0-based; None is L/2 − 1, the paper's choice for its models, or the nearest
            layer that attends to all tokens.
        tsp_rate: share of the tokens that are propagated behind ℓ*; at least the retention rate.
            Where layers behind ℓ* have a sliding window, the last window is propagated whole, and
            the rate is the share of the tokens before it.
        tsp_length: a number of tokens in place of `tsp_rate`, the last window not counted in.
        sparsity: of the attention in the layers up to ℓ*; None, as in the paper, if it is dense.
    """

    name: ClassVar[str] = "fastkv"

    tsp_layer: int | None = None
    tsp_rate: float = 0.2
    tsp_length: int | None = None
    sparsity: BlockSparsity | None = None

    def __post_init__(self) -> None:
        WindowMethod.__post_init__(self)
        if not 0 < self.tsp_rate <= 1:
            raise UsageError(f"TSP rate {self.tsp_rate:g} is out of range", "it lies in (0, 1]")
        if self.tsp_layer is not None and self.tsp_layer < 0:
            raise UsageError(f"TSP layer {self.tsp_layer} is out of range", "layers count from 0")
        if self.tsp_length is not None and self.tsp_length <= self.window_size:
            raise UsageError(
                f"TSP length {self.tsp_length} is out of range",
                f"it is more than the observation window of {self.window_size} tokens",
            )
        self._check_rates()

    def _check_rates(self) -> None:
        """Raise a UsageError where layers behind ℓ* would keep more than they see."""
        if (self.capacity, self.tsp_length) == (None, None) and self.retention_rate > self.tsp_rate:
            raise UsageError(
                f"retention rate {self.retention_rate:g} is above the TSP rate {self.tsp_rate:g}",
                f"no layer can keep more than it sees: it lies in (0, {self.tsp_rate:g}]",
            )

    @classmethod
    def from_settings(cls, settings: MethodSettings, tuning: Tuning) -> Self:
        """Take the user's settings, and the model's tuning for the rest.

        Where the user sets only the budget, the TSP rate is raised to it: layers behind ℓ* cannot
        keep more tokens than they process.
        """
        settings.refuse_steps()
        tuned = tuning.presets[settings.chosen_preset]
        budget = settings.budget or tuned.budget
        tsp_rate = settings.tsp_rate or max(tuned.tsp_rate, budget.rate or 0)
        if settings.budget is None and budget.rate is not None and budget.rate > tsp_rate:
            settings = replace(settings, budget=Budget(rate=tsp_rate))
        return cls.with_budget(
            settings,
            tuning,
            tsp_layer=tuned.tsp_layer if settings.tsp_layer is None else settings.tsp_layer,
            tsp_rate=tsp_rate,
            sparsity=BlockSparsity() if cls._is_sparse(settings, tuning) else None,
            # a budget in tokens replaces the rate, whose default must not fail the rate check
            **({} if budget.rate is not None else {"retention_rate": tsp_rate}),
        )

    @classmethod
    def _is_sparse(cls, settings: MethodSettings, tuning: Tuning) -> bool:  # noqa: ARG003
        """Whether attention is sparse: as published it is not, unless the user asks for it."""
        return settings.prefill_attention is PrefillAttention.SPARSE

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan the budgets; a prompt whose budget is smaller than the window is kept in full.

        Layers behind ℓ* keep retention rate / TSP rate of the tokens they process, floored a second
        time as in the published code: of 955 tokens at rates 0.15 and 0.25, 143 up to ℓ* and 142
        behind it.

        Raises:
            UsageError: when the model has no such TSP layer.
        """
        return self.window_plan(prompt, self.window_size)

    def window_plan(self, prompt: PromptShape, window: int, num_rows: int | None = None) -> Plan:
        """As `plan`, with an observation window of another size, whose first `num_rows` score."""
        num_tokens = prompt.num_tokens
        capacity = self.even_capacity(num_tokens)
        steps = [(self._propagation(step, prompt), step.rate) for step in self.steps(prompt)]
        deep = [self._deep_capacity(capacity, num_tokens, step.length, at) for step, at in steps]
        least = min(*deep, *(step.length for step, _ in steps))
        if note := self.full_note(num_tokens, least, window):
            return Plan.keep_all(prompt, note)
        taken = [each for each in zip(steps, deep, strict=True) if each[0][0].length < num_tokens]
        capacities = [
            next((behind for (step, _), behind in reversed(taken) if step.layer < each), capacity)
            for each in prompt.global_layers
        ]
        propagations = tuple(step for (step, _), _ in taken)
        capacities_of_all = prompt.capacities(capacities)
        return Plan(capacities_of_all, window, num_rows, propagations, sparsity=self.sparsity)

    def steps(self, prompt: PromptShape) -> tuple[PropagationStep, ...]:
        """The steps of propagation on a model; FastKV has one, at its TSP layer.

        Raises:
            UsageError: when the model has no such layer.
        """
        half = max(prompt.num_layers // 2 - 1, 0)
        layer = prompt.choose_layer(self.tsp_layer, half, "TSP layer")
        return (PropagationStep(layer, self.tsp_rate),)

    def _propagation(self, step: PropagationStep, prompt: PromptShape) -> Propagation:
        """A step in numbers of tokens: those selected, and the last window."""
        num_tokens, last_window = prompt.num_tokens, prompt.last_window(step.layer)
        before = num_tokens - last_window
        selected = int(before * step.rate) if self.tsp_length is None else self.tsp_length
        length = min(selected, before) + last_window
        is_share = self.tsp_length is None and not last_window
        return Propagation(
            step.layer,
            length,
            step.rate if is_share else length / num_tokens,
            last_window=last_window,
            block=max(step.block, prompt.block_behind(step.layer)),
            top_p=step.top_p,
            least=int(before * step.floor) + last_window,
        )

    def _deep_capacity(self, capacity: int, num_tokens: int, length: int, rate: float) -> int:
        """Entries per head in the layers behind a step to which `length` tokens are propagated.

        A last window adds to the tokens that these layers see, not to what they keep.
        """
        if self.capacity is not None or self.tsp_length is not None:
            return min(capacity, length)
        return int(int(num_tokens * rate) * min(self.retention_rate / rate, 1.0))
