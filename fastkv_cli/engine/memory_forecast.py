"""Memory that a run would take, forecast from a model without weights; nothing is computed."""

from __future__ import annotations

import torch

from ..config import DecodeWeights
from ..forecasts import MemoryForecast
from ..system.free_memory import available_memory_bytes
from .kernels.attention import rows_per_block
from .kernels.packed_matrix import can_pack
from .layers import default_chunk_rows
from .measure import resident_memory_bytes
from .methods import Plan
from .model.decoder import Decoder
from .model.loader import LoadedModel


def forecast_memory(
    loaded: LoadedModel, decoder: Decoder, plan: Plan, num_tokens: int, wanted: DecodeWeights
) -> MemoryForecast:
    """Forecast the bytes that a prompt takes with a method's plan.

    Args:
        loaded: a model loaded without weights.
        decoder: a view over it.
        plan: the method's plan for the prompt.
        num_tokens: tokens of prompt and answer together.
        wanted: the weights to decode from.
    """
    weights = sum(p.numel() for p in loaded.model.parameters()) * decoder.dtype.itemsize
    layer = max(sum(p.numel() for p in each.module.parameters()) for each in decoder.layers)
    packs = (
        wanted is not DecodeWeights.FULL
        and loaded.device.type == "cpu"
        and decoder.dtype is not torch.float32
        and can_pack()
    )
    # With packed copies, the layers' own weights are mapped from their files and released layer by
    # layer, so that those of one layer at most are resident.
    layers = sum(sum(p.numel() for p in each.module.parameters()) for each in decoder.layers)
    resident = weights - (layers - layer) * decoder.dtype.itemsize if packs else weights
    return MemoryForecast(
        weights_bytes=weights,
        resident_weights_bytes=resident,
        copies_bytes=decoder.num_weights if packs else 0,
        full_kv_bytes=decoder.kv_bytes(num_tokens),
        kept_kv_bytes=kept_kv_bytes(decoder, plan),
        working_bytes=_working_bytes(decoder, num_tokens, loaded.device),
        program_bytes=resident_memory_bytes() if loaded.device.type == "cpu" else 0,
        available_bytes=_available_bytes(loaded.device),
    )


def kept_kv_bytes(decoder: Decoder, plan: Plan) -> int:
    """Bytes of the K and V that this plan keeps after prefill."""
    entries = 0
    for layer, capacity in zip(decoder.layers, plan.capacities, strict=True):
        heads = [capacity] * layer.num_kv_heads if isinstance(capacity, int) else capacity
        entries += 2 * layer.head_dim * sum(heads)
    return entries * decoder.dtype.itemsize


def _working_bytes(decoder: Decoder, num_tokens: int, device: torch.device) -> int:
    """Peak bytes of prefill beside weights and cache: one layer's tensors."""
    layer = decoder.layers[0]
    hidden, inner = decoder.hidden_size, layer.intermediate_size
    per_token = 3 * hidden + 2 * layer.num_kv_heads * layer.head_dim  # in, normalized, out, K, V
    chunk = min(default_chunk_rows(device), num_tokens) * (3 * inner + 3 * hidden)
    if device.type == "cuda":  # queries and attention outputs of all rows at once
        attention = 2 * num_tokens * layer.num_heads * layer.head_dim
    else:
        group = layer.num_heads // layer.num_kv_heads
        attention = rows_per_block(num_tokens, num_tokens, group, "cpu") * group * num_tokens
    return (num_tokens * per_token + chunk + attention) * decoder.dtype.itemsize


def _available_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    return available_memory_bytes()
