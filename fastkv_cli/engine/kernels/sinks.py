"""Attention with learned sinks: one more logit per head, of a key whose value is zero."""

from __future__ import annotations

import torch
from torch import Tensor


def softmax_beside(logits: Tensor, sinks: Tensor) -> Tensor:
    """Softmax over the last dimension beside one more logit, in place.

    Args:
        logits: (…, rows, S), -inf where a row must not attend.
        sinks: (…, rows | 1, 1), the further logit, which takes its share of the weight.

    Returns:
        (…, rows, S), whose rows sum to less than 1.
    """
    total = torch.logaddexp(logits.logsumexp(dim=-1, keepdim=True), sinks)
    return logits.sub_(total).exp_()


def attend_beside(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, scaling: float, sinks: Tensor
) -> Tensor:
    """As `attend_folded`, with a sink for each query head, (H,); the softmax is in float32."""
    num_kv_heads, head_dim = key.shape[1], query.shape[3]
    folded = query.reshape(num_kv_heads, -1, head_dim)
    logits = (folded @ key[0].transpose(1, 2)).float().mul_(scaling)
    grouped = logits.view(num_kv_heads, -1, query.shape[2], key.shape[2])  # (H_kv, group, T, S)
    if visible is not None:
        hidden = ~visible.unsqueeze(-3)  # the same for every head of a group
        grouped.masked_fill_(hidden, float("-inf"))
    softmax_beside(grouped, sinks.float().view(num_kv_heads, -1, 1, 1))
    return (logits.to(value.dtype) @ value[0]).view(query.shape)
