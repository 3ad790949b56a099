"""Measures in one to two seconds how fast this machine computes a model's layers.

What a run uses is measured: the model's own kernels on a few of its layers, in the number format
of its prefill and of its decoding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ..config import GREEDY
from .cache import CompressedCache
from .decode import DecodingModel, extend
from .kernels.attention import Causality, Kernel, attend
from .kernels.packed import PackedDecoder
from .layers import ActiveTokens, LayerRunner
from .machine_speed import LayerSpeed, MachineSpeed, PrefillSpeed
from .methods.snapkv import SnapKV
from .model.block_modules import block_tensors
from .model.block_tensor import BlockTensor
from .model.decoder import Decoder
from .model.decoder_layer import DecoderLayer
from .model.int8_decoder import quantize_decoder
from .model.int8_layer import Int8Layer, Int8Products, LayerWeights
from .model.recurrent_layer import Layer
from .sample_layers import LayerKind, SampleLayers, kinds, sample_layers
from .sampling import make_plain_sampler, seeded_generator

_BUDGET_S, _MOST_ROUNDS = 0.5, 30  # of a group of measurements, which are repeated within it
_FEW, _MANY, _LESS = 64, 1024, 256  # rows of a prompt; fewer where `_MANY` would be slow
_SLOW_S = 0.15
_LONG = 2048  # tokens of a prompt whose attention is timed, and entries of a cache
# Between two steps of decoding, the other layers' weights pass through the processor's caches.
_MOST_PASSED = 2**29


@torch.inference_mode()
def measure_speed(
    model: Any,
    decoder: Decoder,
    kernel: Kernel,
    sample_ids: Sequence[int],
    *,
    decodes_packed: bool,
    weights_bytes: int,
    keeps_int8: bool,
    is_planned: bool = False,
    kv_dtype: torch.dtype | None = None,
) -> MachineSpeed:
    """Time layers of each kind on the CPU.

    Args:
        model: the model, opened without weights.
        decoder: a view over it.
        kernel: of prefill's attention.
        sample_ids: a short text, with which weights in 8 bits are made; empty if prefill does not
            use them.
        decodes_packed: whether decoding reads packed copies of the weights.
        weights_bytes: of the matrices that decoding reads.
        keeps_int8: whether weights in 8 bits are kept for the next prompt.
        is_planned: whether it is known already what is multiplied in 8 bits.
        kv_dtype: number format of the cache's entries; None is the model's.
    """
    sample = sample_layers(model, decoder)
    found = kinds(decoder)
    prefills, start_s = [], 0.0
    for kind in found:
        one = sample.of_kind(kind)
        prefill, prefill_start_s = _measure_prefill(one, kernel)
        int8, quantize_s, int8_start_s = None, 0.0, 0.0
        if sample_ids and not kind.is_recurrent:
            first = replace(one, layers=one.layers[:1])
            first_s = _timed(partial(quantize_decoder, first, sample_ids))
            started = time.perf_counter()
            quantized = quantize_decoder(first, sample_ids).decoder
            quantize_s = again_s = time.perf_counter() - started
            make_s = _make_int8_seconds(first, quantized)
            if is_planned:
                quantize_s = make_s if keeps_int8 else 0.0
            int8, int8_start_s = _measure_prefill(quantized, kernel)
            int8_start_s += max(first_s - again_s, 0.0)
            if not keeps_int8:
                int8 = replace(int8, ready_s=make_s)
        start_s += prefill_start_s + int8_start_s
        prefills.append((prefill, int8, quantize_s))
    decoding = _measure_decoding(sample, found, decodes_packed, weights_bytes, kv_dtype)
    layers = [
        LayerSpeed(*prefill, *decode)
        for prefill, decode in zip(prefills, decoding.layers, strict=True)
    ]
    head_s = decoding.head_s / sample.head_share
    sampler = make_plain_sampler(GREEDY, guards_loops=True)
    logits = torch.rand(decoder.num_head_weights // decoder.hidden_size)
    token_s = decoding.token_s + _seconds(lambda: sampler.choose(logits))
    return MachineSpeed(tuple(layers), head_s, token_s, start_s, decoding.start_s)


def _make_int8_seconds(decoder: Decoder, quantized: Decoder) -> float:
    """Seconds to make a layer's weights in 8 bits anew, of unpacked ones."""
    layer = quantized.layers[0]
    assert isinstance(layer, Int8Layer)
    weights = LayerWeights.of(layer)
    return _unpack_seconds(decoder) + _seconds(lambda: Int8Products.of(weights, layer.plan))


