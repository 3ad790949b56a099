"""Causal attention of some rows of a text over all of it, in the kernel that is fastest here.

Every function takes query (1, H, T, D) and key and value (1, H_kv, S, D) and gives (1, H, T, D);
K and V are never copied per query head.

A CPU's library compiles a kernel for every size of product that it meets, and keeps it: 2 to 5 MiB
for each length of a prompt. So sizes are rounded up to multiples of GRAIN, and lengths share them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional


class Kernel(StrEnum):
    """How attention is computed.

    BLOCKED multiplies, masks and multiplies again over blocks of query rows, the group folded into
    the rows: on CPUs with 16-bit matrix units it is the fastest. SDPA is torch's own; FLASH is the
    flash-attn package's, on CUDA.
    """

    BLOCKED = "blocked"
    SDPA = "sdpa"
    FLASH = "flash"


# Query rows a block, and scores a block and KV head. On a CPU they stay in the cache and in one
# buffer (measured: docs/decisions.md); elsewhere only memory sets a bound.
_CPU_BLOCK = (256, 2**23)
_BLOCK = (1024, 2**27)
GRAIN = 64
# A whole text this long is worth a plan of cuDNN's: on Hopper it is twice as fast as torch's own.
_CUDNN_FROM = 16_384


@dataclass(frozen=True, slots=True)
class Causality:
    """Which keys a query may see: those at or before it, and inside its sliding window if any.

    Attributes:
        positions: (S,), where each key stands in the text, ascending.
        rows: (T,), the key row at which each query stands; None when they are the last T rows.
        sliding_window: tokens that a query sees, itself counted in; None is all.
    """

    positions: Tensor
    rows: Tensor | None = None
    sliding_window: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether this is ordinary causal attention, aligned at the last row."""
        reach = self.sliding_window
        if self.rows is not None and int(self.rows[0]) != len(self.positions) - len(self.rows):
            return False
        return reach is None or int(self.positions[-1] - self.positions[0]) < reach


def round_up(count: int) -> int:
    """The next multiple of GRAIN."""
    return -(-count // GRAIN) * GRAIN


def attend(
    query: Tensor, key: Tensor, value: Tensor, causality: Causality, scaling: float, kernel: Kernel
) -> Tensor:
    """Causal attention of T rows over the S keys that have a position, (1, H, T, D).

    K and V may be longer: what lies behind is never looked at, but it has to be finite.
    """
    if kernel is Kernel.BLOCKED:
        return _attend_in_blocks(query, key, value, causality, scaling, kernel)
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

    bias = causal_lower_right(query.shape[2], key.shape[2])  # on CUDA a mask would cost the kernel
    with _without_cudnn(query):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, scale=scaling, enable_gqa=True
        )


def _without_cudnn(query: Tensor) -> AbstractContextManager[None]:
    """Keep torch from the attention of cuDNN, which plans every size that it meets anew.

    A plan takes as long as hundreds of small products, and every token that is decoded makes a new
    size.
    """
    if query.device.type != "cuda":
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    others = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    context: AbstractContextManager[None] = sdpa_kernel(others)
    return context


