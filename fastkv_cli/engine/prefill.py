"""Prefill with Token-Selective Propagation (FastKV, arXiv 2502.01068, sections 3 and 4).

Early layers see every token. At the TSP layer ℓ* the tokens that matter are selected, and only they
go deeper, with their original positions. Every layer keeps only the K and V that matter, as soon
as it is done, so at no time is more than one layer's full K and V in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .cache import CompressedCache
from .layers import ActiveTokens, LayerInputs, LayerRunner
from .methods import Method, Observation, Plan
from .model.decoder import Decoder, DecoderLayer
from .trace import PrefillTrace, Progress


@dataclass(frozen=True, slots=True)
class PrefillResult:
    """What prefill leaves behind.

    Attributes:
        cache: the kept keys and values, ready for decoding.
        hidden: (hidden,), the last position behind the last layer, as the LM head sees it.
        logits: (vocabulary,) float32, of the first new token.
        plan: the budgets that the method set for this prompt.
        token_scores: (n − W,) float32, the TSP layer's, added over heads; None without one.
        tokens_seen: per layer, how many tokens it saw.
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
    plan: Plan,
    *,
    room: int = 0,
    on_progress: Progress | None = None,
) -> PrefillResult:
    """Run a prompt through the model, and keep what the method keeps.

    Args:
        decoder: the model.
        prompt_ids: (n,) token ids on the decoder's device, n ≥ 1.
        method: what to keep and what to propagate.
        runner: computes the layers.
        plan: the method's, for this prompt.
        room: cache entries to allocate for tokens to come.
        on_progress: told the share of the work that is done, 0 to 1.
    """
    trace = PrefillTrace(plan, on_progress)
    tsp, token_scores = plan.tsp, None
    if tsp is not None and tsp.restart:
        prompt_ids, token_scores = _filter_prompt(decoder, prompt_ids, method, runner, plan, trace)
        tsp = None

    cache = CompressedCache(room, text_length=prompt_ids.shape[0] + room)
    scored: list[Tensor] = []
    tokens = runner.enter(decoder, prompt_ids, room)
    for layer in decoder.layers:
        inputs = runner.project(layer, tokens)
        kept = selected_rows = None
        capacity = plan.capacities[layer.index]
        compresses = not isinstance(capacity, int) or capacity < tokens.num_tokens
        propagates = tsp is not None and tsp.needs_scores(layer.index)
        if compresses or propagates:
            scores = method.scores(_observe(layer, tokens, inputs), plan)  # step 1
            if compresses:
                kept = method.keep(scores, capacity, plan)  # step 2
            if propagates:
                scored.append(scores)
            if tsp is not None and tsp.layer == layer.index:
                token_scores = scores[0].sum(dim=0)
                selected_rows = method.propagate(method.combine(scored), tsp.length, plan)  # step 3
        cache.store(inputs.key, inputs.value, tokens.positions, kept)
        if layer.index == decoder.num_layers - 1:  # only the last token meets the LM head
            selected_rows = torch.tensor([tokens.num_tokens - 1], device=decoder.device)
        trace.layer_done(layer, tokens, selected_rows)
        tokens = runner.advance(layer, tokens, inputs, selected_rows)
        del inputs  # before the next layer's are made
    cache.next_position = prompt_ids.shape[0]  # step 4: decoding goes on behind the whole prompt

    hidden = decoder.normalize(tokens.hidden)
    return PrefillResult(
        cache=cache,
        hidden=hidden[0, -1],
        logits=decoder.logits(hidden)[-1],
        plan=plan,
        token_scores=token_scores,
        tokens_seen=trace.tokens_seen(decoder.num_layers),
        kept_bytes=cache.nbytes,
        flops=trace.flops,
    )


@torch.inference_mode()
def score_tokens(
    decoder: Decoder, prompt_ids: Tensor, method: Method, runner: LayerRunner, plan: Plan
) -> Tensor:
    """Run a prompt up to the method's TSP layer and stop there: which tokens would go on?

    Args:
        decoder: the model.
        prompt_ids: (n,) token ids; n is above the method's observation window.
        method: a method with a TSP layer.
        runner: computes the layers.
        plan: the method's, for this prompt; it has a TSP layer.

    Returns:
        (n − W,) float32: the scores of the tokens before the window, added over KV heads.
    """
    if plan.tsp is None:
        raise ValueError("the method has no TSP layer for this prompt")
    scores = _score_at(decoder, prompt_ids, method, runner, plan, PrefillTrace(plan))
    return scores[0].sum(dim=0)


def _filter_prompt(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    runner: LayerRunner,
    plan: Plan,
    trace: PrefillTrace,
) -> tuple[Tensor, Tensor]:
    """Select tokens in a pass of its own; the whole model then rereads just those (GemFilter).

    Returns:
        Their ids, (length,), and the scores that selected them, (n − W,) float32.
    """
    assert plan.tsp is not None
    scores = _score_at(decoder, prompt_ids, method, runner, plan, trace)
    rows = method.propagate(method.combine([scores]), plan.tsp.length, plan)
    return prompt_ids[rows], scores[0].sum(dim=0)


def _score_at(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    runner: LayerRunner,
    plan: Plan,
    trace: PrefillTrace,
) -> Tensor:
    """The scores of the TSP layer, (B, heads, n − W), with no more computed than they need."""
    assert plan.tsp is not None
    tokens = runner.enter(decoder, prompt_ids)
    for layer in decoder.layers[: plan.tsp.layer]:
        trace.layer_done(layer, tokens, None)
        tokens = runner.advance(layer, tokens, runner.project(layer, tokens), None)
    layer = decoder.layers[plan.tsp.layer]
    trace.layer_done(layer, tokens, torch.empty(0, dtype=torch.long))  # K and V only
    return method.scores(_observe(layer, tokens, runner.project(layer, tokens)), plan)


def _observe(layer: DecoderLayer, tokens: ActiveTokens, inputs: LayerInputs) -> Observation:
    return layer.observe(
        inputs.normalized, tokens.ropes, tokens.positions, inputs.key, tokens.first
    )
