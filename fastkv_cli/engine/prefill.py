"""Prefill with Token-Selective Propagation (FastKV, arXiv 2502.01068, sections 3 and 4).

Early layers read every token. At the TSP layer ℓ* the tokens that matter are chosen, and only they
go deeper, with their original positions. Every layer keeps only the K and V that matter, as soon
as it is done, so at no time is more than one layer's full K and V in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .cache import CompressedCache
from .families import Decoder, DecoderLayer
from .layers import LayerRunner, Read, Stream
from .methods import Method, Observation, Plan

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class PrefillResult:
    """What prefill leaves behind.

    Attributes:
        cache: the kept keys and values, ready for decoding.
        hidden: (hidden,), the last position behind the last layer, as the LM head sees it.
        logits: (vocabulary,) float32, of the first new token.
        plan: the budgets that the method set for this prompt.
        token_scores: (n − W,) float32, the TSP layer's, added over heads; None without one.
        tokens_seen: per layer, how many tokens it read.
        kept_bytes: bytes of the cache as prefill left it.
        flops: floating-point operations of the layers, without scoring.
    """

    cache: CompressedCache
    hidden: Tensor
    logits: Tensor
    plan: Plan
    token_scores: Tensor | None
    tokens_seen: tuple[int, ...]
    kept_bytes: int
    flops: int


@torch.inference_mode()
def prefill(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    runner: LayerRunner,
    *,
    question: slice | None = None,
    room: int = 0,
    on_progress: Progress | None = None,
) -> PrefillResult:
    """Read a prompt.

    Args:
        decoder: the model.
        prompt_ids: (n,) token ids on the decoder's device, n ≥ 1.
        method: what to keep and what to propagate.
        runner: computes the layers.
        question: where in the prompt the user's question stands, for methods that look there.
        room: cache entries to allocate for tokens to come.
        on_progress: told the share of the work that is done, 0 to 1.

    Raises:
        UsageError: when the method does not fit the model.
    """
    plan = method.plan(decoder.shape(prompt_ids.shape[0], question))
    tsp, tokens_seen, flops = plan.tsp, [0] * decoder.num_layers, 0
    token_scores: Tensor | None = None
    if tsp is not None and tsp.restart:  # GemFilter: choose in a pass of its own, then read those
        scores, flops = _score_at(decoder, prompt_ids, method, plan, tsp.layer, runner)
        tokens_seen[: tsp.layer + 1] = [prompt_ids.shape[0]] * (tsp.layer + 1)
        token_scores = scores[0].sum(dim=0)
        reread = method.propagate(method.combine([scores]), tsp.length, plan)
        prompt_ids, tsp = prompt_ids[reread], None

    cache = CompressedCache(room, text_length=prompt_ids.shape[0] + room)
    scored: list[Tensor] = []
    computed: list[tuple[DecoderLayer, int, Tensor | None, int]] = []
    stream = runner.enter(decoder, prompt_ids, room)
    for layer in decoder.layers:
        capacity, num_tokens = plan.capacities[layer.index], stream.num_tokens
        propagation = tsp if tsp is not None and tsp.layer == layer.index else None
        compresses = capacity < num_tokens if isinstance(capacity, int) else True
        read = runner.read(layer, stream)

        kept = going_on = None
        if compresses or (tsp is not None and tsp.needs_scores(layer.index)):
            scores = method.scores(_observe(layer, stream, read), plan)  # step 1
            if tsp is not None and tsp.needs_scores(layer.index):
                scored.append(scores)
            if compresses:
                kept = method.keep(scores, capacity, plan)  # step 2
            if propagation is not None:
                token_scores = scores[0].sum(dim=0)
                combined = method.combine(scored)
                going_on = method.propagate(combined, propagation.length, plan)  # step 3
        cache.store(read.key, read.value, stream.positions, kept)

        if layer.index == decoder.num_layers - 1:
            # only the last token's hidden state meets the LM head, so only it is computed
            going_on = torch.tensor([num_tokens - 1], device=decoder.device)
        tokens_seen[layer.index] = max(tokens_seen[layer.index], num_tokens)
        computed.append((layer, num_tokens, going_on, stream.first))
        stream = runner.advance(layer, stream, read, going_on)
        del read  # before the next layer's is made
        if on_progress is not None:
            on_progress(_share_done(layer.index, plan))
    cache.next_position = prompt_ids.shape[0]  # step 4: decoding goes on behind the whole prompt
    hidden = decoder.normalize(stream.hidden)
    return PrefillResult(
        cache=cache,
        hidden=hidden[0, -1],
        logits=decoder.logits(hidden)[-1],
        plan=plan,
        token_scores=token_scores,
        tokens_seen=tuple(tokens_seen),
        kept_bytes=cache.nbytes,
        flops=flops + sum(layer.flops(seen, on, first) for layer, seen, on, first in computed),
    )


@torch.inference_mode()
def score_tokens(
    decoder: Decoder, prompt_ids: Tensor, method: Method, runner: LayerRunner
) -> Tensor:
    """Read a prompt up to the method's TSP layer and stop there: which tokens would go on?

    Args:
        decoder: the model.
        prompt_ids: (n,) token ids; n is above the method's observation window.
        method: a method with a TSP layer.
        runner: computes the layers.

    Returns:
        (n − W,) float32: the scores of the tokens before the window, added over KV heads.
    """
    plan = method.plan(decoder.shape(prompt_ids.shape[0]))
    if plan.tsp is None:
        raise ValueError("the method has no TSP layer for this prompt")
    scores, _ = _score_at(decoder, prompt_ids, method, plan, plan.tsp.layer, runner)
    return scores[0].sum(dim=0)


def _score_at(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    plan: Plan,
    index: int,
    runner: LayerRunner,
) -> tuple[Tensor, int]:
    """The scores of one layer, with no more computed than they need, and the FLOPs of that."""
    stream, flops = runner.enter(decoder, prompt_ids), 0
    for layer in decoder.layers[:index]:
        flops += layer.flops(stream.num_tokens, None, stream.first)
        stream = runner.advance(layer, stream, runner.read(layer, stream), None)
    layer = decoder.layers[index]
    read = runner.read(layer, stream)
    flops += layer.flops(stream.num_tokens, torch.empty(0, dtype=torch.long))  # K and V only
    return method.scores(_observe(layer, stream, read), plan), flops


def _observe(layer: DecoderLayer, stream: Stream, read: Read) -> Observation:
    return layer.observe(read.normalized, stream.rope, stream.positions, read.key, stream.first)


def _share_done(index: int, plan: Plan) -> float:
    """How much of the work lies behind, counted in layers × tokens."""
    num_layers = len(plan.capacities)
    if plan.tsp is None:
        return (index + 1) / num_layers
    early, late = plan.tsp.layer, plan.tsp.rate
    total = early + late * (num_layers - early)
    return (min(index + 1, early) + late * max(index + 1 - early, 0)) / total