def attend_folded(
    query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, scaling: float
) -> Tensor:
    """Torch's SDPA, the queries of a group as rows of their KV head.

    That is faster than asking torch to match the heads; and with a mask, CUDA's fast kernels take
    only equal head counts. `seen` is (T, S) or (H_kv, T, S), True where a row looks; None is all.
    """
    folded = query.reshape(1, key.shape[1], -1, query.shape[3])
    if seen is not None:  # the same for every head of a group
        seen = torch.cat([seen] * (folded.shape[2] // query.shape[2]), dim=-2)
    with _without_cudnn(query):
        attended = functional.scaled_dot_product_attention(
            folded, key, value, attn_mask=seen, scale=scaling
        )
    return attended.reshape(query.shape)


def _attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, causality: Causality, scaling: float, kernel: Kernel
) -> Tensor:
    """Blocks of query rows, each over just the keys that it can see."""
    num_queries, num_keys = query.shape[2], causality.positions.shape[0]
    rows = causality.rows
    if rows is None:
        rows = torch.arange(num_keys - num_queries, num_keys, device=query.device)
    group = query.shape[1] // key.shape[1]
    block_rows = rows_of_a_block(num_queries, num_keys, group, query.device.type)
    one_block = _attend_block_sdpa
    if kernel is Kernel.BLOCKED:
        scratch = query.new_empty(group * block_rows * key.shape[2])
        one_block = partial(_attend_block, scratch=scratch)
    # a token's heads side by side, as the output projection wants them
    attended = torch.empty_like(query.transpose(1, 2), memory_format=torch.contiguous_format)
    attended = attended.transpose(1, 2)
    stands_at = rows.tolist()  # of a GPU all at once: each look makes it wait
    for start in range(0, num_queries, block_rows):
        block = rows[start : start + block_rows]
        first, last = stands_at[start], stands_at[start + len(block) - 1]
        low, high = _first_visible(first, causality), last + 1
        if kernel is Kernel.BLOCKED:
            high = min(low + round_up(high - low), key.shape[2])
        attended[:, :, start : start + block_rows] = one_block(
            query[:, :, start : start + block_rows],
            key[:, :, low:high],
            value[:, :, low:high],
            _out_of_sight(block, first, low, high, causality),
            scaling,
        )
    return attended


def rows_of_a_block(num_queries: int, num_keys: int, group: int, device_type: str) -> int:
    """Query rows whose scores are held at once; `group` query heads share a KV head."""
    most_rows, most_scores = _CPU_BLOCK if device_type == "cpu" else _BLOCK
    fitting = min(most_rows, most_scores // (group * num_keys))
    return max(1, min(num_queries, fitting // GRAIN * GRAIN or fitting))


def _first_visible(row: int, causality: Causality) -> int:
    """The first key that a row sees."""
    if causality.sliding_window is None:
        return 0
    oldest = causality.positions[row] - causality.sliding_window + 1
    return int(torch.searchsorted(causality.positions, oldest))


def _out_of_sight(
    block: Tensor, first_row: int, low: int, high: int, causality: Causality
) -> Tensor:
    """True where a row must not look, (rows, c), for the last c of the keys [low, high).

    Without a sliding window the keys up to the block's first row are seen by every row, and c
    counts only those behind it.
    """
    first = low if causality.sliding_window is not None else first_row
    columns = torch.arange(first, high, device=block.device)
    masked = columns > block.unsqueeze(1)
    if causality.sliding_window is not None:
        reach = causality.positions[block].unsqueeze(1) - causality.sliding_window
        left_behind = causality.positions[first:high] <= reach
        masked[:, : left_behind.shape[1]] |= left_behind
    return masked


def _attend_block(
    query: Tensor, key: Tensor, value: Tensor, masked: Tensor, scaling: float, *, scratch: Tensor
) -> Tensor:
    """KV head after KV head, its group folded into the rows, the scores always in one buffer."""
    _, num_heads, rows, head_dim = query.shape
    num_kv_heads, num_keys = key.shape[1], key.shape[2]
    folded = (query * scaling).reshape(num_kv_heads, -1, head_dim)
    attended = torch.empty_like(folded)
    scores = scratch[: folded.shape[1] * num_keys].view(-1, num_keys)
    behind = scores.view(-1, rows, num_keys)[..., num_keys - masked.shape[1] :]
    # filled once and added for every head: filling each head's scores took twice as long in all
    hide = torch.zeros(masked.shape, dtype=scores.dtype).masked_fill_(masked, float("-inf"))
    for head in range(num_kv_heads):
        torch.mm(folded[head], key[0, head].t(), out=scores)
        behind += hide
        # softmax adds up in float32 whatever its input; keeping the type saves a pass over them
        torch.softmax(scores, dim=-1, out=scores)
        torch.mm(scores, value[0, head], out=attended[head])
    return attended.view(1, num_heads, rows, head_dim)


def _attend_block_sdpa(
    query: Tensor, key: Tensor, value: Tensor, masked: Tensor, scaling: float
) -> Tensor:
    seen = torch.ones(masked.shape[0], key.shape[2], dtype=torch.bool, device=key.device)
    seen[:, key.shape[2] - masked.shape[1] :] = ~masked
    return attend_folded(query, key, value, seen, scaling)


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
