"""Seconds that a run would take, forecast from its prompts and the machine's speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .kernels.row_blocks import rows_per_block
from .machine_speed import LayerSpeed, MachineSpeed
from .methods import Plan, Propagation
from .model.decoder import Decoder
from .model.decoder_layer import DecoderLayer
from .model.recurrent_layer import Layer
from .sample_layers import LayerKind, kinds


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
    tsp, by_layer = prompt.plan.tsp, _speeds(decoder, speed)
    if tsp is not None and tsp.restart:
        filtered = _seconds_to_tsp(decoder, prompt, tsp, by_layer)
        again = PlannedPrompt(
            tsp.length, Plan.keep_all(decoder.shape(tsp.length)), is_int8=prompt.is_int8
        )
        return filtered + prefill_seconds(decoder, again, speed)
    if prompt.is_scored and tsp is not None:
        return _seconds_to_tsp(decoder, prompt, tsp, by_layer)
    seconds, active = speed.head_s, prompt.num_tokens
    for layer, layer_speed in zip(decoder.layers, by_layer, strict=True):
        selected, step = None, prompt.plan.step_at(layer.index)
        if layer.index == decoder.num_layers - 1:
            selected = 1
        elif step is not None:
            selected = min(step.length, active)
        is_sparse = selected is None and active == prompt.num_tokens
        sparsity = prompt.plan.sparsity if is_sparse else None
        cost = 1.0 if sparsity is None else sparsity.expected_cost(active)
        seconds += _layer_seconds(layer, active, selected, prompt, layer_speed, cost)
        if step is not None:
            active = min(step.length, active)
    return seconds


def start_seconds(decoder: Decoder, prompts: Sequence[PlannedPrompt], speed: MachineSpeed) -> float:
    """Seconds that a process takes once: first products, and weights in 8 bits."""
    quantize_s = sum(each.quantize_s for each in _speeds(decoder, speed))
    return speed.start_s + quantize_s * any(prompt.is_int8 for prompt in prompts)


def answer_seconds(
    decoder: Decoder, prompt: PlannedPrompt, speed: MachineSpeed, num_tokens: int
) -> float:
    """Seconds of an answer's tokens behind the first one."""
    if num_tokens < 2:
        return 0.0
    return speed.decode_start_s + (num_tokens - 1) * decode_seconds(decoder, prompt, speed)


def decode_seconds(decoder: Decoder, prompt: PlannedPrompt, speed: MachineSpeed) -> float:
    """Seconds of each decoded token after a prompt."""
    seconds = speed.token_s + speed.head_s
    for layer, layer_speed in zip(decoder.layers, _speeds(decoder, speed), strict=True):
        seconds += layer_speed.decode_s
        if not layer.is_recurrent:
            capacity = prompt.plan.capacities[layer.index]
            each = [capacity] if isinstance(capacity, int) else capacity
            seconds += layer_speed.entry_s * sum(each) / len(each)
    return seconds


def _speeds(decoder: Decoder, speed: MachineSpeed) -> list[LayerSpeed]:
    """The speed of each layer."""
    of_kind = dict(zip(kinds(decoder), speed.layers, strict=True))
    return [of_kind[LayerKind.of(layer)] for layer in decoder.layers]


def _seconds_to_tsp(
    decoder: Decoder, prompt: PlannedPrompt, tsp: Propagation, by_layer: Sequence[LayerSpeed]
) -> float:
    """Seconds of the layers before the TSP layer, and of that layer's K, V and scores."""
    return sum(
        _layer_seconds(
            layer, prompt.num_tokens, 0 if layer.index == tsp.layer else None, prompt, layer_speed
        )
        for layer, layer_speed in zip(decoder.layers[: tsp.layer + 1], by_layer, strict=False)
    )


def _layer_seconds(
    layer: Layer,
    num_tokens: int,
    selected: int | None,
    prompt: PlannedPrompt,
    layer_speed: LayerSpeed,
    attention_cost: float = 1.0,
) -> float:
    """Seconds of a layer: K and V of all tokens that are not known, the rest of the selected."""
    known = prompt.num_known if layer.index < prompt.state_layer else 0
    speed = (layer_speed.int8 if prompt.is_int8 else None) or layer_speed.prefill
    new = num_tokens - known
    if layer.is_recurrent:
        return speed.ready_s + speed.layer_s + new * speed.row_s
    rows = new if selected is None else selected
    pairs = _num_pairs(layer, num_tokens, known if selected is None else None, rows)
    return (
        speed.ready_s
        + speed.layer_s
        + new * speed.kv_row_s
        + rows * speed.row_s
        + pairs * attention_cost * speed.pair_s
        + _num_scored(layer, num_tokens, prompt.plan) * speed.score_s
    )


def _num_pairs(layer: DecoderLayer, num_tokens: int, known: int | None, rows: int) -> float:
    """Pairs of a query and a key that are computed.

    Rows that were selected (`known` is None) are taken to be spread evenly; a single one is the
    last. A block of rows computes the windows of all its rows.
    """
    window = layer.sliding_window
    if window is not None:
        group = layer.num_heads // layer.num_kv_heads
        window += rows_per_block(max(rows, 1), num_tokens, group, "cpu") - 1
    window = min(window or num_tokens, num_tokens)
    if known is None:
        return rows * (num_tokens if rows == 1 else min(num_tokens / 2, window))
    whole = window * (num_tokens - window) + window * (window + 1) / 2
    before = min(window, known)
    return whole - (before * (known - before) + before * (before + 1) / 2)


def _num_scored(layer: DecoderLayer, num_tokens: int, plan: Plan) -> int:
    """Pairs of a scoring query and a key, in a layer that compresses or propagates."""
    capacity = plan.capacities[layer.index]
    compresses = not isinstance(capacity, int) or capacity < layer.entries(num_tokens)
    if not (compresses or plan.propagates_by(layer.index)):
        return 0
    return (plan.num_rows or plan.window) * num_tokens
