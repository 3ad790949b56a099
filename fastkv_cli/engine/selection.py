"""Which tokens matter: the scores of FastKV's step 1 and the choice that they lead to.

Pure functions over tensors, no state, no model. B = batch (always 1), H = query heads,
H_kv = key/value heads, W = observation window, T = tokens, D = head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Pooling = Literal["max", "avg"]
Reduction = Literal["sum", "max"]


def attention_weights(query: Tensor, key: Tensor, scaling: float, out_of_sight: Tensor) -> Tensor:
    """Softmax over all T keys, in float32.

    Args:
        query: (B, H, R, D), rotated.
        key: (B, H_kv, T, D), rotated.
        scaling: what q·k is multiplied by, usually 1/√D.
        out_of_sight: (R, c), True where a row must not look, among the last c keys; it sees all
            before them.

    Returns:
        (B, H, R, T), float32.
    """
    logits = query_key_products(query, key).float().mul_(scaling)
    logits[..., logits.shape[-1] - out_of_sight.shape[1] :].masked_fill_(
        out_of_sight, float("-inf")
    )
    return torch.softmax(logits, dim=-1, out=logits)  # in place: there are H · R · T of them


def query_key_products(query: Tensor, key: Tensor) -> Tensor:
    """q·kᵀ of (B, H, R, D) and (B, H_kv, T, D) → (B, H, R, T); keys are not copied per head."""
    batch, num_heads, rows, head_dim = query.shape
    num_kv_heads, num_tokens = key.shape[1], key.shape[2]
    grouped = query.reshape(batch, num_kv_heads, -1, head_dim)  # the group folded into the rows
    return (grouped @ key.transpose(2, 3)).view(batch, num_heads, rows, num_tokens)


def pool_scores(scores: Tensor, kernel_size: int, pooling: Pooling) -> Tensor:
    """Spread each score over its neighbours, so that what is chosen are phrases, not crumbs.

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
    """Add up the scores of the query heads that share a KV head: the GQA-aware part.

    Args:
        scores: (B, H, N).
        num_kv_heads: H_kv, a divisor of H.

    Returns:
        (B, H_kv, N): one choice, and one copy of K and V, per KV head.
    """
    batch, _, num_columns = scores.shape
    return scores.view(batch, num_kv_heads, -1, num_columns).sum(dim=2)


def top_positions(scores: Tensor, count: int, window: int) -> Tensor:
    """The `count − window` highest columns and the window itself, in text order.

    Args:
        scores: (..., N), for the N tokens before the window.
        count: how many positions to return, window counted in; window ≤ count ≤ N + window.
        window: W, always kept.

    Returns:
        (..., count), int64, ascending.
    """
    num_columns = scores.shape[-1]
    best = scores.topk(count - window, dim=-1).indices.sort(dim=-1).values
    recent = torch.arange(num_columns, num_columns + window, device=scores.device)
    return torch.cat((best, recent.expand(*scores.shape[:-1], window)), dim=-1)


def top_positions_per_head(scores: Tensor, counts: Sequence[int], window: int) -> list[Tensor]:
    """As `top_positions`, with a count for each head.

    Args:
        scores: (heads, N).
        counts: as many as heads.
        window: W, always kept.

    Returns:
        Of each head (count,), int64, ascending.
    """
    num_columns = scores.shape[1]
    recent = torch.arange(num_columns, num_columns + window, device=scores.device)
    ranked = scores.sort(dim=-1, descending=True).indices
    return [
        torch.cat((row[: count - window].sort().values, recent))
        for row, count in zip(ranked, counts, strict=True)
    ]


def shared_counts(scores: Tensor, count: int, window: int, floor: float) -> list[int]:
    """Share the budget of a layer's heads among them, by where its highest scores are (AdaKV).

    Args:
        scores: (heads, N).
        count: entries per head on average, window counted in.
        window: W, which every head keeps.
        floor: the share of the average that every head has for certain, in whole entries.

    Returns:
        Entries of each head, window counted in, none more than there are.
    """
    heads, num_columns = scores.shape
    even = count - window
    best = scores.flatten().topk(min(heads * even, scores.numel())).indices // num_columns
    won: list[int] = best.bincount(minlength=heads).tolist()
    shares = [round(number * (1 - floor) + int(floor * even)) for number in won]
    return [min(share, num_columns) + window for share in shares]
