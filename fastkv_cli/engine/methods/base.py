"""The interface of a compression method: a value that plans, scores and selects.

Prefill asks a method for a `plan` for the prompt, the `scores` of a layer's tokens, the entries of
the KV cache to `keep`, and the tokens to `propagate` by its `combine`d scores; nothing else.
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
from ..kernels.row_blocks import round_up
from ..kernels.sparse_attention import BlockSparsity
from ..selection import attention_weights, count_of_share, top_blocks, top_positions
from ..tuning import Tuning

# Entries to keep in a layer, including the window: one number for every head, or one per head.
Capacity = int | tuple[int, ...]
# Rows that a layer keeps, ascending: (heads, C), or a list of (C_head,) where the counts differ.
Kept = Tensor | list[Tensor]
# Tokens that are propagated together where layers mix neighbours.
_BLOCK = 32


@dataclass(frozen=True, slots=True)
class PromptShape:
    """The sizes of a prompt and a model, from which a method plans.

    Attributes:
        num_tokens: n.
        num_layers: L.
        num_heads: H, query heads.
        num_kv_heads: H_kv.
        question: the rows of the user's question in the prompt; None where unknown.
        windows: per layer, the tokens that a query attends to, including itself; None means all.
            0 in a layer that mixes tokens by a convolution or a recurrence. Empty if all layers
            attend to all tokens.
    """

    num_tokens: int
    num_layers: int
    num_heads: int = 1
    num_kv_heads: int = 1
    question: slice | None = None
    windows: tuple[int | None, ...] = ()

    @property
    def global_layers(self) -> tuple[int, ...]:
        """The layers that are scored and compressed: those that attend to all tokens.

        The other layers keep their sliding window, or a recurrent state. If no layer attends to all
        tokens (Mistral 7B v0.1), all layers are scored and compressed.
        """
        found = tuple(layer for layer, window in enumerate(self.windows) if window is None)
        return found or tuple(range(self.num_layers))

    def choose_layer(self, layer: int | None, default: int, name: str) -> int:
        """The layer to score: the one given, else the global layer nearest to a default.

        Of two layers at the same distance the deeper one, which loses fewer answers.

        Raises:
            UsageError: when the given layer is not in the model, or does not attend to all tokens.
        """
        found = self.global_layers
        if layer is None:
            return min(found, key=lambda each: (abs(each - default), -each))
        if layer >= self.num_layers:
            raise UsageError(
                f"{name} {layer} is out of range",
                f"this model has layers 0 to {self.num_layers - 1}",
            )
        if layer not in found:
            window = self.windows[layer]
            what = f"attends to the last {window:,} tokens only" if window else "has no attention"
            raise UsageError(
                f"{name} {layer} {what}",
                f"take a layer that attends to all: {', '.join(map(str, found))}",
            )
        return layer

    def capacities(self, of_global: Sequence[Capacity]) -> tuple[Capacity, ...]:
        """Spread the capacities of the global layers; each other layer holds its window."""
        windows = self.windows or (None,) * self.num_layers
        most = [self.num_tokens if each is None else min(each, self.num_tokens) for each in windows]
        spread: list[Capacity] = list(most)
        for layer, capacity in zip(self.global_layers, of_global, strict=True):
            spread[layer] = (
                min(capacity, most[layer])
                if isinstance(capacity, int)
                else tuple(min(each, most[layer]) for each in capacity)
            )
        return tuple(spread)

    def block_behind(self, layer: int) -> int:
        """Size of the blocks in which tokens are propagated behind a layer.

        A convolution or a recurrence there takes the propagated tokens for neighbours.
        """
        return _BLOCK if 0 in self.windows[layer + 1 :] else 1

    def last_window(self, layer: int) -> int:
        """The largest window of the window layers behind a layer, at most n; 0 without any."""
        local = set(range(layer + 1, self.num_layers)) - set(self.global_layers)
        windows = [self.windows[each] or 0 for each in local]
        return min(max(windows, default=0), self.num_tokens)


@dataclass(frozen=True, slots=True)
class Propagation:
    """A step of token-selective propagation: a layer, and the tokens propagated behind it.

    Attributes:
        layer: ℓ*, 0-based.
        length: tokens that are propagated, including the window; with `top_p` the most.
        rate: the same as a share of the prompt, as it was set.
        restart: whether the selected tokens start again at the first layer, at positions without
            gaps (GemFilter), instead of continuing at the next one.
        accumulates: whether the selection uses the scores of all global layers up to ℓ*.
        last_window: the last tokens that are propagated whatever their scores, because layers
            behind ℓ* have a sliding window; the observation window is always among them.
        block: neighbouring tokens that are propagated together: where layers behind ℓ* mix
            neighbours by a convolution or a recurrence, and where a method wants it.
        top_p: the fewest tokens that hold this share of the scores are propagated, at least
            `least`; None for always `length`.
        least: see `top_p`; including the window.
        leading: first tokens that are propagated whatever their scores.
    """

    layer: int
    length: int
    rate: float
    restart: bool = False
    accumulates: bool = False
    last_window: int = 0
    block: int = 1
    top_p: float | None = None
    least: int = 0
    leading: int = 0

    def needs_scores(self, layer: int) -> bool:
        """Whether the selection uses the scores of this layer."""
        return layer == self.layer or (self.accumulates and layer < self.layer)

    def count(self, scores: Tensor, last: int) -> int:
        """Tokens to propagate of those with scores (N,) and the `last` ones behind them."""
        num_tokens = scores.shape[0] + last
        if self.top_p is None:
            return min(self.length, num_tokens)
        chosen = count_of_share(scores, self.top_p, self.block) + last
        return min(max(chosen, self.least), self.length, num_tokens)


@dataclass(frozen=True, slots=True)
class Plan:
    """A method's budgets for one prompt, in numbers of tokens.

    Attributes:
        capacities: per layer, the entries to keep of each head, including the window; a layer with
            a sliding window that is not scored holds that window.
        window: W, the number of last tokens, which are always kept; 0 where nothing is scored.
        num_rows: the first rows of the window whose queries score the other tokens; None means all.
        steps: of propagation, by ascending layer; FastKV has one, methods without a TSP layer none.
        note: why a prompt is compressed less than requested, for the statistics; else empty.
        sparsity: of the attention in the layers that process every token; None if it is dense.
    """

    capacities: tuple[Capacity, ...]
    window: int = 0
    num_rows: int | None = None
    steps: tuple[Propagation, ...] = ()
    note: str = ""
    sparsity: BlockSparsity | None = None

    @property
    def tsp(self) -> Propagation | None:
        """The first step of propagation: layers up to its own process every token."""
        return self.steps[0] if self.steps else None

    def step_at(self, layer: int) -> Propagation | None:
        """The step of a layer; None if it has none."""
        return next((step for step in self.steps if step.layer == layer), None)

    def propagates_by(self, layer: int) -> bool:
        """Whether a step of propagation uses the scores of this layer."""
        return any(step.needs_scores(layer) for step in self.steps)

    def share_from(self, layer: int) -> float:
        """Share of the prompt that a layer's attention and MLP compute, at most."""
        return next((step.rate for step in reversed(self.steps) if step.layer <= layer), 1.0)

    @classmethod
    def keep_all(cls, prompt: PromptShape, note: str = "") -> Plan:
        """Plan to propagate every token and keep every key and value."""
        every = (prompt.num_tokens,) * len(prompt.global_layers)
        return cls(prompt.capacities(every), note=note)


