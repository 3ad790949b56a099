"""Causal attention of some rows of a text over all of it, in the fastest available kernel.

Every function takes query (1, H, T, D) and key and value (1, H_kv, S, D) and returns (1, H, T, D);
K and V are never copied per query head.

The CPU's matrix library compiles and caches a kernel for every matrix size that it meets: 2 to
5 MiB for each prompt length. So sizes are rounded up to multiples of GRAIN, which many prompt
lengths share.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from .row_blocks import round_up, rows_per_block
from .sinks import attend_beside


class Kernel(StrEnum):
    """The implementation of attention.

    BLOCKED multiplies, masks and multiplies again over blocks of query rows, the group folded into
    the rows: the fastest on CPUs with 16-bit matrix units, and as fast as torch's in float32; it
    may be block-sparse. SDPA is torch's; FLASH is the flash-attn package's, on CUDA.
    """

    BLOCKED = "blocked"
    SDPA = "sdpa"
    FLASH = "flash"


# From this length on, prefill of a whole text is worth cuDNN's planning: on Hopper its kernel is
# twice as fast as torch's.
_CUDNN_FROM = 16_384


@dataclass(frozen=True, slots=True)
class Causality:
    """The keys that a query attends to: those at or before it, and inside its sliding window.

    Attributes:
        positions: (S,), position of each key in the text, ascending.
        rows: (T,), each query's row among the keys; None when they are the last T rows.
        sliding_window: tokens that a query attends to, including itself; None means all.
    """

    positions: Tensor
    rows: Tensor | None = None
    sliding_window: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether this is ordinary causal attention, aligned at the last row."""
        window = self.sliding_window
        if self.rows is not None and int(self.rows[0]) != len(self.positions) - len(self.rows):
            return False
        return window is None or int(self.positions[-1] - self.positions[0]) < window


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    causality: Causality,
    scaling: float,
    kernel: Kernel,
    sinks: Tensor | None = None,
) -> Tensor:
    """Causal attention of T rows over the S keys that have a position, (1, H, T, D).

    K and V may be longer than S: the rest gets no weight, but must be finite. With `sinks` (H,),
    each head has one more logit, and the kernel is that of `attend_beside`.
    """
    if kernel is Kernel.BLOCKED or sinks is not None:
        return _attend_in_blocks(query, key, value, causality, scaling, kernel, sinks)
    num_keys = causality.positions.shape[0]
    key, value = key[:, :, :num_keys], value[:, :, :num_keys]
    if not causality.is_plain:
        return _attend_in_blocks(query, key, value, causality, scaling, kernel)
    if kernel is Kernel.FLASH:
        return _attend_flash(query, key, value, scaling)
    if query.shape[2] == key.shape[2]:
        long = query.shape[2] >= _CUDNN_FROM
        with nullcontext() if long else _without_cudnn(query):
            return functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=scaling, enable_gqa=True
            )
    if query.device.type != "cuda":
        return _attend_in_blocks(query, key, value, causality, scaling, kernel)
    from torch.nn.attention.bias import causal_lower_right  # imports torch's compiler: 0.6 s

    # a tensor as mask would rule out CUDA's fast kernels
    bias = causal_lower_right(query.shape[2], key.shape[2])
    with _without_cudnn(query):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, scale=scaling, enable_gqa=True
        )


def _without_cudnn(query: Tensor) -> AbstractContextManager[None]:
    """Exclude cuDNN's attention, which plans anew for every size.

    A plan takes as long as hundreds of small matrix products, and every decoded token has a new
    size.
    """
    if query.device.type != "cuda":
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    others = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    context: AbstractContextManager[None] = sdpa_kernel(others)
    return context