def _unpack(tensors: Sequence[BlockTensor], buffer: Tensor) -> None:
    """Unpack matrices from the blocks of a GGUF file, one after the other into one buffer."""
    for tensor in tensors:
        tensor.unpack(buffer[: tensor.num_weights].view(tensor.shape))


def _unpack_seconds(decoder: Decoder) -> float:
    """Seconds to unpack a layer's matrices; 0 where they are in memory.

    Experts are unpacked for each use, which is timed with their products.
    """
    seconds = [0.0]
    for layer in decoder.layers:
        tensors = block_tensors(layer.module)
        if tensors and (layer.is_recurrent or layer.experts is None):
            largest = max(tensor.num_weights for tensor in tensors)
            buffer = torch.empty(largest, dtype=decoder.dtype)
            seconds.append(_seconds(partial(_unpack, tensors, buffer)))
    return median(seconds[1:] or seconds)


def _measure_prefill(decoder: Decoder, kernel: Kernel) -> tuple[PrefillSpeed, float]:
    """The speed of a decoder's first layer, and how much longer its first run takes."""
    layer, runner = decoder.layers[0], LayerRunner(kernel)
    few = _tokens(decoder, _FEW)
    first_few_s = _timed(lambda: _compute(runner, layer, few))
    is_slow = _timed(lambda: _compute(runner, layer, few)) * _MANY / _FEW > _SLOW_S
    num_rows = _LESS if is_slow else _MANY
    many = _tokens(decoder, num_rows)
    first_many_s = _timed(lambda: _compute(runner, layer, many))
    ready_s = 0.0 if isinstance(layer, Int8Layer) else _unpack_seconds(decoder)
    runs: list[Callable[[], object]] = [
        lambda: _compute(runner, layer, few),
        lambda: _compute(runner, layer, many),
    ]
    pairs, window = 1.0, 1
    if isinstance(layer, DecoderLayer):
        inputs = runner.project(layer, many)
        observed = layer.observe(inputs.normalized, many.ropes, many.positions, inputs.key)
        method = SnapKV(retention_rate=0.5)
        plan, window = method.plan(decoder.shape(num_rows)), method.window_size
        attend_rows, pairs = _attention(decoder, layer, kernel, num_rows)
        runs += [
            partial(runner.project, layer, few),
            partial(runner.project, layer, many),
            attend_rows,
            partial(method.scores, observed, plan),
        ]
    few_s, many_s, *others = _interleave(runs)
    start_s = max(first_few_s - few_s, 0.0) + max(first_many_s - many_s, 0.0)
    few_kv_s, many_kv_s, attend_s, score_s = others or [0.0] * 4
    pair_s = attend_s / pairs
    rest_few_s, rest_many_s = (
        max(whole_s - kv_s - pair_s * _pairs(rows, rows), whole_s / 4)
        for whole_s, kv_s, rows in ((few_s, few_kv_s, _FEW), (many_s, many_kv_s, num_rows))
    )
    kv_row_s, row_s = (
        max(long_s - short_s, long_s / 10) / (num_rows - _FEW)
        for short_s, long_s in ((few_kv_s, many_kv_s), (rest_few_s, rest_many_s))
    )
    layer_s = max(few_kv_s + rest_few_s - (kv_row_s + row_s) * _FEW, 0.0)
    score_s /= window * num_rows
    return PrefillSpeed(layer_s, kv_row_s, row_s, pair_s, score_s, ready_s), start_s


def _compute(runner: LayerRunner, layer: Layer, tokens: ActiveTokens) -> None:
    """Prefill of a layer."""
    if layer.is_recurrent:
        runner.mix(layer, tokens)
    else:
        runner.advance(layer, tokens, runner.project(layer, tokens), None)


def _tokens(decoder: Decoder, count: int) -> ActiveTokens:
    """Tokens with random hidden states."""
    positions = torch.arange(count)
    generator = seeded_generator(0)
    hidden = torch.randn(1, count, decoder.hidden_size, generator=generator).to(decoder.dtype)
    return ActiveTokens(hidden, positions, decoder.ropes(positions, count))


def _pairs(num_rows: int, num_keys: int) -> float:
    """Pairs of a query and a key in causal attention of the last rows."""
    return num_rows * (num_keys - (num_rows - 1) / 2)


