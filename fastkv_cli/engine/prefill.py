"""Prefill with Token-Selective Propagation (FastKV, arXiv 2502.01068, sections 3 and 4).

Early layers read every token. At the TSP layer ℓ* the tokens that matter are chosen, and only they
go deeper, with their original positions. Every layer keeps only the K and V that matter, as soon
as it is done, so at no time is more than one layer's full K and V in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .attention import Causality, Kernel, attend
from .cache import CompressedCache
from .families import Decoder, DecoderLayer, Rope
from .methods import Method, Plan

Progress = Callable[[float], None]

# Rows that pass through a layer at once: activations of the MLP stay this small however long the
# prompt is.
CHUNK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class PrefillResult:
    """What prefill leaves behind.

    Attributes:
        cache: the kept keys and values, ready for decoding.
        logits: (vocabulary,) float32, of the first new token.
        plan: the budgets that the method set for this prompt.
        tokens_seen: per layer, how many tokens it read.
    """

    cache: CompressedCache
    logits: Tensor
    plan: Plan
    tokens_seen: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Stream:
    """The tokens on their way through the layers: the hidden states, and where they stand.

    hidden (1, T, hidden) · positions (T,) in the text · rope for those positions.
    """

    hidden: Tensor
    positions: Tensor
    rope: Rope

    @property
    def num_tokens(self) -> int:
        return self.hidden.shape[1]


@torch.inference_mode()
def prefill(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    *,
    kernel: Kernel,
    room: int = 0,
    chunk_rows: int = CHUNK_ROWS,
    on_progress: Progress | None = None,
) -> PrefillResult:
    """Read a prompt.

    Args:
        decoder: the model.
        prompt_ids: (n,) token ids on the decoder's device, n ≥ 1.
        method: what to keep and what to propagate.
        kernel: how attention is computed.
        room: cache entries to allocate for tokens to come.
        chunk_rows: rows that pass through a layer at once.
        on_progress: told the share of the work that is done, 0 to 1.

    Raises:
        UsageError: when the method does not fit the model.
    """
    num_tokens = prompt_ids.shape[0]
    plan = method.plan(num_tokens, decoder.num_layers)
    cache = CompressedCache(room=room)
    tokens_seen = []
    stream = _enter(decoder, prompt_ids)
    for layer in decoder.layers:
        capacity, is_tsp_layer = plan.capacities[layer.index], layer.index == plan.tsp_layer
        normalized, key, value = _read(layer, stream, chunk_rows)
        tokens_seen.append(stream.num_tokens)

        kept = going_on = None
        if is_tsp_layer or capacity < stream.num_tokens:
            scores = method.scores(layer.observe(normalized, stream.rope, key), plan)  # step 1
            if capacity < stream.num_tokens:
                kept = method.keep(scores, capacity, plan)  # step 2
            if is_tsp_layer and plan.tsp_length is not None:
                going_on = method.propagate(scores, plan.tsp_length, plan)  # step 3
        cache.store(key, value, stream.positions, kept)

        if layer.index == decoder.num_layers - 1:
            # only the last token's hidden state meets the LM head, so only it is computed
            going_on = torch.tensor([stream.num_tokens - 1], device=decoder.device)
        stream = _advance(layer, stream, (normalized, key, value), going_on, kernel, chunk_rows)
        if on_progress is not None:
            on_progress(_share_done(layer.index, num_tokens, plan))
    cache.next_position = num_tokens  # step 4: decoding continues behind the whole prompt
    return PrefillResult(cache, decoder.head(stream.hidden), plan, tuple(tokens_seen))


@torch.inference_mode()
def score_tokens(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    *,
    kernel: Kernel,
    chunk_rows: int = CHUNK_ROWS,
) -> Tensor:
    """Read a prompt up to the method's TSP layer and stop there: which tokens would go on?

    Args:
        decoder: the model.
        prompt_ids: (n,) token ids; n is above the method's observation window.
        method: a method with a TSP layer.
        kernel: how attention is computed.
        chunk_rows: rows that pass through a layer at once.

    Returns:
        (n − W,) float32: the scores of the tokens before the window, added over KV heads.
    """
    plan = method.plan(prompt_ids.shape[0], decoder.num_layers)
    if plan.tsp_layer is None:
        raise ValueError("the method has no TSP layer for this prompt")
    stream = _enter(decoder, prompt_ids)
    for layer in decoder.layers[: plan.tsp_layer]:
        stream = _advance(layer, stream, _read(layer, stream, chunk_rows), None, kernel, chunk_rows)
    layer = decoder.layers[plan.tsp_layer]
    normalized, key, _ = _read(layer, stream, chunk_rows)
    return method.scores(layer.observe(normalized, stream.rope, key), plan)[0].sum(dim=0)


def _enter(decoder: Decoder, prompt_ids: Tensor) -> _Stream:
    positions = torch.arange(prompt_ids.shape[0], device=decoder.device)
    return _Stream(decoder.embed(prompt_ids), positions, decoder.rope(positions))


def _read(layer: DecoderLayer, stream: _Stream, chunk_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Normalized hidden states, K and V of all tokens that the layer sees."""
    normalized = torch.empty_like(stream.hidden)
    shape = (1, layer.num_kv_heads, stream.num_tokens, layer.head_dim)
    key, value = stream.hidden.new_empty(shape), stream.hidden.new_empty(shape)
    for rows in _chunks(stream.num_tokens, chunk_rows):
        normalized[:, rows] = layer.normalize(stream.hidden[:, rows])
        key[:, :, rows], value[:, :, rows] = layer.keys_values(
            normalized[:, rows], stream.rope.at(rows)
        )
    return normalized, key, value


