"""Attention for decoding: the last rows of a text over the cache's entries."""

from __future__ import annotations

import torch
from torch import Tensor

from .attention import attend_folded
from .sinks import softmax_beside

# Numbers of the keys from which on `attend_slots` is faster in bfloat16.
_LEAST_NUMBERS = 3 * 2048 * 64


def attend_cached(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    masked: Tensor | None = None,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention of the last T rows over all S keys of a cache, (1, H, T, D).

    The last T keys are the rows' own; among those each row attends only up to itself.

    Args:
        query: (1, H, T, D).
        key: (1, heads, S, D); H is a multiple of heads.
        value: as key.
        scaling: factor applied to q·k.
        masked: (heads, T, S), True where a row must not attend to a key.
        sinks: (H,), one more logit for each head; None if the layer has none.
    """
    num_rows, num_keys = query.shape[2], key.shape[2]
    visible = None
    if masked is not None or num_rows > 1:
        visible = torch.ones(num_rows, num_keys, dtype=torch.bool, device=key.device)
        visible = visible.tril(num_keys - num_rows)
        if masked is not None:
            visible = visible & ~masked
    attended = attend_folded(query.to(key.dtype), key, value, visible, scaling, sinks)
    return attended.to(query.dtype)


def attend_slots(query: Tensor, key: Tensor, value: Tensor, length: int, scaling: float) -> Tensor:
    """As `attend_cached`, over all allocated slots, of which the first `length` hold entries.

    Two products for all heads at once. On the CPU they need operands that are contiguous, which a
    part of an allocation is not: `slots_by_channel` tells where keys are stored for them.

    Args:
        query: (1, H, T, D).
        key: (1, heads, S, D), stored as (heads, D, S); H is a multiple of heads.
        value: (1, heads, S, D), contiguous; must be finite in free slots, too.
        length: number of entries; the last T are the queries' own.
        scaling: factor applied to q·k.
    """
    rows = query.reshape(key.size(1), -1, key.size(3)) * scaling  # (heads, group · T, D)
    scores = torch.bmm(rows.to(key.dtype), key[0].transpose(1, 2))
    mask_slots(scores, length, query.size(2))
    # softmax accumulates in float32 for any dtype; keeping the dtype saves a pass over scores
    attended = torch.bmm(torch.softmax(scores, -1), value[0])
    return attended.to(query.dtype).view(query.shape)


def mask_slots(scores: Tensor, length: int, num_rows: int) -> None:
    """Mask the scores of free slots, and those of the last T rows for entries after each row's own.

    Args:
        scores: (heads, group · T, S), overwritten by −∞ there.
        length: number of entries; the last T are the rows' own.
        num_rows: T.
    """
    num_heads, num_slots = scores.size(0), scores.size(2)
    if length < num_slots:
        scores.narrow(2, length, num_slots - length).fill_(-float("inf"))
    if num_rows > 1:
        own = scores.narrow(2, length - num_rows, num_rows)
        later = torch.ones(num_rows, num_rows, dtype=torch.bool, device=scores.device).triu(1)
        own.view(num_heads, -1, num_rows, num_rows).masked_fill_(later, -float("inf"))


def slots_by_channel(like: Tensor, num_heads: int, count: int) -> bool:
    """Whether `attend_slots` is the faster attention over a cache's entries on this machine.

    In bfloat16 its two products are set up for 20 to 40 µs each: over 2,000 entries of 3 heads that
    is repaid, over 200 torch's attention takes half the time. They also need instructions for
    bfloat16; without them a product takes seconds.

    Args:
        like: (…, D), of the entries' device and dtype.
        num_heads: KV heads of the group.
        count: entries of each.
    """
    if like.device.type != "cpu":
        return False
    if like.dtype is torch.bfloat16:
        is_long = num_heads * count * like.shape[-1] >= _LEAST_NUMBERS
        has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        return is_long and has_onednn and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return like.dtype is torch.float32


def attend_allocated(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float,
    masked: Tensor,
    sinks: Tensor | None = None,
) -> Tensor:
    """As `attend_cached` for one row, over all allocated slots, of which a tensor masks some.

    Args:
        query: (1, H, 1, D).
        key: (1, heads, S, D); H is a multiple of heads.
        value: as key; must be finite in masked slots, too.
        scaling: factor applied to q·k.
        masked: (heads | 1, S), True where the row must not attend.
        sinks: (H,), one more logit for each head; None if the layer has none.

    Returns:
        (1, H, 1, D).
    """
    rows = query.reshape(key.shape[1], -1, key.shape[3])
    scores = _product(rows, key[0].transpose(1, 2)).mul_(scaling)
    scores.masked_fill_(masked.unsqueeze(1), float("-inf"))
    if sinks is None:
        weights = torch.softmax(scores, dim=-1)
    else:
        weights = softmax_beside(scores, sinks.float().view(key.shape[1], -1, 1))
    return _product(weights.to(value.dtype), value[0]).to(query.dtype).view(query.shape)


def attend_written(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, bounds: Tensor
) -> Tensor:
    """As `attend_allocated`, over the written entries only: half the time, in 16 bits on CUDA.

    Args:
        query: (1, H, 1, D).
        key: (1, heads, S, D); H is a multiple of heads.
        value: as key.
        scaling: factor applied to q·k.
        bounds: (2, 2) int32: 0 and 1, then 0 and the number of written entries.

    Returns:
        (1, H, 1, D).
    """
    # torch.nn.attention.varlen calls the same operator, but its arguments changed from 2.11 to 2.13
    attended: Tensor = torch.ops.aten._flash_attention_forward(
        *(each[0].transpose(0, 1) for each in (query, key, value)),
        *(bounds[0], bounds[1], 1, key.shape[2], 0.0, False, False),
        scale=scaling,
    )[0]
    return attended.view(query.shape)


def has_flash(query_like: Tensor) -> bool:
    """Whether torch's FlashAttention supports the device, dtype and D of a tensor (…, D)."""
    if query_like.device.type != "cuda" or query_like.dtype is torch.float32:
        return False
    head_dim = query_like.shape[-1]
    capability = torch.cuda.get_device_capability(query_like.device)
    return capability >= (8, 0) and head_dim % 8 == 0 and head_dim <= 256


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Batched matrix product in float32."""
    if left.device.type == "cuda" and left.dtype is not torch.float32:
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left.float(), right.float())
