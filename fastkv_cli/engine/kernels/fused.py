"""Fused step: one token through one layer in a single TorchScript call.

A decoded token takes some 40 operations a layer, most of them over a few hundred numbers, and
Python takes longer to call one than torch to compute it. TorchScript's calls are cheaper, which
saves 10% of a token's time. `fused_step` is ordinary Python and runs as such where TorchScript is
not available.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from .lookup import attend_slots
from .packed_matrix import Int4Matrix, PackedMatrix
from .scripted import scripted

if TYPE_CHECKING:
    from .packed_norm import PackedNorm


class FusedLayer(NamedTuple):
    """A layer's norms and packed matrices, in the order of its forward pass."""

    gain: Tensor
    floor: Tensor
    qkv: Tensor
    qkv_scales: Tensor
    output: Tensor
    output_scales: Tensor
    mlp_gain: Tensor
    mlp_floor: Tensor
    gate_up: Tensor
    gate_up_scales: Tensor
    down: Tensor
    down_scales: Tensor


def fuse(
    matrices: tuple[PackedMatrix, ...],
    norms: tuple[PackedNorm, PackedNorm],
) -> FusedLayer | None:
    """Assemble a fused layer; None unless all its matrices are in 4 bits and have no bias."""
    weights: list[Tensor] = []
    for matrix in matrices:
        if not isinstance(matrix, Int4Matrix) or matrix.bias is not None:
            return None
        weights += [matrix.packed, matrix.scales]
    attention_norm, mlp_norm = ([norm.gain, norm.floor] for norm in norms)
    return FusedLayer._make(attention_norm + weights[:4] + mlp_norm + weights[4:])


def _project(
    layer: FusedLayer,
    hidden: Tensor,
    cos: Tensor,
    sin: Tensor,
    num_kv_heads: int,
    group_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """The layer's input → rotated queries (1, H, 1, D), rotated keys and values (1, H_kv, 1, D)."""
    hidden, head_dim = hidden.view(1, -1), cos.size(3)
    length = torch.linalg.vector_norm(hidden, 2, [-1], True)
    normalized = (hidden * layer.gain).div_(torch.hypot(length, layer.floor))
    projected = torch.ops.aten._weight_int4pack_mm_for_cpu(
        normalized.to(torch.bfloat16), layer.qkv, group_size, layer.qkv_scales
    )
    heads = projected.to(cos.dtype).view(1, 1, -1, head_dim).transpose(1, 2)
    num_rotated = heads.size(1) - num_kv_heads
    num_heads = num_rotated - num_kv_heads
    rotated = heads[:, :num_rotated]
    rotated = torch.addcmul(rotated * cos, rotated.roll([head_dim // 2], [-1]), sin)
    return rotated[:, :num_heads], rotated[:, num_heads:], heads[:, num_rotated:]


def _finish(layer: FusedLayer, hidden: Tensor, attended: Tensor, group_size: int) -> Tensor:
    """Output projection, MLP and both residuals, (1, 1, hidden)."""
    hidden = hidden.view(1, -1)
    hidden = hidden + torch.ops.aten._weight_int4pack_mm_for_cpu(
        attended.reshape(1, -1).to(torch.bfloat16), layer.output, group_size, layer.output_scales
    )
    length = torch.linalg.vector_norm(hidden, 2, [-1], True)
    normalized = (hidden * layer.mlp_gain).div_(torch.hypot(length, layer.mlp_floor))
    gate_up = torch.ops.aten._weight_int4pack_mm_for_cpu(
        normalized.to(torch.bfloat16), layer.gate_up, group_size, layer.gate_up_scales
    )
    size = gate_up.size(1) // 2
    gated = nn.functional.silu(gate_up[:, :size]) * gate_up[:, size:]
    hidden.add_(
        torch.ops.aten._weight_int4pack_mm_for_cpu(gated, layer.down, group_size, layer.down_scales)
    )
    return hidden.unsqueeze(0)


@scripted
def fused_step(
    layer: FusedLayer,
    hidden: Tensor,
    cos: Tensor,
    sin: Tensor,
    keys: Tensor,
    values: Tensor,
    slot: int,
    scaling: float,
    group_size: int,
    by_channel: bool,
) -> Tensor:
    """Decode one token in one layer: write its K and V, attend to all entries, apply the MLP.

    Args:
        layer: the weights.
        hidden: (1, 1, hidden), the layer's input, float32.
        cos: (1, 1, 1, D).
        sin: as cos, the first half negated.
        keys: (1, H_kv, allocated, D), written at `slot`; in any number format.
        values: as keys.
        slot: number of entries in the cache before this token.
        scaling: factor applied to q·k.
        group_size: 32, the weights that share a scale.
        by_channel: whether keys are stored by channel, for `attend_slots`.

    Returns:
        (1, 1, hidden), the layer's output.
    """
    num_kv_heads, head_dim = keys.size(1), keys.size(3)
    query, key, value = _project(layer, hidden, cos, sin, num_kv_heads, group_size)
    keys.narrow(2, slot, 1).copy_(key)
    values.narrow(2, slot, 1).copy_(value)
    if by_channel:
        attended = attend_slots(query, keys, values, slot + 1, scaling)
    else:
        attended = nn.functional.scaled_dot_product_attention(
            # a group's queries as rows, in the cache's number format
            query.reshape(1, num_kv_heads, -1, head_dim).to(keys.dtype),
            keys.narrow(2, 0, slot + 1),
            values.narrow(2, 0, slot + 1),
            scale=scaling,
        ).to(query.dtype)
    return _finish(layer, hidden, attended, group_size)


# The two halves alone, for entries that the fused step has no attention for.
fused_project = scripted(_project)
fused_finish = scripted(_finish)
