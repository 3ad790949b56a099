"""Token selection: the scores of FastKV's step 1, and the top tokens by those scores.

Pure functions over tensors, no state, no model. B = batch (always 1), H = query heads,
H_kv = key/value heads, W = observation window, T = tokens, D = head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from .kernels.sinks import softmax_beside

Pooling = Literal["max", "avg"]
Reduction = Literal["sum", "max"]


def attention_weights(
    query: Tensor, key: Tensor, scaling: float, masked: Tensor, sinks: Tensor | None = None
) -> Tensor:
    """Softmax over all T keys, in float32.

    Args:
        query: (B, H, R, D), rotated.
        key: (B, H_kv, T, D), rotated.
        scaling: factor applied to q·k, usually 1/√D.
        masked: (R, c), True where a row must not attend to one of the last c keys; every row
            attends to all keys before those.
        sinks: (H,), one more logit for each head; None if the layer has none.

    Returns:
        (B, H, R, T), float32.
    """
    logits = query_key_products(query, key).float().mul_(scaling)
    logits[..., logits.shape[-1] - masked.shape[1] :].masked_fill_(masked, float("-inf"))
    if sinks is not None:
        return softmax_beside(logits, sinks.float().view(-1, 1, 1))
    return torch.softmax(logits, dim=-1, out=logits)  # in place: there are H · R · T of them


def query_key_products(query: Tensor, key: Tensor) -> Tensor:
    """q·kᵀ of (B, H, R, D) and (B, H_kv, T, D) → (B, H, R, T); keys are not copied per head."""
    batch, num_heads, rows, head_dim = query.shape
    num_kv_heads, num_tokens = key.shape[1], key.shape[2]
    grouped = query.reshape(batch, num_kv_heads, -1, head_dim)  # the group folded into the rows
    return (grouped @ key.transpose(2, 3)).view(batch, num_heads, rows, num_tokens)


def pool_scores(scores: Tensor, kernel_size: int, pooling: Pooling) -> Tensor:
    """Pool scores along the text, so that phrases are selected rather than isolated tokens.

    Args:
        scores: (B, H, N).
        kernel_size: odd width of the pool along the text, in tokens; stride 1, zero padding.
        pooling: "max" (FastKV v3 and later) or "avg" (v1 and v2).

    Returns:
        (B, H, N).
    """
    pool = functional.max_pool1d if pooling == "max" else functional.avg_pool1d
    return pool(scores, kernel_size, stride=1, padding=kernel_size // 2)


def group_scores(scores: Tensor, num_kv_heads: int) -> Tensor:
    """Sum the scores of the query heads that share a KV head (GQA).

    Args:
        scores: (B, H, N).
        num_kv_heads: H_kv, a divisor of H.

    Returns:
        (B, H_kv, N): one selection, and one copy of K and V, per KV head.
    """
    batch, _, num_columns = scores.shape
    return scores.view(batch, num_kv_heads, -1, num_columns).sum(dim=2)


def top_positions(scores: Tensor, count: int, window: int) -> Tensor:
    """The `count − window` columns with the highest scores, and the window, in text order.

    Args:
        scores: (..., N), for the N tokens before the window.
        count: number of positions to return, including the window; window ≤ count ≤ N + window.
        window: W, always kept.

    Returns:
        (..., count), int64, ascending.
    """
    num_columns = scores.shape[-1]
    best = scores.topk(count - window, dim=-1).indices.sort(dim=-1).values
    recent = torch.arange(num_columns, num_columns + window, device=scores.device)
    return torch.cat((best, recent.expand(*scores.shape[:-1], window)), dim=-1)


def top_blocks(scores: Tensor, count: int, window: int, block: int) -> Tensor:
    """As `top_positions`, in blocks of neighbouring columns, ranked by their mean score.

    Layers that mix neighbours by a convolution or a recurrence need whole stretches of text; blocks
    by their mean attention are UniPrefill's choice (arXiv 2605.06221).

    Args:
        scores: (N,), for the N tokens before the window.
        count: number of positions to return, including the window; window ≤ count ≤ N + window.
        window: W, always kept.
        block: columns of a block, counted from the first; the last block may be shorter. Of the
            last block that is taken only the first columns are, as many as fit.

    Returns:
        (count,), int64, ascending.
    """
    num_columns = scores.shape[0]
    starts = torch.arange(0, num_columns, block, device=scores.device)
    sums = functional.pad(scores, (0, -num_columns % block)).view(-1, block).sum(dim=1)
    means = sums / (num_columns - starts).clamp(max=block)
    ranks = means.argsort(descending=True, stable=True).argsort()
    ranked = ranks.repeat_interleave(block)[:num_columns].argsort(stable=True)
    best = ranked[: count - window].sort().values
    recent = torch.arange(num_columns, num_columns + window, device=scores.device)
    return torch.cat((best, recent))


def count_of_share(scores: Tensor, share: float, block: int = 1) -> int:
    """The fewest of the highest-scoring columns that together hold a share of all scores (top-p).

    Args:
        scores: (N,), none negative.
        share: above 0 and at most 1.
        block: columns that are counted together, as in `top_blocks`.

    Returns:
        A number of columns in whole blocks, at most N.
    """
    num_columns = scores.shape[0]
    sums = functional.pad(scores.double(), (0, -num_columns % block)).view(-1, block).sum(dim=1)
    held = sums.sort(descending=True).values.cumsum(dim=0)
    num_blocks = int((held < share * held[-1]).sum()) + 1 if num_columns else 0
    return min(num_blocks * block, num_columns)


def top_positions_per_head(scores: Tensor, counts: Sequence[int], window: int) -> list[Tensor]:
    """As `top_positions`, with a count for each head.

    Args:
        scores: (heads, N).
        counts: one for each head.
        window: W, always kept.

    Returns:
        For each head (count,), int64, ascending.
    """
    num_columns = scores.shape[1]
    recent = torch.arange(num_columns, num_columns + window, device=scores.device)
    ranked = scores.sort(dim=-1, descending=True).indices
    return [
        torch.cat((row[: count - window].sort().values, recent))
        for row, count in zip(ranked, counts, strict=True)
    ]


def shared_counts(scores: Tensor, count: int, window: int, floor: float) -> list[int]:
    """Divide a layer's budget among its heads by how many of the highest scores each has (AdaKV).

    Args:
        scores: (heads, N).
        count: average entries per head, including the window.
        window: W, which every head keeps.
        floor: the share of the average that every head is guaranteed, in whole entries.

    Returns:
        Entries of each head, including the window, at most N + W.
    """
    heads, num_columns = scores.shape
    even = count - window
    best = scores.flatten().topk(min(heads * even, scores.numel())).indices // num_columns
    won: list[int] = best.bincount(minlength=heads).tolist()
    shares = [round(number * (1 - floor) + int(floor * even)) for number in won]
    return [min(share, num_columns) + window for share in shares]
