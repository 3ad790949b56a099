"""Attention for decoding over keys and values in 8 bits.

Both products are torch's 8-bit one, with keys and values in the place where it needs no reordering.
Queries and attention weights are split into two rows of 8 bits, a coarse one and its remainder, as
rounding them to 8 bits alone costs more than rounding the keys and values: 0.13 of a logit where
the keys cost 0.025, and 9% of the output where the values cost 0.5%.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .int8_product import split_levels
from .lookup import mask_slots
from .scripted import scripted


def _products(matrices: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """Multiply each head's matrix (heads, M, K) with its rows, (2, heads, R, K), all int8.

    Returns:
        The products with the coarse and with the fine rows, (heads, R, M) int32.
    """
    num_heads, size, width = matrices.shape
    num_rows = levels.size(2)
    # Each head's matrix is multiplied with the rows of all heads of a product, which costs nothing
    # while they fill two registers.
    at_once = max(32 // (2 * num_rows), 1)
    parts = []
    for first in range(0, num_heads, at_once):
        count = min(at_once, num_heads - first)
        columns = levels[:, first : first + count].reshape(-1, width).t()
        product = torch._int_mm(
            matrices.narrow(0, first, count).reshape(count * size, width), columns
        )
        own = product.view(count, size, 2, count, num_rows).diagonal(0, 0, 3)
        parts.append(own.permute(1, 3, 2, 0))
    whole = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
    return whole[0], whole[1]


@scripted
def attend_levels(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    channels: Tensor,
    key_scales: Tensor,
    value_scales: Tensor,
    length: int,
    scaling: float,
) -> Tensor:
    """Attention of the last T rows over entries in 8 bits, (1, H, T, D).

    A key is level · channel scale · its own scale, a value level · its own scale.

    Args:
        query: (1, H, T, D); the last T entries are its own.
        key: (heads, S, D) int8, contiguous; H is a multiple of heads.
        value: (heads, D, S) int8, contiguous.
        channels: (heads, 1, D) float32, scales of the keys' channels.
        key_scales: (heads, 1, S) float32; finite in free slots.
        value_scales: as key_scales.
        length: number of entries in the S slots.
        scaling: factor applied to q·k.
    """
    num_heads, num_slots, head_dim = key.shape
    num_rows = query.size(2)
    rows = query.reshape(num_heads, -1, head_dim) * channels  # (heads, group · T, D) float32
    levels, steps = split_levels(rows, 127)
    coarse, fine = _products(key, levels)
    # at most 254 · 127² · D, which 32 bits hold up to D = 524
    scores = torch.add(fine, coarse, alpha=254) * (steps * (scaling / 254))
    scores.mul_(key_scales)
    mask_slots(scores, length, num_rows)
    weights = torch.softmax(scores, -1).mul_(value_scales)
    top = min(127, 16_777_216 // num_slots)  # sums of top · 127 over all slots stay below 2³¹
    levels, steps = split_levels(weights, top)
    coarse, fine = _products(value, levels)
    attended = fine.float().add_(coarse, alpha=2 * top).mul_(steps.div_(2 * top))
    return attended.to(query.dtype).reshape(query.shape)


@scripted
def write_levels(
    key: Tensor,
    value: Tensor,
    keys: Tensor,
    values: Tensor,
    channels: Tensor,
    key_scales: Tensor,
    value_scales: Tensor,
    slot: int,
) -> None:
    """Quantize K and V, (1, heads, T, D), into slots of the operands of `attend_levels`."""
    num_rows = key.size(2)
    numbers = key[0] / channels
    scales = numbers.abs().amax(-1, keepdim=True).clamp_(min=1e-30).div_(127)
    keys.narrow(1, slot, num_rows).copy_(numbers.div_(scales).round_())
    key_scales.narrow(2, slot, num_rows).copy_(scales.transpose(1, 2))
    numbers = value[0].float()
    scales = numbers.abs().amax(-1, keepdim=True).clamp_(min=1e-30).div_(127)
    values.narrow(2, slot, num_rows).copy_((numbers / scales).round_().transpose(1, 2))
    value_scales.narrow(2, slot, num_rows).copy_(scales.transpose(1, 2))
