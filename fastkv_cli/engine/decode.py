"""Decoding: one token after the other over the compressed cache. Knows ids only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from .attention import attend_cached
from .cache import CompressedCache, HeadGroup
from .families import Decoder, DecoderLayer


class ChoosesTokens(Protocol):
    """Anything that picks a token id from logits (vocabulary,)."""

    def choose(self, logits: Tensor) -> int:
        """The next token id."""
        ...


def decode(
    decoder: Decoder, cache: CompressedCache, first_logits: Tensor, sampler: ChoosesTokens
) -> Iterator[int]:
    """Yield token ids without end; the caller stops at an end token or a count.

    The first id comes from the prefill's logits and costs no pass through the model.
    """
    token_id = sampler.choose(first_logits)
    yield token_id
    while True:
        token_id = sampler.choose(read_on(decoder, cache, [token_id])[-1])
        yield token_id


@torch.inference_mode()
def read_on(
    decoder: Decoder,
    cache: CompressedCache,
    token_ids: Sequence[int],
    on_layer: Callable[[DecoderLayer, Tensor, list[HeadGroup]], None] | None = None,
) -> Tensor:
    """Read T tokens that follow what the cache holds; they are added to it.

    Args:
        decoder: the model.
        cache: what was read before.
        token_ids: T of them.
        on_layer: shown, in each layer, the queries (1, H, T, D) and the entries they look at.

    Returns:
        (T, vocabulary) float32: the logits after each of them.
    """
    hidden = decoder.embed(torch.tensor(token_ids, device=decoder.device))
    first = cache.next_position
    rope = decoder.rope(torch.arange(first, first + len(token_ids), device=decoder.device))
    for layer in decoder.layers:
        normalized = layer.normalize(hidden)
        groups = cache.append(layer.index, *layer.keys_values(normalized, rope))
        query = layer.queries(normalized, rope)
        if on_layer is not None:
            on_layer(layer, query, groups)
        hidden = layer.finish(hidden, _attend_groups(layer, query, groups, first))
    cache.next_position += len(token_ids)
    return decoder.logits(decoder.normalize(hidden))


def _attend_groups(
    layer: DecoderLayer, query: Tensor, groups: list[HeadGroup], first_position: int
) -> Tensor:
    """Each group of heads over its own entries, (1, H, T, D)."""
    per_head = query.shape[1] // sum(group.num_heads for group in groups)
    queries = torch.split(query, [per_head * group.num_heads for group in groups], dim=1)
    attended = [
        attend_cached(
            mine,
            group.keys,
            group.values,
            layer.scaling,
            _out_of_sight(layer, group, first_position, mine.shape[2]),
        )
        for mine, group in zip(queries, groups, strict=True)
    ]
    return attended[0] if len(attended) == 1 else torch.cat(attended, dim=1)


def _out_of_sight(
    layer: DecoderLayer, group: HeadGroup, first_position: int, num_rows: int
) -> Tensor | None:
    """(heads, T, length), True for entries that left a row's sliding window; None for no window."""
    reach = layer.sliding_window
    if reach is None or first_position + num_rows <= reach:
        return None
    positions = group.positions[:, : group.length].unsqueeze(1)
    rows = torch.arange(first_position, first_position + num_rows, device=positions.device)
    return positions <= rows.unsqueeze(1) - reach
