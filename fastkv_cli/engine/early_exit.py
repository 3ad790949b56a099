"""The result of a task that ends at the TSP layer: scores, and no generated tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ..stats import GenerationStats, KVStats, LayerStats, combine_kv
from .generation import Generation
from .measure import peak_memory_bytes

if TYPE_CHECKING:
    from .methods import Method
    from .model.decoder import Decoder


def scoring_stats(decoder: Decoder, method: Method, prompt_tokens: Sequence[int]) -> KVStats:
    """The KV statistics of prompts that were only scored: their caches were not kept.

    Args:
        decoder: the model.
        method: that scored them.
        prompt_tokens: of each prompt, 1 or more; there is at least one prompt.
    """
    return combine_kv([_prompt_stats(decoder, method, number) for number in prompt_tokens])


def quoted_generation(
    decoder: Decoder, text: str, seconds: float, num_tokens: int, kv: KVStats
) -> Generation:
    """An answer that is quoted from the text: nothing was generated.

    Args:
        decoder: the model.
        text: the answer.
        seconds: from the start of the first prefill until the answer was there.
        num_tokens: of the prompts.
        kv: their statistics.
    """
    return Generation(
        token_ids=[],
        text=text,
        cache_lengths=[],
        first_logits=torch.empty(0),
        token_scores=None,
        finish_reason="stop",
        stats=GenerationStats(
            prefill_s=seconds,
            ttft_s=seconds,
            decode_s=None,
            prompt_tokens=num_tokens,
            output_tokens=0,
            peak_memory_bytes=peak_memory_bytes(decoder.device),
        ),
        kv=kv,
    )


def _prompt_stats(decoder: Decoder, method: Method, num_tokens: int) -> KVStats:
    plan = method.plan(decoder.shape(num_tokens))
    last = decoder.num_layers - 1 if plan.tsp is None else plan.tsp.layer
    flops = sum(layer.flops(num_tokens, None) for layer in decoder.layers[:last])
    flops += decoder.layers[last].flops(num_tokens, torch.empty(0, dtype=torch.long))
    return KVStats(
        method=method.name,
        budget=method.budget,
        tsp_layer=last,
        tsp_rate=0.0,
        full_bytes=decoder.kv_bytes(num_tokens),
        kept_bytes=0,
        full_flops=decoder.prefill_flops(num_tokens),
        prefill_flops=flops,
        layers=tuple(
            LayerStats(num_tokens if layer.index <= last else 0, 0) for layer in decoder.layers
        ),
        note=f"scored up to layer {last}, nothing kept",
        global_layers=decoder.num_global_layers,
    )
