"""GemFilter (arXiv 2409.17422): an early layer selects the tokens that the model then prefills."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from torch import Tensor

from ...config import MethodSettings
from ...errors import UsageError
from ..selection import pool_scores, query_key_products
from ..tuning import Tuning
from .base import Observation, Plan, PromptShape, Propagation
from .budgeted import BudgetedMethod, check_kernel_size


@dataclass(frozen=True, slots=True, kw_only=True)
class GemFilter(BudgetedMethod):
    """Selects the tokens to prefill by the products of the last query with one layer's keys.

    Attributes:
        filter_layer: the layer that selects, 0-based; None is 0.4 · L, as 13 of 32 in the paper, or
            the nearest layer that attends to all tokens.
        kernel_size: odd width of the average pool along the text.
    """

    name: ClassVar[str] = "gemfilter"

    filter_layer: int | None = None
    kernel_size: int = 5

    def __post_init__(self) -> None:
        BudgetedMethod.__post_init__(self)
        check_kernel_size(self.kernel_size)
        if self.filter_layer is not None and self.filter_layer < 0:
            raise UsageError(
                f"filter layer {self.filter_layer} is out of range", "layers count from 0"
            )

    @classmethod
    def from_settings(cls, settings: MethodSettings, tuning: Tuning) -> Self:
        """Take the user's budget; the user's TSP layer is the filter layer."""
        settings.refuse_steps()
        settings.refuse_sparse()
        if settings.tsp_rate is not None:
            raise UsageError("method gemfilter has no TSP rate", "give --budget in its place")
        return cls.with_budget(settings, tuning, filter_layer=settings.tsp_layer)

    def plan(self, prompt: PromptShape) -> Plan:
        """Select at the filter layer, restart with the selected tokens, and keep all of those.

        Raises:
            UsageError: when the model has no such layer.
        """
        default = round(0.4 * prompt.num_layers)
        layer = prompt.choose_layer(self.filter_layer, default, "filter layer")
        length = self.even_capacity(prompt.num_tokens)
        if note := self.full_note(prompt.num_tokens, length, window=1):
            return Plan.keep_all(prompt, note)
        if length == prompt.num_tokens:
            return Plan.keep_all(prompt)
        selected = replace(prompt, num_tokens=length)
        return Plan(
            selected.capacities((length,) * len(prompt.global_layers)),
            window=1,  # the last token is always selected: its logits start the answer
            steps=(
                Propagation(
                    layer,
                    length,
                    length / prompt.num_tokens,
                    restart=True,
                    block=prompt.block_behind(-1),
                ),
            ),
        )

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Softmax-free q·k of the last token, summed over heads, average-pooled, (B, 1, T − 1)."""
        num_tokens = observed.num_tokens
        last = observed.queries(slice(num_tokens - 1, num_tokens))
        products = query_key_products(last, observed.key)[..., :num_tokens]
        summed = products.float().sum(dim=1)[..., : -plan.window]
        return pool_scores(summed, self.kernel_size, "avg")