def _advance(
    layer: DecoderLayer,
    stream: _Stream,
    read: tuple[Tensor, Tensor, Tensor],
    going_on: Tensor | None,
    kernel: Kernel,
    chunk_rows: int,
) -> _Stream:
    """Attention and MLP, for the tokens that go on (row indices; None is all of them).

    K and V are needed of every token, the rest only of those that go on: choosing first and
    computing after gives the same result for less work.
    """
    normalized, key, value = read
    count = stream.num_tokens if going_on is None else going_on.shape[0]
    hidden = stream.hidden.new_empty(1, count, stream.hidden.shape[2])
    for chunk in _chunks(count, chunk_rows):
        rows = chunk if going_on is None else going_on[chunk]
        visible = chunk.stop if going_on is None else stream.num_tokens
        causality = Causality(
            positions=stream.positions[:visible],
            rows=None if going_on is None else going_on[chunk],
            sliding_window=layer.sliding_window,
        )
        attended = attend(
            layer.queries(normalized[:, rows], stream.rope.at(rows)),
            key[:, :, :visible],
            value[:, :, :visible],
            causality,
            layer.scaling,
            kernel,
        )
        hidden[:, chunk] = layer.finish(stream.hidden[:, rows], attended)
    if going_on is None:
        return _Stream(hidden, stream.positions, stream.rope)
    return _Stream(hidden, stream.positions[going_on], stream.rope.at(going_on))


def _chunks(count: int, chunk_rows: int) -> Iterator[slice]:
    for start in range(0, count, chunk_rows):
        yield slice(start, min(start + chunk_rows, count))


def _share_done(index: int, num_tokens: int, plan: Plan) -> float:
    """How much of the work lies behind, counted in layers × tokens."""
    num_layers = len(plan.capacities)
    if plan.tsp_layer is None or plan.tsp_length is None:
        return (index + 1) / num_layers
    early, late = plan.tsp_layer, plan.tsp_length / num_tokens
    total = early + late * (num_layers - early)
    return (min(index + 1, early) + late * max(index + 1 - early, 0)) / total
