"""Decoding over the compressed cache. Works on token ids only."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Sequence
from itertools import zip_longest
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..errors import ModelError
from .cache import CompressedCache
from .cache_entries import HeadGroup, RecurrentState
from .kernels.lookup import attend_cached
from .model.loader import LoadedModel
from .model.rope import RopeTable
from .prompt_lookup import PromptLookup

Step = Callable[[int], Tensor]
"""Decodes one token: its id → the logits for the next one, (vocabulary,) float32."""


class RecurrentDecodingLayer(Protocol):
    """The interface that decoding uses of a layer without keys and values."""

    @property
    def is_recurrent(self) -> Literal[True]:
        """Tells it from a `DecodingLayer`."""

    @property
    def index(self) -> int:
        """0-based."""

    def extend(self, hidden: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        """Run the whole layer for T further tokens, (1, T, hidden)."""


class DecodingLayer(Protocol):
    """The interface that decoding uses of a layer with keys and values."""

    @property
    def is_recurrent(self) -> Literal[False]:
        """Tells it from a `RecurrentDecodingLayer`."""

    @property
    def index(self) -> int:
        """0-based."""

    @property
    def scaling(self) -> float:
        """Factor applied to q·k."""

    @property
    def sinks(self) -> Tensor | None:
        """One more logit for each query head, (H,); None if the layer has none."""

    def project(self, hidden: Tensor, ropes: RopeTable) -> tuple[Tensor, Tensor, Tensor]:
        """The layer's input (1, T, hidden) → Q (1, H, T, D), K and V (1, H_kv, T, D)."""

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Output projection, MLP and both residuals, (1, T, hidden)."""

    def fused_step(self, hidden: Tensor, ropes: RopeTable, cache: CompressedCache) -> Tensor | None:
        """Run the whole layer for one token, (1, 1, hidden), in one call; None if not fused.

        Appends the token's K and V to the cache.
        """


class DecodingModel(Protocol):
    """The interface of a model that decoding uses: a `Decoder`, or the faster `PackedDecoder`."""

    @property
    def layers(self) -> Sequence[DecodingLayer | RecurrentDecodingLayer]:
        """All layers, in order."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token ids (T,) → (1, T, hidden)."""

    def ropes(self, positions: Tensor, length: int) -> RopeTable:
        """Rotary embeddings for positions (T,) in a text of up to `length` tokens."""

    def normalize(self, hidden: Tensor) -> Tensor:
        """Final norm: the last layer's output → the LM head's input, (1, T, hidden)."""

    def logits(self, hidden: Tensor) -> Tensor:
        """Normalized (1, T, hidden) → (T, vocabulary), float32."""


class TokenChooser(Protocol):
    """Anything that picks a token id from logits (vocabulary,)."""

    def choose(self, logits: Tensor) -> int:
        """The next token id."""
        ...


def check_finite(logits: Tensor, loaded: LoadedModel) -> None:
    """Raise a ModelError unless a model's first logits, (vocabulary,), are finite.

    An infinite or missing number in the weights makes some of them infinite or NaN.
    """
    if not logits.isfinite().all():
        what = f"its weights are damaged, or too large for {loaded.dtype_name}"
        message = f"{loaded.name} gives no numbers (its logits are NaN or infinite): {what}"
        raise ModelError(message, "fetch the model again, or try --dtype float32")


def decode(step: Step, first_logits: Tensor, sampler: TokenChooser) -> Generator[int]:
    """Yield token ids forever; the caller stops at an end token or at a count.

    The first id is chosen from the prefill's logits and costs no pass through the model.
    """
    token_id = sampler.choose(first_logits)
    yield token_id
    while True:
        token_id = sampler.choose(step(token_id))
        yield token_id