@dataclass(frozen=True, slots=True)
class Observation:
    """The keys and queries of a layer that a method computes its scores from.

    Attributes:
        key: (B, H_kv, T, D), the rotated keys of the layer's tokens; where `positions` gives T,
            padding may follow them.
        queries: returns the rotated queries of some rows, (B, H, rows, D); computed on demand.
        scaling: factor applied to q·k.
        positions: (T,), positions of the tokens in the text.
        sliding_window: tokens that a query attends to, including itself; None means all.
        sinks: (H,), one more logit for each query head, which takes its share of the attention
            weights and is no token; None if the layer has none.
    """

    key: Tensor
    queries: Callable[[slice], Tensor]
    scaling: float
    positions: Tensor | None = None
    sliding_window: int | None = None
    sinks: Tensor | None = None

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.key.shape[2] if self.positions is None else self.positions.shape[0]

    def weights(self, rows: slice) -> Tensor:
        """Attention weights of rows [start, stop), (B, H, rows, stop) in float32.

        Causal, so no key after `stop` gets weight, and limited to the layer's sliding window.
        """
        key = self.key[:, :, : round_up(rows.stop)]
        has_window = self.sliding_window is not None and self.positions is not None
        first = 0 if has_window else rows.start  # every row attends to all keys before `first`
        index = torch.arange(first, key.shape[2], device=key.device)
        masked = index > torch.arange(rows.start, rows.stop, device=key.device).unsqueeze(1)
        if self.sliding_window is not None and self.positions is not None:
            last_outside = self.positions[rows].unsqueeze(1) - self.sliding_window
            masked[:, : rows.stop] |= self.positions[: rows.stop] <= last_outside
        weights = attention_weights(self.queries(rows), key, self.scaling, masked, self.sinks)
        return weights[..., : rows.stop]

    def window_weights(self, plan: Plan) -> Tensor:
        """Attention of the window's scoring rows to each token before it, (B, H, rows, T − W)."""
        first = self.num_tokens - plan.window
        num_rows = plan.window if plan.num_rows is None else plan.num_rows
        return self.weights(slice(first, first + num_rows))[..., :first]


