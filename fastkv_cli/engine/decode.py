"""Decoding: one token after the other over the compressed cache. Knows ids only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from .attention import attend_one
from .cache import CompressedCache
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
        token_id = sampler.choose(decode_one(decoder, cache, token_id))
        yield token_id


@torch.inference_mode()
def decode_one(decoder: Decoder, cache: CompressedCache, token_id: int) -> Tensor:
    """Read one token at `cache.next_position`; gives the logits (vocabulary,) after it."""
    hidden = decoder.embed(torch.tensor([token_id], device=decoder.device))
    rope = decoder.rope(torch.tensor([cache.next_position], device=decoder.device))
    for layer in decoder.layers:
        normalized = layer.normalize(hidden)
        key, value = cache.append(layer.index, *layer.keys_values(normalized, rope))
        query = layer.queries(normalized, rope)
        out_of_sight = _out_of_sight(layer, cache)
        hidden = layer.finish(hidden, attend_one(query, key, value, layer.scaling, out_of_sight))
    cache.next_position += 1
    return decoder.head(hidden)


def _out_of_sight(layer: DecoderLayer, cache: CompressedCache) -> Tensor | None:
    """(H_kv, length), True for entries that left a sliding window; None where there is none."""
    if layer.sliding_window is None or cache.next_position < layer.sliding_window:
        return None
    return cache.positions(layer.index) <= cache.next_position - layer.sliding_window
