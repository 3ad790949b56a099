"""Which tokens matter: the scores of FastKV's step 1 and the choice that they lead to.

Pure functions over tensors, no state, no model. B = batch (always 1), H = query heads,
H_kv = key/value heads, W = observation window, T = tokens, D = head size.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Pooling = Literal["max", "avg"]


def window_scores(query: Tensor, key: Tensor, scaling: float) -> Tensor:
    """How much attention the observation window pays to each earlier token.

    Softmax over all T keys in float32, causal inside the window's own W × W corner, summed over
    the W query rows; the last W columns are left out (SnapKV; FastKV, section 4.1).

    Args:
        query: (B, H, W, D), the rotated queries of the last W tokens.
        key: (B, H_kv, T, D), the rotated keys of all tokens.
        scaling: what q·k is multiplied by, usually 1/√D.

    Returns:
        (B, H, T − W), float32.
    """
    batch, num_heads, window, head_dim = query.shape
    num_kv_heads, num_tokens = key.shape[1], key.shape[2]
    grouped = query.reshape(batch, num_kv_heads, -1, head_dim)  # the group folded into the rows
    logits = (grouped @ key.transpose(2, 3)).float() * scaling
    logits = logits.view(batch, num_heads, window, num_tokens)
    ahead = torch.ones(window, window, dtype=torch.bool, device=key.device).triu(1)
    logits[..., -window:].masked_fill_(ahead, float("-inf"))
    return logits.softmax(dim=-1)[..., : num_tokens - window].sum(dim=2)


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