def attend_folded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: Tensor | None,
    scaling: float,
    sinks: Tensor | None = None,
) -> Tensor:
    """Torch's SDPA with the queries of a group folded into rows of their KV head.

    This is faster than torch's own grouped heads; and with a mask, CUDA's fast kernels require
    equal head counts. `visible` is (T, S) or (H_kv, T, S), True where a row attends; None means
    everywhere. Torch has no sinks: with them, `attend_beside` takes over.
    """
    if sinks is not None:
        return attend_beside(query, key, value, visible, scaling, sinks)
    folded = query.reshape(1, key.shape[1], -1, query.shape[3])
    if visible is not None:  # the same for every head of a group
        visible = torch.cat([visible] * (folded.shape[2] // query.shape[2]), dim=-2)
    with _without_cudnn(query):
        attended = functional.scaled_dot_product_attention(
            folded, key, value, attn_mask=visible, scale=scaling
        )
    return attended.reshape(query.shape)


def _attend_in_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    causality: Causality,
    scaling: float,
    kernel: Kernel,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention in blocks of query rows, each over only the keys that it attends to."""
    num_queries, num_keys = query.shape[2], causality.positions.shape[0]
    rows = causality.rows
    if rows is None:
        rows = torch.arange(num_keys - num_queries, num_keys, device=query.device)
    group = query.shape[1] // key.shape[1]
    block_rows = rows_per_block(num_queries, num_keys, group, query.device.type)
    one_block = partial(_attend_block_sdpa, sinks=sinks)
    is_padded = kernel is Kernel.BLOCKED or sinks is not None
    if kernel is Kernel.BLOCKED and sinks is None:
        scratch = query.new_empty(group * block_rows * key.shape[2])
        one_block = partial(_attend_block, scratch=scratch)
    # a token's heads contiguous in memory, as the output projection needs them
    attended = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    attended = attended.transpose(1, 2)
    row_list = rows.tolist()  # copied from a GPU in one transfer: each access would synchronize
    for start in range(0, num_queries, block_rows):
        block = rows[start : start + block_rows]
        first, last = row_list[start], row_list[start + len(block) - 1]
        low, high = _first_visible(first, causality), last + 1
        if is_padded:
            high = min(low + round_up(high - low), key.shape[2])
        attended[:, :, start : start + block_rows] = one_block(
            query[:, :, start : start + block_rows],
            key[:, :, low:high],
            value[:, :, low:high],
            _mask(block, first, low, high, causality),
            scaling,
        )
    return attended


def _first_visible(row: int, causality: Causality) -> int:
    """The first key that a row attends to."""
    if causality.sliding_window is None:
        return 0
    oldest = causality.positions[row] - causality.sliding_window + 1
    return int(torch.searchsorted(causality.positions, oldest))


def _mask(block: Tensor, first_row: int, low: int, high: int, causality: Causality) -> Tensor:
    """True where a row must not attend, (rows, c), for the last c of the keys [low, high).

    Without a sliding window every row attends to all keys before the block's first row, and c
    counts only the keys from there on.
    """
    first = low if causality.sliding_window is not None else first_row
    columns = torch.arange(first, high, device=block.device)
    masked = columns > block.unsqueeze(1)
    if causality.sliding_window is not None:
        last_outside = causality.positions[block].unsqueeze(1) - causality.sliding_window
        outside = causality.positions[first:high] <= last_outside
        masked[:, : outside.shape[1]] |= outside
    return masked


def _attend_block(
    query: Tensor, key: Tensor, value: Tensor, masked: Tensor, scaling: float, *, scratch: Tensor
) -> Tensor:
    """One KV head at a time, its group folded into the rows, all scores in the same buffer."""
    _, num_heads, rows, head_dim = query.shape
    num_kv_heads, num_keys = key.shape[1], key.shape[2]
    folded = (query * scaling).reshape(num_kv_heads, -1, head_dim)
    attended = torch.empty_like(folded)
    scores = scratch[: folded.shape[1] * num_keys].view(-1, num_keys)
    masked_scores = scores.view(-1, rows, num_keys)[..., num_keys - masked.shape[1] :]
    # made once and added for every head: filling each head's scores took twice as long in total
    bias = torch.zeros(masked.shape, dtype=scores.dtype).masked_fill_(masked, float("-inf"))
    for head in range(num_kv_heads):
        torch.mm(folded[head], key[0, head].t(), out=scores)
        masked_scores += bias
        # softmax accumulates in float32 for any dtype; keeping the dtype saves a pass over scores
        torch.softmax(scores, dim=-1, out=scores)
        torch.mm(scores, value[0, head], out=attended[head])
    return attended.view(1, num_heads, rows, head_dim)


def _attend_block_sdpa(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masked: Tensor,
    scaling: float,
    *,
    sinks: Tensor | None,
) -> Tensor:
    visible = torch.ones(masked.shape[0], key.shape[2], dtype=torch.bool, device=key.device)
    visible[:, key.shape[2] - masked.shape[1] :] = ~masked
    return attend_folded(query, key, value, visible, scaling, sinks)


def _attend_flash(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    from flash_attn import flash_attn_func  # aligned at the last row since version 2.1

    attended: Tensor = flash_attn_func(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        softmax_scale=scaling,
        causal=True,
    )
    return attended.transpose(1, 2)
