"""Decoding's attention: the newest rows of a text over what a cache holds of it."""

from __future__ import annotations

import torch
from torch import Tensor

from .attention import attend_folded


def attend_cached(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, hidden: Tensor | None = None
) -> Tensor:
    """Attention of the newest T rows over all S keys of a cache, as in decoding, (1, H, T, D).

    The last T keys are the rows' own, so among those each row sees only up to itself.

    Args:
        query: (1, H, T, D).
        key: (1, heads, S, D); H is a multiple of heads.
        value: as key.
        scaling: what q·k is multiplied by.
        hidden: (heads, T, S), True where a key is out of a row's sight.
    """
    num_rows, num_keys = query.shape[2], key.shape[2]
    seen = None
    if hidden is not None or num_rows > 1:
        seen = torch.ones(num_rows, num_keys, dtype=torch.bool, device=key.device)
        seen = seen.tril(num_keys - num_rows)
        if hidden is not None:
            seen = seen & ~hidden
    return attend_folded(query, key, value, seen, scaling)


def attend_room(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, unseen: Tensor
) -> Tensor:
    """As `attend_cached` for one row, over entries that are hidden by what a tensor says.

    Args:
        query: (1, H, 1, D).
        key: (1, heads, S, D); H is a multiple of heads.
        value: as key; it has to be finite where nothing is to be seen as well.
        scaling: what q·k is multiplied by.
        unseen: (heads | 1, S), True where the row must not look.

    Returns:
        (1, H, 1, D).
    """
    rows = query.reshape(key.shape[1], -1, key.shape[3])
    scores = _product(rows, key[0].transpose(1, 2)).mul_(scaling)
    scores.masked_fill_(unseen.unsqueeze(1), float("-inf"))
    weights = torch.softmax(scores, dim=-1).to(value.dtype)
    return _product(weights, value[0]).to(query.dtype).view(query.shape)


def attend_written(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, bounds: Tensor
) -> Tensor:
    """As `attend_room`, over as many entries as a tensor says: half the time, in 16 bits on CUDA.

    Args:
        query: (1, H, 1, D).
        key: (1, heads, S, D); H is a multiple of heads.
        value: as key.
        scaling: what q·k is multiplied by.
        bounds: (2, 2) int32, 0 and 1, and 0 and the number of entries to look at.

    Returns:
        (1, H, 1, D).
    """
    # torch.nn.attention.varlen calls the same, but its arguments changed from 2.11 to 2.13
    attended: Tensor = torch.ops.aten._flash_attention_forward(
        *(each[0].transpose(0, 1) for each in (query, key, value)),
        *(bounds[0], bounds[1], 1, key.shape[2], 0.0, False, False),
        scale=scaling,
    )[0]
    return attended.view(query.shape)


def has_flash(query_like: Tensor) -> bool:
    """Whether torch's FlashAttention takes tensors of this kind, (…, D)."""
    if query_like.device.type != "cuda" or query_like.dtype is torch.float32:
        return False
    head_dim = query_like.shape[-1]
    capability = torch.cuda.get_device_capability(query_like.device)
    return capability >= (8, 0) and head_dim % 8 == 0 and head_dim <= 256


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Of batches of matrices, in float32."""
    if left.device.type == "cuda" and left.dtype is not torch.float32:
        return torch.bmm(left, right, out_dtype=torch.float32)
    return torch.bmm(left.float(), right.float())