def _attention(
    decoder: Decoder, layer: DecoderLayer, kernel: Kernel, num_rows: int
) -> tuple[Callable[[], object], float]:
    """Causal attention of the last rows of a prompt, and its pairs of a query and a key."""
    num_keys = 2 * num_rows
    shape = (1, layer.num_kv_heads, num_keys, layer.head_dim)
    key = torch.rand(shape, dtype=decoder.dtype)
    query = torch.rand(1, layer.num_heads, num_rows, layer.head_dim, dtype=decoder.dtype)
    causality = Causality(torch.arange(num_keys))
    run = partial(attend, query, key, key, causality, layer.scaling, kernel, layer.sinks)
    return run, _pairs(num_rows, num_keys)


@dataclass(frozen=True, slots=True)
class _Decoding:
    """Seconds of a decoded token: of a layer and of an entry of its cache by kind, and the rest.

    And how much longer the first steps of a process take.
    """

    layers: list[tuple[float, float]]
    head_s: float
    token_s: float
    start_s: float


def _measure_decoding(
    sample: SampleLayers,
    found: Sequence[LayerKind],
    is_packed: bool,
    weights_bytes: int,
    kv_dtype: torch.dtype | None,
) -> _Decoding:
    decoders = [sample.of_kind(kind) for kind in (None, *found)]
    models: list[DecodingModel] = list(decoders)
    if is_packed:
        models = [PackedDecoder.pack(each) for each in decoders]
    hidden = torch.ones(1, 1, decoders[0].hidden_size)
    if not is_packed:
        hidden = hidden.to(decoders[0].dtype)
    runs = [lambda: models[0].logits(models[0].normalize(hidden))]
    for model, decoder in zip(models, decoders, strict=True):
        runs += [_decode_step(model, decoder, entries, kv_dtype) for entries in (_FEW, _LONG)]
    passing = torch.zeros(min(weights_bytes, _MOST_PASSED) // 8, dtype=torch.int64)
    first_s = sum(_timed(run) for run in runs)
    medians = head_s, nothing_s, _, *steps = _interleave(runs, passing.sum)
    layers = []
    for at, (kind, decoder) in enumerate(zip(found, decoders[1:], strict=True)):
        short_s, long_s = steps[2 * at : 2 * at + 2]
        count = decoder.num_layers
        decode_s = max(short_s - nothing_s, 0.0) / count
        few, many = (min(kind.window or entries, entries) for entries in (_FEW, _LONG))
        entry_s = max(long_s - short_s, 0.0) / count / max(many - few, 1)
        layers.append((decode_s, entry_s))
    start_s = max(first_s - sum(medians), 0.0)
    return _Decoding(layers, head_s, max(nothing_s - head_s, 0.0), start_s)


def _decode_step(
    model: DecodingModel, decoder: Decoder, num_entries: int, kv_dtype: torch.dtype | None
) -> Callable[[], Tensor]:
    """A step of decoding behind a cache with so many entries."""
    cache = CompressedCache(_MOST_ROUNDS + 2, text_length=_LONG + _MOST_ROUNDS + 2, dtype=kv_dtype)
    for layer in decoder.layers:
        if layer.is_recurrent:
            cache.store_state(layer.start())
            continue
        before = torch.ones(1, layer.num_kv_heads, num_entries, layer.head_dim, dtype=decoder.dtype)
        cache.store(before, before, torch.arange(num_entries), None, layer.sliding_window)
    cache.next_position = num_entries
    return lambda: extend(model, cache, [0])


def _seconds(run: Callable[[], object]) -> float:
    """Seconds of a run after a first one, which compiles and allocates."""
    run()
    return _timed(run)


def _timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _interleave(
    runs: Sequence[Callable[[], object]], between: Callable[[], object] | None = None
) -> list[float]:
    """Median seconds of each run, in turns, so that other work slows all of them alike.

    Args:
        runs: what is timed.
        between: runs before each of them, untimed.
    """
    measured: list[list[float]] = [[] for _ in runs]
    started = time.perf_counter()
    for done in range(_MOST_ROUNDS):
        if done > 3 and time.perf_counter() - started >= _BUDGET_S:
            break
        for run, seconds in zip(runs, measured, strict=True):
            if between is not None:
                between()
            seconds.append(_timed(run))
    return [median(seconds[1:]) for seconds in measured]
