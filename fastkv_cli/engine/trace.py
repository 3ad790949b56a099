"""Statistics and progress of a prefill, recorded without changing it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .generation import TokenTrace
from .layers import ActiveTokens
from .methods import Plan
from .model.decoder_layer import DecoderLayer
from .model.recurrent_layer import Layer

if TYPE_CHECKING:
    from .prefill import PrefillResult

Progress = Callable[[float], None]
"""Called with the share of the work that is done, 0 to 1."""


@dataclass(slots=True)
class PrefillTrace:
    """Counts tokens and floating-point operations layer by layer, and reports progress.

    Attributes:
        plan: the method's plan for the prompt.
        on_progress: called with the share of the work that is done, 0 to 1.
    """

    plan: Plan
    on_progress: Progress | None = None
    _computed: list[tuple[Layer, int, Tensor | None, int]] = field(default_factory=list)

    def layer_done(self, layer: Layer, tokens: ActiveTokens, selected_rows: Tensor | None) -> None:
        """Record a layer; `selected_rows` pass through attention and MLP (None means all)."""
        self._computed.append((layer, tokens.num_tokens, selected_rows, tokens.first))
        if self.on_progress is not None:
            self.on_progress(self._share_done)

    def tokens_seen(self, num_layers: int) -> tuple[int, ...]:
        """Per layer, the most tokens that it processed in one pass."""
        seen = [0] * num_layers
        for layer, num_tokens, _, _ in self._computed:
            seen[layer.index] = max(seen[layer.index], num_tokens)
        return tuple(seen)

    def flops(self, skipped_pairs: Mapping[int, int]) -> int:
        """Floating-point operations of the layers; computed on demand, as it waits for a GPU.

        Args:
            skipped_pairs: by layer, pairs that its attention left out (see `LayerRunner`).
        """
        dense = sum(layer.flops(seen, rows, first) for layer, seen, rows, first in self._computed)
        layers = self._sparse_layers(skipped_pairs)
        return dense - sum(4 * layer.head_dim * skipped for layer, _, skipped in layers)

    def attention_ratio(self, skipped_pairs: Mapping[int, int]) -> float | None:
        """Share of the pairs that the sparse layers attended to; None if all layers are dense."""
        layers = self._sparse_layers(skipped_pairs)
        if not layers:
            return None
        skipped = sum(left_out for _, _, left_out in layers)
        return 1 - skipped / sum(
            layer.num_heads * seen * (seen + 1) / 2 for layer, seen, _ in layers
        )

    def _sparse_layers(
        self, skipped_pairs: Mapping[int, int]
    ) -> list[tuple[DecoderLayer, int, int]]:
        """Layers whose attention was sparse, with the tokens they saw and the pairs left out."""
        return [
            (layer, seen, skipped_pairs[layer.index])
            for layer, seen, rows, _ in self._computed
            if rows is None and not layer.is_recurrent and skipped_pairs.get(layer.index)
        ]

    @property
    def _share_done(self) -> float:
        """Share of the work that is done, counted in layers × tokens."""
        done, num_layers, tsp = len(self._computed), len(self.plan.capacities), self.plan.tsp
        if tsp is not None and tsp.restart:  # all layers run once more, over the selected tokens
            shares = [1.0] * tsp.layer + [tsp.rate] * (num_layers + 1)
        else:
            shares = [self.plan.share_from(layer) for layer in range(num_layers)]
        return sum(shares[:done]) / sum(shares)


def trace_tokens(prefilled: PrefillResult, num_tokens: int) -> TokenTrace:
    """Find out what a prefill made of each of the prompt's n tokens.

    Reads the positions that the cache holds anyway; entries appended by decoding do not count.
    """
    cache, propagated = prefilled.cache, prefilled.propagated
    num_entries, num_heads = torch.zeros(num_tokens), 0
    for layer in range(cache.num_layers):
        for group in cache.groups(layer):
            positions = group.kept_positions.flatten().cpu()
            num_entries += positions.bincount(minlength=num_tokens)
            num_heads += group.num_heads
    kept = num_entries / num_heads
    passed = torch.ones(num_tokens)
    if propagated is not None:
        rows = propagated.cpu()
        passed = torch.zeros(num_tokens).index_fill_(0, rows, 1.0)
        if prefilled.plan.tsp is not None and prefilled.plan.tsp.restart:
            # the cache holds positions among the propagated tokens, which started again at 0
            kept = torch.zeros(num_tokens).index_copy_(0, rows, kept[: len(rows)])
    return TokenTrace(array("f", passed.tolist()), array("f", kept.tolist()))