class Method(ABC):
    """A compression method; subclasses are frozen dataclasses whose fields are their settings.

    Scores and selections have one row per head: per KV head, or, in methods that were published
    that way, per query head, each of which then stores its own copy of K and V.
    """

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: MethodSettings, tuning: Tuning) -> Self:
        """Build the method from the user's settings, and from the model's tuning for the rest.

        Raises:
            UsageError: when a setting is out of range, or does not apply to this method.
        """

    @property
    @abstractmethod
    def budget(self) -> str:
        """The KV budget as users write it: `10%`, `512 tokens`."""

    @abstractmethod
    def plan(self, prompt: PromptShape) -> Plan:
        """Compute the budgets for a prompt.

        Raises:
            UsageError: when a setting does not fit the model, such as a TSP layer it lacks.
        """

    def scores(self, observed: Observation, plan: Plan) -> Tensor:
        """Score the tokens before the window, (B, heads, T − W)."""
        raise NotImplementedError(f"{self.name} plans to keep everything")

    def keep(self, scores: Tensor, capacity: Capacity, plan: Plan) -> Kept:
        """Select the cache entries of one layer: for each head, ascending row indices."""
        raise NotImplementedError(f"{self.name} plans to keep everything")

    def combine(self, scored: Sequence[Tensor]) -> Tensor:
        """Reduce scores to one per token, (T − W,), by which the propagated tokens are selected.

        Args:
            scored: the scores of the layers so far, the TSP layer's last.
        """
        return scored[-1][0].sum(dim=0)

    def propagate(self, token_scores: Tensor, step: Propagation, plan: Plan) -> Tensor:
        """Select the tokens to propagate: ascending row indices, the window among them.

        Args:
            token_scores: (T − W,), as `combine` returns them.
            step: the step of propagation.
            plan: the plan for this prompt.
        """
        last = max(plan.window, step.last_window)
        scores = token_scores[: token_scores.shape[0] + plan.window - last]
        count = step.count(scores, last)
        if step.leading:
            scores = scores.clone()
            scores[: step.leading] = float("inf")
        if step.block > 1:
            return top_blocks(scores, count, last, step.block)
        return top_positions(scores, count, last)
