"""Decoding: one token after the other over the compressed cache. Knows ids only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .cache import CompressedCache, HeadGroup
from .kernels.lookup import attend_cached
from .model.rope import RopeTable

Step = Callable[[int], Tensor]
"""Reads one more token: its id → the logits behind it, (vocabulary,) float32."""


class DecodingLayer(Protocol):
    """A layer as reading on needs it."""

    @property
    def index(self) -> int:
        """0-based."""

    @property
    def scaling(self) -> float:
        """What q·k is multiplied by."""

    @property
    def sliding_window(self) -> int | None:
        """Tokens that a query sees, itself counted in; None is all."""

    def project(self, hidden: Tensor, ropes: RopeTable) -> tuple[Tensor, Tensor, Tensor]:
        """What entered the layer, (1, T, hidden), to Q (1, H, T, D), K and V (1, H_kv, T, D)."""

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Output projection, MLP and both residuals, (1, T, hidden)."""

    def fused_step(self, hidden: Tensor, ropes: RopeTable, cache: CompressedCache) -> Tensor | None:
        """All of the layer for one token, (1, 1, hidden), at once; None where it has no such way.

        Its K and V are added to the cache.
        """


class DecodingModel(Protocol):
    """A model as reading on needs it: a `Decoder`, or the faster `PackedDecoder`."""

    @property
    def layers(self) -> Sequence[DecodingLayer]:
        """All of them, in order."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token ids (T,) → (1, T, hidden)."""

    def ropes(self, positions: Tensor, length: int) -> RopeTable:
        """Rotary embeddings of positions (T,) in a text that may come to `length` tokens."""

    def normalize(self, hidden: Tensor) -> Tensor:
        """What the last layer gave, as the LM head sees it."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Normalized (1, T, hidden) → (T, vocabulary), float32."""


class ChoosesTokens(Protocol):
    """Anything that picks a token id from logits (vocabulary,)."""

    def choose(self, logits: Tensor) -> int:
        """The next token id."""
        ...


def decode(step: Step, first_logits: Tensor, sampler: ChoosesTokens) -> Iterator[int]:
    """Yield token ids without end; the caller stops at an end token or a count.

    The first id comes from the prefill's logits and costs no pass through the model.
    """
    token_id = sampler.choose(first_logits)
    yield token_id
    while True:
        token_id = sampler.choose(step(token_id))
        yield token_id


@torch.inference_mode()
def extend(
    model: DecodingModel,
    cache: CompressedCache,
    token_ids: Sequence[int],
    on_layer: Callable[[DecodingLayer, Tensor, list[HeadGroup]], None] | None = None,
) -> Tensor:
    """Read T tokens that follow what the cache holds; they are added to it.

    Args:
        model: the model.
        cache: what was read before.
        token_ids: T of them.
        on_layer: shown, in each layer, the queries (1, H, T, D) and the entries they look at.

    Returns:
        (T, vocabulary) float32: the logits after each of them.
    """
    hidden = model.embed(torch.tensor(token_ids, device=model.device))
    first = cache.next_position
    positions = torch.arange(first, first + len(token_ids), device=model.device)
    ropes = model.ropes(positions, cache.text_length)
    at_once = len(token_ids) == 1 and on_layer is None

    def attend(query: Tensor, group: HeadGroup) -> Tensor:
        hidden = _out_of_sight(layer, group, first, query.shape[2])
        return attend_cached(query, group.keys, group.values, layer.scaling, hidden)

    for layer in model.layers:
        if at_once and (passed := layer.fused_step(hidden, ropes, cache)) is not None:
            hidden = passed
            continue
        query, key, value = layer.project(hidden, ropes)
        groups = cache.append(layer.index, key, value)
        if on_layer is not None:
            on_layer(layer, query, groups)
        hidden = layer.finish(hidden, attend_groups(query, groups, attend))
    cache.next_position += len(token_ids)
    return model.logits(model.normalize(hidden))


def attend_groups(
    query: Tensor, groups: Sequence[HeadGroup], attend: Callable[[Tensor, HeadGroup], Tensor]
) -> Tensor:
    """Each group of heads over its own entries, with its share of the queries, (1, H, T, D)."""
    if len(groups) == 1:
        return attend(query, groups[0])
    per_head = query.shape[1] // sum(group.num_heads for group in groups)
    queries = torch.split(query, [per_head * group.num_heads for group in groups], dim=1)
    return torch.cat([attend(*each) for each in zip(queries, groups, strict=True)], dim=1)


def _out_of_sight(
    layer: DecodingLayer, group: HeadGroup, first_position: int, num_rows: int
) -> Tensor | None:
    """(heads, T, length), True for entries that left a row's sliding window; None for no window."""
    reach = layer.sliding_window
    if reach is None or first_position + num_rows <= reach:
        return None
    positions = group.positions.unsqueeze(1)
    rows = torch.arange(first_position, first_position + num_rows, device=positions.device)
    return positions <= rows.unsqueeze(1) - reach
