"""Prefill with Token-Selective Propagation (FastKV, arXiv 2502.01068, sections 3 and 4).

Early layers process every token. At the TSP layer ℓ* the highest-scoring tokens are selected, and
only they are propagated to the deeper layers, at their original positions. Each layer's K and V are
compressed as soon as the layer is done, so memory never holds the full K and V of more than one
layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..propagation import StepStats
from ..stats import KVStats, LayerStats
from .cache import CompressedCache
from .layers import ActiveTokens, LayerInputs, LayerRunner
from .methods import Method, Observation, Plan, Propagation
from .model.decoder import Decoder
from .model.decoder_layer import DecoderLayer
from .trace import PrefillTrace, Progress


@dataclass(frozen=True, slots=True)
class PrefillResult:
    """Cache, first logits and layer statistics of a prefilled prompt.

    Attributes:
        cache: the kept keys and values, ready for decoding.
        hidden: (hidden,), the last position's output of the last layer after the final norm: the
            input of the LM head.
        logits: (vocabulary,) float32, for the first new token.
        plan: the budgets that the method set for this prompt.
        token_scores: (n − W,) float32, the first TSP layer's scores summed over heads; None without
            a TSP layer.
        propagated: (length,) int64, the ascending positions of the tokens that were propagated
            behind the last TSP layer; None if all were.
        tokens_seen: per layer, the number of tokens that it processed.
        kept_bytes: bytes of the cache right after prefill.
        flops: floating-point operations of the layers, without scoring.
        attention_ratio: share of the pairs of query and key that the layers with block-sparse
            attention attended to; None without any.
    """

    cache: CompressedCache
    hidden: Tensor
    logits: Tensor
    plan: Plan
    token_scores: Tensor | None
    propagated: Tensor | None
    tokens_seen: tuple[int, ...]
    kept_bytes: int
    flops: int
    attention_ratio: float | None

    def kv_stats(
        self, decoder: Decoder, method: Method, num_tokens: int, lengths: list[list[int]]
    ) -> KVStats:
        """Statistics of the kept cache.

        Args:
            decoder: the model.
            method: the method of this prefill.
            num_tokens: n.
            lengths: cache entries per layer and head, from before decoding.
        """
        tsp = self.plan.tsp
        return KVStats(
            method=method.name,
            budget=method.budget,
            tsp_layer=None if tsp is None else tsp.layer,
            tsp_rate=None if tsp is None else tsp.rate,
            full_bytes=decoder.kv_bytes(num_tokens),
            kept_bytes=self.kept_bytes,
            full_flops=decoder.prefill_flops(num_tokens),
            prefill_flops=self.flops,
            layers=tuple(
                LayerStats(seen, round(sum(heads) / max(len(heads), 1)))
                for seen, heads in zip(self.tokens_seen, lengths, strict=True)
            ),
            note=self.plan.note,
            global_layers=decoder.num_global_layers,
            attention_ratio=self.attention_ratio,
            dtype=str(self.cache.dtype or decoder.dtype).removeprefix("torch."),
            steps=tuple(self._step_stats(step, num_tokens) for step in self.plan.steps),
        )

    def _step_stats(self, step: Propagation, num_tokens: int) -> StepStats:
        """Tokens before and behind a step; only the last token passes the last layer."""
        if step.restart:
            return StepStats(step.layer, step.rate, num_tokens, step.length)
        seen = (*self.tokens_seen, 1)
        return StepStats(step.layer, step.rate, seen[step.layer], seen[step.layer + 1])


@torch.inference_mode()
def prefill(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    runner: LayerRunner,
    plan: Plan,
    *,
    room: int = 0,
    kv_dtype: torch.dtype | None = None,
    on_progress: Progress | None = None,
) -> PrefillResult:
    """Prefill a prompt and compress its KV cache with a method.

    Args:
        decoder: the model.
        prompt_ids: (n,) token ids on the decoder's device, n ≥ 1.
        method: chooses the cache entries to keep and the tokens to propagate.
        runner: computes the layers.
        plan: the method's plan for this prompt.
        room: cache entries to allocate for the tokens to be decoded.
        kv_dtype: number format of the cache's entries; None is the model's.
        on_progress: called with the share of the work that is done, 0 to 1.
    """
    trace, selection = PrefillTrace(plan, on_progress), plan
    token_scores = propagated = None
    if plan.tsp is not None and plan.tsp.restart:
        propagated, token_scores = _filter_prompt(decoder, prompt_ids, method, runner, plan, trace)
        prompt_ids, selection = prompt_ids[propagated], replace(plan, steps=())

    cache = CompressedCache(room, text_length=prompt_ids.shape[0] + room, dtype=kv_dtype)
    scored: list[Tensor] = []
    tokens = runner.embed(decoder, prompt_ids, room)
    for layer in decoder.layers:
        is_last = layer.index == decoder.num_layers - 1  # only the last token reaches the LM head
        if layer.is_recurrent:
            trace.layer_done(layer, tokens, tokens.last_row if is_last else None)
            tokens, state = runner.mix(layer, tokens, last_only=is_last)
            cache.store_state(state)
            continue
        inputs = runner.project(layer, tokens)
        kept = selected_rows = None
        capacity = plan.capacities[layer.index]
        compresses = not isinstance(capacity, int) or capacity < layer.entries(tokens.num_tokens)
        propagates = selection.propagates_by(layer.index)
        if compresses or propagates:
            scores = method.scores(_observe(layer, tokens, inputs), plan)  # step 1
            if compresses:
                kept = method.keep(scores, capacity, plan)  # step 2
            if propagates:
                scored.append(scores)
            if step := selection.step_at(layer.index):
                selected_rows = method.propagate(method.combine(scored), step, plan)  # step 3
                propagated = tokens.positions[selected_rows]
                token_scores = scores[0].sum(dim=0) if token_scores is None else token_scores
                scored = [each[..., selected_rows[: -plan.window]] for each in scored]
        cache.store(inputs.key, inputs.value, tokens.positions, kept, layer.sliding_window)
        if is_last:
            selected_rows = tokens.last_row
        trace.layer_done(layer, tokens, selected_rows)
        tokens = runner.advance(layer, tokens, inputs, selected_rows)
        del inputs  # freed before the next layer's are allocated
    cache.next_position = prompt_ids.shape[0]  # step 4: decoding continues after the whole prompt

    hidden = decoder.normalize(tokens.hidden)
    return PrefillResult(
        cache=cache,
        hidden=hidden[0, -1],
        logits=decoder.logits(hidden)[-1],
        plan=plan,
        token_scores=token_scores,
        propagated=propagated,
        tokens_seen=trace.tokens_seen(decoder.num_layers),
        kept_bytes=cache.nbytes,
        flops=trace.flops(runner.skipped_pairs),
        attention_ratio=trace.attention_ratio(runner.skipped_pairs),
    )


@torch.inference_mode()
def score_tokens(
    decoder: Decoder, prompt_ids: Tensor, method: Method, runner: LayerRunner, plan: Plan
) -> Tensor:
    """Run a prompt up to the method's TSP layer, stop there, and return its token scores.

    Args:
        decoder: the model.
        prompt_ids: (n,) token ids; n is greater than the method's observation window.
        method: a method with a TSP layer.
        runner: computes the layers.
        plan: the method's plan for this prompt; it has a TSP layer.

    Returns:
        (n − W,) float32: the scores of the tokens before the window, summed over KV heads.
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
    """Select tokens in a separate pass; only those are then prefilled, by all layers (GemFilter).

    Returns:
        The selected rows, (length,), and the scores that selected them, (n − W,) float32.
    """
    assert plan.tsp is not None
    scores = _score_at(decoder, prompt_ids, method, runner, plan, trace)
    rows = method.propagate(method.combine([scores]), plan.tsp, plan)
    return rows, scores[0].sum(dim=0)


def _score_at(
    decoder: Decoder,
    prompt_ids: Tensor,
    method: Method,
    runner: LayerRunner,
    plan: Plan,
    trace: PrefillTrace,
) -> Tensor:
    """Scores of the TSP layer, (B, heads, n − W); computes only what they depend on."""
    assert plan.tsp is not None
    tokens = runner.embed(decoder, prompt_ids)
    for earlier in decoder.layers[: plan.tsp.layer]:
        trace.layer_done(earlier, tokens, None)
        if earlier.is_recurrent:
            tokens, _ = runner.mix(earlier, tokens)
        else:
            tokens = runner.advance(earlier, tokens, runner.project(earlier, tokens), None)
    layer = decoder.attention_layer(plan.tsp.layer)
    trace.layer_done(layer, tokens, torch.empty(0, dtype=torch.long))  # K and V only
    return method.scores(_observe(layer, tokens, runner.project(layer, tokens)), plan)


def _observe(layer: DecoderLayer, tokens: ActiveTokens, inputs: LayerInputs) -> Observation:
    return layer.observe(
        inputs.normalized, tokens.ropes, tokens.positions, inputs.key, tokens.first
    )
