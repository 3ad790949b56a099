"""Decoding a prompt's answer, each token with its time."""

from __future__ import annotations

from collections.abc import Iterator

from .decode import DecodingModel, TokenChooser, decode, decode_by_lookup
from .kernels.cuda_graph import choose_step
from .measure import now
from .prefill import PrefillResult
from .prompt_lookup import PromptLookup


def decode_timed(
    model: DecodingModel,
    prefilled: PrefillResult,
    sampler: TokenChooser,
    lookup: PromptLookup | None,
) -> Iterator[tuple[int, float]]:
    """Decode forever; each token with the time at which it was there.

    Args:
        model: the model.
        prefilled: the prompt's cache and logits.
        sampler: chooses the tokens.
        lookup: drafts tokens from the prompt; None decodes token by token.
    """
    cache, logits = prefilled.cache, prefilled.logits
    step = choose_step(model, cache, records=lookup is None)
    if lookup is None:
        tokens = decode(step, logits, sampler)
    else:
        tokens = decode_by_lookup(model, cache, step, logits, sampler, lookup)
    for token_id in tokens:
        yield token_id, now(model.device)
