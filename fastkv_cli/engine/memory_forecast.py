"""Memory that a run would take, forecast from a model's sizes; nothing is computed.

Importing this module imports no torch: the list of models on disk forecasts without loading any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config import DecodeWeights
from ..forecasts import MemoryForecast, ModelSizes
from ..system.free_memory import available_memory_bytes
from .kernels.row_blocks import RECURRENT_ROWS, default_chunk_rows, rows_per_block

if TYPE_CHECKING:
    import torch

    from .methods import Plan
    from .model.decoder import Decoder
    from .model.loader import LoadedModel


def forecast_memory(
    loaded: LoadedModel,
    decoder: Decoder,
    plan: Plan,
    num_tokens: int,
    wanted: DecodeWeights,
    *,
    keeps_kv: bool = True,
    kv_dtype: torch.dtype | None = None,
) -> MemoryForecast:
    """Forecast the bytes that a prompt takes with a method's plan.

    Args:
        loaded: a model loaded without weights.
        decoder: a view over it.
        plan: the method's plan for the prompt.
        num_tokens: tokens of prompt and answer together.
        wanted: the weights to decode from.
        keeps_kv: whether the prompt's keys and values are kept; not if it is only scored.
        kv_dtype: number format of the kept keys and values; None is the model's.
    """
    import torch

    from .kernels.packing import can_pack
    from .measure import resident_memory_bytes

    packs = (
        wanted is not DecodeWeights.FULL
        and loaded.device.type == "cpu"
        and (
            decoder.is_in_blocks or (decoder.dtype is not torch.float32 and not decoder.has_experts)
        )
        and can_pack()
    )
    return forecast_from_sizes(
        model_sizes(loaded, decoder),
        num_tokens,
        kept_kv_bytes(decoder, plan, kv_dtype) if keeps_kv else 0,
        full_kv_bytes=decoder.kv_bytes(num_tokens),
        bytes_per_weight=decoder.dtype.itemsize,
        packs=packs,
        device_type=loaded.device.type,
        program_bytes=resident_memory_bytes() if loaded.device.type == "cpu" else 0,
        available_bytes=_available_bytes(loaded.device),
    )


def forecast_from_sizes(
    sizes: ModelSizes,
    num_tokens: int,
    kept_kv_bytes: int,
    *,
    full_kv_bytes: int,
    bytes_per_weight: int,
    packs: bool,
    device_type: str,
    program_bytes: int | None,
    available_bytes: int | None,
) -> MemoryForecast:
    """Forecast the bytes that a prompt takes.

    Args:
        sizes: of the model.
        num_tokens: tokens of prompt and answer together.
        kept_kv_bytes: the KV cache as compressed by the method.
        full_kv_bytes: the full KV cache.
        bytes_per_weight: of the number format.
        packs: whether decoding reads packed copies of the weights.
        device_type: "cpu", "cuda" or "mps".
        program_bytes: the program and its libraries; None if unknown.
        available_bytes: free memory of the machine; None if unknown.
    """
    # With packed copies, the layers' own weights are mapped from their files and released layer by
    # layer, so that those of one layer at most are resident. Of a GGUF file, they are unpacked
    # layer by layer, and nothing else is resident.
    resident = sizes.num_weights
    if packs:
        resident -= sizes.layer_weights - sizes.largest_layer
    if sizes.packed_bytes is not None:
        resident = sizes.largest_layer
    copies = sizes.matrix_weights if sizes.packed_bytes is None else sizes.packed_bytes
    # An answer of some length meets most experts, of which some are packed: those that find room.
    room = sizes.expert_bytes if available_bytes is None else available_bytes // 2
    copies += min(sizes.expert_bytes, room)
    return MemoryForecast(
        weights_bytes=sizes.num_weights * bytes_per_weight,
        resident_weights_bytes=resident * bytes_per_weight,
        copies_bytes=copies if packs else 0,
        full_kv_bytes=full_kv_bytes,
        kept_kv_bytes=kept_kv_bytes,
        working_bytes=_working_bytes(sizes, num_tokens, device_type, bytes_per_weight)
        + sizes.state_bytes,
        program_bytes=program_bytes,
        available_bytes=available_bytes,
    )


def model_sizes(loaded: LoadedModel, decoder: Decoder) -> ModelSizes:
    """The sizes of a loaded model, with or without weights."""
    from .model.layer_parts import count_weights

    layers = [count_weights(each.module) for each in decoder.layers]
    first = decoder.attention_layers[0]
    return ModelSizes(
        num_weights=count_weights(loaded.model),
        layer_weights=sum(layers),
        largest_layer=_unpacked_weights(loaded.model, decoder) or max(layers),
        matrix_weights=decoder.num_weights,
        packed_bytes=decoder.packed_bytes,
        expert_bytes=decoder.packed_expert_bytes,
        hidden=decoder.hidden_size,
        intermediate=first.intermediate_size,
        num_heads=first.num_heads,
        num_kv_heads=first.num_kv_heads,
        head_dim=first.head_dim,
        kv_per_token=sum(
            2 * each.num_kv_heads * each.head_dim for each in decoder.attention_layers
        ),
        state_bytes=decoder.state_bytes,
        mixing_bytes=max(
            (each.mixer.working_bytes_per_token for each in decoder.layers if each.is_recurrent),
            default=0,
        ),
    )


def _unpacked_weights(model: Any, decoder: Decoder) -> int:
    """Weights in memory at once of a model in blocks: buffers, one for each name, and vectors.

    Hybrids have buffers for the matrices of both kinds of layers. 0 for other models.
    """
    from .model.block_modules import buffer_sizes

    if not decoder.is_in_blocks:
        return 0
    buffers = buffer_sizes(layer.module for layer in decoder.layers)
    return sum(buffers.values()) + int(sum(weight.numel() for weight in model.parameters()))


def kept_kv_bytes(decoder: Decoder, plan: Plan, kv_dtype: torch.dtype | None = None) -> int:
    """Bytes of the K and V that this plan keeps after prefill, in a number format."""
    import torch

    total = 0
    for layer in decoder.attention_layers:
        capacity = plan.capacities[layer.index]
        heads = [capacity] * layer.num_kv_heads if isinstance(capacity, int) else capacity
        if kv_dtype is torch.int8 and layer.sliding_window is None:
            total += sum(int8_bytes(each, layer.head_dim) for each in heads)
            continue
        dtype = decoder.dtype if kv_dtype in (None, torch.int8) else kv_dtype
        total += 2 * layer.head_dim * sum(heads) * dtype.itemsize
    return total


def int8_bytes(entries: int, head_dim: int) -> int:
    """Bytes of a head's K and V in 8 bits, with the scales of each entry and of the channels."""
    return entries * (2 * head_dim + 8) + 4 * head_dim


def _working_bytes(
    sizes: ModelSizes, num_tokens: int, device_type: str, bytes_per_number: int
) -> int:
    """Bytes held at the peak of prefill beside weights and cache: one layer's tensors."""
    hidden, inner = sizes.hidden, sizes.intermediate
    per_token = 3 * hidden + 2 * sizes.num_kv_heads * sizes.head_dim  # in, normalized, out, K, V
    chunk = min(default_chunk_rows(device_type), num_tokens) * (3 * inner + 3 * hidden)
    if device_type == "cuda":  # queries and attention outputs of all rows at once
        attention = 2 * num_tokens * sizes.num_heads * sizes.head_dim
    else:
        group = sizes.num_heads // sizes.num_kv_heads
        attention = rows_per_block(num_tokens, num_tokens, group, "cpu") * group * num_tokens
    mixing = min(RECURRENT_ROWS, num_tokens) * sizes.mixing_bytes
    largest = max((chunk + attention) * bytes_per_number, mixing)
    return num_tokens * per_token * bytes_per_number + largest


def _available_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return free
    return available_memory_bytes()
