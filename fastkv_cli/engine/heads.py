"""Scoring heads by their attention to a needle in a text (HeadKV, arXiv 2410.19258, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .cache_entries import HeadGroup
from .decode import DecodingLayer, extend
from .generate import Engine
from .kernels.sinks import softmax_beside
from .layers import LayerRunner
from .methods import Full
from .prefill import prefill
from .selection import query_key_products


@torch.inference_mode()
def needle_attention(
    engine: Engine, prompt_ids: Sequence[int], needle: slice, max_tokens: int
) -> tuple[Tensor, list[int]]:
    """Answer a prompt with the full cache, and score each head's attention to the needle.

    At every answer token a head scores the attention weights of those of its top-m keys that lie in
    the needle, summed and divided by m, where m is the needle's length.

    Args:
        engine: the loaded model.
        prompt_ids: a prompt that contains a needle.
        needle: the needle's rows.
        max_tokens: the most tokens of the answer.

    Returns:
        The scores, (L, H) float32, averaged over the answer's tokens; and the answer.
    """
    decoder = engine.decoder
    ids = torch.tensor(prompt_ids, device=decoder.device)
    full = Full()
    plan = full.plan(decoder.shape(ids.shape[0]))
    prefilled = prefill(
        *(decoder, ids, full, LayerRunner(engine.kernel), plan),
        room=max_tokens,
        kv_dtype=engine.kv_dtype,
    )
    size = needle.stop - needle.start
    scores = torch.zeros(decoder.num_layers, decoder.attention_layers[0].num_heads)

    def add_scores(layer: DecodingLayer, query: Tensor, groups: list[HeadGroup]) -> None:
        (group,) = groups  # with the full cache all heads keep equally many entries
        keys = group.keys
        products = query_key_products(query.to(keys.dtype), keys).float() * layer.scaling
        if layer.sinks is None:
            weights = products[0, :, 0].softmax(dim=-1)
        else:
            weights = softmax_beside(products[0, :, 0], layer.sinks.float().unsqueeze(1))
        top = weights.topk(size, dim=-1)
        inside = (top.indices >= needle.start) & (top.indices < needle.stop)
        scores[layer.index] += ((top.values * inside).sum(dim=-1) / size).cpu()

    answer = [int(prefilled.logits.argmax())]
    while answer[-1] not in engine.loaded.eos_ids and len(answer) < max_tokens:
        logits = extend(decoder, prefilled.cache, answer[-1:], add_scores)
        answer.append(int(logits[-1].argmax()))
    return scores / max(len(answer) - 1, 1), answer