def decode_by_lookup(
    model: DecodingModel,
    cache: CompressedCache,
    step: Step,
    first_logits: Tensor,
    sampler: TokenChooser,
    lookup: PromptLookup,
) -> Generator[int]:
    """As `decode`, with several tokens in a pass where the answer copies the text.

    The caller may stop after any token; then the cache holds no token of a draft that was not
    chosen, and may hold chosen ones that were not yielded yet.

    Args:
        model: the model.
        cache: of the prompt; tokens can be dropped from it.
        step: decodes one token where nothing is drafted.
        first_logits: the prefill's.
        sampler: chooses every token, in order, from the model's logits.
        lookup: drafts tokens; it holds the prompt.
    """
    token_id = sampler.choose(first_logits)
    lookup.push(token_id)
    yield token_id
    while True:
        draft = lookup.draft()
        rows = extend(model, cache, [token_id, *draft]) if draft else step(token_id).unsqueeze(0)
        num_right = 0
        try:
            for logits, drafted in zip_longest(rows, draft):
                token_id = sampler.choose(logits)
                lookup.push(token_id)
                if token_id != drafted:
                    break
                num_right += 1
                yield token_id
        finally:
            if draft:
                cache.drop_last(len(draft) - num_right)
        yield token_id


@torch.inference_mode()
def extend(
    model: DecodingModel,
    cache: CompressedCache,
    token_ids: Sequence[int],
    on_layer: Callable[[DecodingLayer, Tensor, list[HeadGroup]], None] | None = None,
) -> Tensor:
    """Extend the cache with T tokens that follow its contents.

    Args:
        model: the model.
        cache: keys and values of the tokens before.
        token_ids: the T tokens.
        on_layer: called in each layer with the queries (1, H, T, D) and the entries they attend to.

    Returns:
        (T, vocabulary) float32: the logits after each token.
    """
    hidden = model.embed(torch.tensor(token_ids, device=model.device))
    first = cache.next_position
    positions = torch.arange(first, first + len(token_ids), device=model.device)
    ropes = model.ropes(positions, cache.text_length)
    can_fuse = len(token_ids) == 1 and on_layer is None

    for layer in model.layers:
        if layer.is_recurrent:
            hidden, state = layer.extend(hidden, cache.state(layer.index))
            cache.update_state(layer.index, state)
            continue
        if can_fuse and (fused := layer.fused_step(hidden, ropes, cache)) is not None:
            hidden = fused
            continue
        query, key, value = layer.project(hidden, ropes)
        groups = cache.append(layer.index, key, value)
        if on_layer is not None:
            on_layer(layer, query, groups)
        attend = functools.partial(_attend, layer, first)
        hidden = layer.finish(hidden, attend_groups(query, groups, attend))
    cache.next_position += len(token_ids)
    return model.logits(model.normalize(hidden))


def _attend(
    layer: DecodingLayer, first: int, query: Tensor, group: HeadGroup, heads: slice
) -> Tensor:
    """Attend with the queries of tokens from position `first` on to the entries of a group."""
    if group.can_attend and layer.sinks is None:
        return group.attend(query, layer.scaling)
    start = group.first_visible(query.shape[2])
    masked = _outside_window(group, first, query.shape[2], start)
    keys, values = group.keys[:, :, start:], group.values[:, :, start:]
    sinks = None if layer.sinks is None else layer.sinks[heads]
    return attend_cached(query, keys, values, layer.scaling, masked, sinks)


def attend_groups(
    query: Tensor,
    groups: Sequence[HeadGroup],
    attend: Callable[[Tensor, HeadGroup, slice], Tensor],
) -> Tensor:
    """Attend each group of heads to its own entries with its share of the queries (1, H, T, D).

    `attend` is also told which of the H query heads these are.
    """
    if len(groups) == 1:
        return attend(query, groups[0], slice(None))
    per_head = query.shape[1] // sum(group.num_heads for group in groups)
    attended, first = [], 0
    for group in groups:
        heads = slice(first, first + per_head * group.num_heads)
        attended.append(attend(query[:, heads], group, heads))
        first = heads.stop
    return torch.cat(attended, dim=1)


def _outside_window(
    group: HeadGroup, first_position: int, num_rows: int, start: int
) -> Tensor | None:
    """True for entries outside a row's sliding window, (heads, T, length); None if none are.

    Entries before `start` are left out.
    """
    window = group.window
    if window is None or first_position + num_rows <= window:
        return None
    if num_rows == 1 and group.is_consecutive:
        return None
    positions = group.positions[:, start:].unsqueeze(1)
    rows = torch.arange(first_position, first_position + num_rows, device=positions.device)
    return positions <= rows.unsqueeze(1) - window
