"""UniPrefill (arXiv 2605.06221): blocks of tokens are dropped at several depths, as many as fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ...errors import UsageError
from .base import Plan, PromptShape, Propagation
from .budgeted import BudgetedMethod
from .window import WindowMethod

# Of 32 layers, tokens are dropped behind 7, 11, 15, 19, 23 and 27: these shares of the depth.
_DEPTHS = (8 / 32, 12 / 32, 16 / 32, 20 / 32, 24 / 32, 28 / 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class UniPrefill(WindowMethod):
    """At six depths the blocks that hold `top_p` of the attention of the last queries go on.

    Blocks of 64 by the mean attention of the last 128 queries over all heads; the first 128 tokens
    and the last 128 always go on. As published, every layer keeps all that it sees: budget 100%. A
    lower budget is divided as SnapKV divides it, by the same attention.

    Attributes:
        top_p: share of the attention that goes on.
        block: neighbouring tokens that are propagated together.
        leading: first tokens that always go on.
    """

    name: ClassVar[str] = "uniprefill"

    window_size: int = 128
    kernel_size: int = 1
    top_p: float = 0.99
    block: int = 64
    leading: int = 128

    def __post_init__(self) -> None:
        # a capacity within the window of 128 is no error: the window is then no larger
        BudgetedMethod.__post_init__(self)
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top-p {self.top_p:g} is out of range", "it is above 0 and at most 1")
        for name, size in (("block", self.block), ("leading", self.leading)):
            if size < 1:
                raise UsageError(f"{name} {size} is out of range", "it is 1 or more")

    def plan(self, prompt: PromptShape) -> Plan:
        """Plan the steps at the global layers nearest to the published depths."""
        capacity = self.even_capacity(prompt.num_tokens)
        plan = self.even_plan(prompt, min(self.window_size, max(capacity, 1)))
        num_tokens = prompt.num_tokens
        if plan.note or num_tokens <= self.leading + self.window_size:
            return plan
        depths = [max(round(depth * prompt.num_layers) - 1, 0) for depth in _DEPTHS]
        layers = {prompt.choose_layer(None, depth, "TSP layer") for depth in depths}
        return replace(plan, steps=tuple(self._step(each, prompt) for each in sorted(layers)))

    def _step(self, layer: int, prompt: PromptShape) -> Propagation:
        last_window = prompt.last_window(layer)
        return Propagation(
            layer,
            prompt.num_tokens,
            1.0,
            last_window=last_window,
            block=self.block,
            top_p=self.top_p,
            least=min(self.leading + max(self.window_size, last_window), prompt.num_tokens),
            leading=self.leading,
        )
