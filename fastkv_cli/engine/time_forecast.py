"""Seconds that a run would take, forecast from its prompts and the machine's speed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .machine_speed import MachineSpeed
from .memory_forecast import kept_kv_bytes
from .methods import Plan, Propagation
from .model.decoder import Decoder
from .model.decoder_layer import DecoderLayer
from .model.recurrent_layer import Layer

# Scores of the observation window are computed in float32, with a softmax, a pool and a sum: what
# that takes, as a multiple of the same rows' attention.
_SCORING = 4


@dataclass(frozen=True, slots=True)
class PlannedPrompt:
    """A prompt of a run.

    Attributes:
        num_tokens: n.
        plan: the method's plan for it.
        is_scored: whether it ends at the TSP layer, and keeps nothing.
        num_known: leading tokens whose prefix state is stored.
        state_layer: the first layer that is not in the state.
        state_bytes: of that state, which is mapped into memory; 0 without one.
        is_int8: whether it is prefilled with weights in 8 bits.
    """

    num_tokens: int
    plan: Plan
    is_scored: bool = False
    num_known: int = 0
    state_layer: int = 0
    state_bytes: int = 0
    is_int8: bool = False


def prefill_seconds(decoder: Decoder, prompt: PlannedPrompt, speed: MachineSpeed) -> float:
    """Seconds to prefill a prompt, or to score it."""
    tsp = prompt.plan.tsp
    if tsp is not None and tsp.restart:
        filtered = _seconds_to_tsp(decoder, prompt, tsp, speed)
        again = PlannedPrompt(tsp.length, Plan.keep_all(decoder.shape(tsp.length)))
        return filtered + prefill_seconds(decoder, again, speed)
    if prompt.is_scored and tsp is not None:
        return _seconds_to_tsp(decoder, prompt, tsp, speed)
    seconds, active = 0.0, prompt.num_tokens
    for layer in decoder.layers:
        known = prompt.num_known if layer.index < prompt.state_layer else 0
        selected, step = None, prompt.plan.step_at(layer.index)
        if layer.index == decoder.num_layers - 1:
            selected = 1
        elif step is not None:
            selected = min(step.length, active)
        is_sparse = selected is None and active == prompt.num_tokens
        sparsity = prompt.plan.sparsity if is_sparse else None
        cost = 1.0 if sparsity is None else sparsity.expected_cost(active)
        seconds += _layer_seconds(layer, active, selected, known, speed, cost)
        seconds += _scoring_seconds(layer, active, prompt.plan, speed)
        if step is not None:
            active = min(step.length, active)
    seconds += _unpacking_seconds(decoder, decoder.num_layers, speed)
    head = decoder.num_head_weights * decoder.dtype.itemsize
    return seconds + head / speed.decode_bytes_per_s


def decode_seconds(
    decoder: Decoder, prompt: PlannedPrompt, speed: MachineSpeed, weights_bytes: int
) -> float:
    """Seconds of each decoded token after a prompt.

    Args:
        decoder: the model.
        prompt: the prompt that is answered.
        speed: of the machine.
        weights_bytes: of the matrices that decoding reads.
    """
    read = weights_bytes + kept_kv_bytes(decoder, prompt.plan)
    layers_s = decoder.num_layers * speed.decode_layer_s
    return speed.decode_token_s + layers_s + read / speed.decode_bytes_per_s


def _seconds_to_tsp(
    decoder: Decoder, prompt: PlannedPrompt, tsp: Propagation, speed: MachineSpeed
) -> float:
    """Seconds of the layers before the TSP layer, and of that layer's K, V and scores."""
    seconds = 0.0
    for layer in decoder.layers[: tsp.layer + 1]:
        known = prompt.num_known if layer.index < prompt.state_layer else 0
        selected = 0 if layer.index == tsp.layer else None
        seconds += _layer_seconds(layer, prompt.num_tokens, selected, known, speed)
    seconds += _unpacking_seconds(decoder, tsp.layer, speed)
    return seconds + _scoring_seconds(layer, prompt.num_tokens, prompt.plan, speed)


def _unpacking_seconds(decoder: Decoder, num_layers: int, speed: MachineSpeed) -> float:
    """Seconds to unpack the first layers' matrices, where they are in the blocks of a GGUF file."""
    if not decoder.is_in_blocks:
        return 0.0
    weights = sum(_flops_per_token(layer) // 2 for layer in decoder.layers[:num_layers])
    return weights / speed.unpack_weights_per_s


def _flops_per_token(layer: Layer) -> int:
    """Operations of a layer's matrices for one token."""
    if layer.is_recurrent:
        return layer.flops(1, None) - layer.mixer.flops_per_token
    return layer.flops(1, None) - 4 * layer.num_heads * layer.head_dim


def _layer_seconds(
    layer: Layer,
    num_tokens: int,
    selected: int | None,
    known: int,
    speed: MachineSpeed,
    attention_cost: float = 1.0,
) -> float:
    """Seconds of a layer: K and V of all tokens that are not known, the rest of the selected."""
    if layer.is_recurrent:
        selected_rows = None if selected is None else torch.empty(selected)
        flops = layer.flops(num_tokens, selected_rows, known)
        return flops / speed.matrix_flops_per_s(layer.hidden_size)
    token = _flops_per_token(layer)
    kv = layer.flops(1, torch.empty(0, dtype=torch.long))
    new = num_tokens - known
    rows = new if selected is None else selected
    matrices = kv * new + (token - kv) * rows
    pairs = _num_pairs(layer, num_tokens, known if selected is None else None, rows)
    attention = 4 * layer.num_heads * layer.head_dim * pairs * attention_cost
    rate = speed.matrix_flops_per_s(layer.hidden_size)
    return matrices / rate + attention / speed.attention_flops_per_s


def _num_pairs(layer: DecoderLayer, num_tokens: int, known: int | None, rows: int) -> float:
    """Pairs of a query and a key that it attends to.

    Rows that were selected (`known` is None) are taken to be spread evenly; a single one is the
    last.
    """
    window = min(layer.sliding_window or num_tokens, num_tokens)
    if known is None:
        return rows * (num_tokens if rows == 1 else min(num_tokens / 2, window))
    whole = window * (num_tokens - window) + window * (window + 1) / 2
    before = min(window, known)
    return whole - (before * (known - before) + before * (before + 1) / 2)


def _scoring_seconds(layer: Layer, num_tokens: int, plan: Plan, speed: MachineSpeed) -> float:
    """Seconds of the window's scores in a layer that compresses or propagates."""
    if layer.is_recurrent:
        return 0.0
    capacity = plan.capacities[layer.index]
    compresses = not isinstance(capacity, int) or capacity < layer.entries(num_tokens)
    if not (compresses or plan.propagates_by(layer.index)):
        return 0.0
    rows = plan.num_rows or plan.window
    scores = _SCORING * 4 * layer.num_heads * layer.head_dim * rows * num_tokens
    return scores / speed.attention_flops_per_s
