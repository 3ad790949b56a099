"""The orders of rows in which llama.cpp and transformers store the same matrices."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Order = npt.NDArray[np.int64]


@cache
def halves(num_heads: int, head_dim: int) -> Order:
    """Rows of Q or K in transformers' order, by llama.cpp's.

    llama.cpp rotates the neighbours 2i and 2i + 1 of a head, transformers i and i + D/2, so the
    file holds each head's rows as 0, D/2, 1, D/2 + 1, ….

    Returns:
        (H · D,): row r of the parameter is row order[r] of the file.
    """
    rows = np.arange(num_heads * head_dim).reshape(num_heads, head_dim // 2, 2)
    return _frozen(rows.swapaxes(1, 2).reshape(-1))


@cache
def value_heads(num_key_heads: int, num_value_heads: int, head_dim: int, offset: int) -> Order:
    """Rows of the value heads in transformers' order, by llama.cpp's (Qwen3.5).

    Value head r of key head k is head k · R + r in transformers, and r · H_k + k in the file. The
    first `offset` rows, of Q and K, are the same in both.

    Returns:
        (offset + H_v · D,): row r of the parameter is row order[r] of the file.
    """
    repeats = num_value_heads // num_key_heads
    rows = np.arange(num_value_heads * head_dim).reshape(repeats, num_key_heads, head_dim)
    moved = rows.swapaxes(0, 1).reshape(-1)
    return _frozen(np.concatenate([np.arange(offset), offset + moved]))


@cache
def qkvz_rows(
    num_key_heads: int, num_value_heads: int, key_dim: int, value_dim: int
) -> tuple[Order, Order]:
    """Rows of Qwen3-Next's QKVZ matrix that the file's QKV and Z tensors hold.

    transformers has Q, K, V and Z of one key head together; the file has all of Q, then of K and V,
    and Z apart.

    Returns:
        (2 · H_k · D_k + H_v · D_v,) and (H_v · D_v,): the parameter's rows, in the file's order.
    """
    values = num_value_heads // num_key_heads * value_dim
    sizes = (key_dim, key_dim, values, values)
    heads = np.arange(num_key_heads * sum(sizes)).reshape(num_key_heads, sum(sizes))
    query, key, value, gate = np.split(heads, np.cumsum(sizes)[:-1], axis=1)
    return (
        _frozen(np.concatenate([each.reshape(-1) for each in (query, key, value)])),
        _frozen(gate.reshape(-1)),
    )


def _frozen(order: Order) -> Order:
    order.flags.writeable = False  # one array for all layers
    return order
