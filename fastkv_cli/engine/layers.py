"""Computing a decoder's layers over the active tokens of a prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UsageError
from .cache_entries import RecurrentState
from .kernels.attention import Causality, Kernel, attend
from .kernels.row_blocks import DEFAULT_CHUNK_ROWS, GRAIN, RECURRENT_ROWS, round_up
from .kernels.sparse_attention import (
    FIRST_SPARSE_ROW,
    BlockSparsity,
    attend_sparsely,
)
from .model.decoder import Decoder
from .model.decoder_layer import DecoderLayer, take_rows
from .model.recurrent_layer import Layer, RecurrentLayer
from .model.rope import RopeTable


@dataclass(frozen=True, slots=True)
class ActiveTokens:
    """Hidden states and positions of the tokens that are still propagated.

    Attributes:
        hidden: (1, T − first, hidden); copies of the last token may follow as padding, so that
            matrix sizes recur (see attention.py).
        positions: (T,) in the text.
        ropes: rotary embeddings for those positions, and for the copies.
        first: leading tokens whose K and V are known already; only the others are computed.
        boundary: number of leading tokens that other prompts about the same text share. They pass
            through a layer separately from the tokens after them, so that each result is the same
            to the last bit, whether it is computed now or reused.
        is_whole: whether they are all tokens of the text, none of which was left behind.
    """

    hidden: Tensor
    positions: Tensor
    ropes: RopeTable
    first: int = 0
    boundary: int = 0
    is_whole: bool = True

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.positions.shape[0]

    @property
    def last_row(self) -> Tensor:
        """(1,), the index of the last token."""
        return torch.tensor([self.num_tokens - 1], device=self.positions.device)


class LayerInputs(NamedTuple):
    """Normalized hidden states (1, T − first, hidden), K and V (1, H_kv, T', D) of a layer.

    T' ≥ T: the rows after T are padding.
    """

    normalized: Tensor
    key: Tensor
    value: Tensor


@dataclass(slots=True)
class LayerRunner:
    """Computes layers, `chunk_rows` tokens at a time.

    `on_done` is called with each finished layer; for `boundary` see `ActiveTokens`. With a
    `sparsity`, attention is block-sparse while all tokens of a text are active; the pairs of query
    and key that it leaves out are counted by layer. Kernels other than BLOCKED drop it.
    """

    kernel: Kernel
    chunk_rows: int = DEFAULT_CHUNK_ROWS
    on_done: Callable[[Layer], None] | None = None
    boundary: int = 0
    sparsity: BlockSparsity | None = None
    skipped_pairs: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.chunk_rows < 1:
            raise UsageError(f"chunk_rows {self.chunk_rows} is out of range", "it is 1 or more")
        if self.kernel is not Kernel.BLOCKED:
            self.sparsity = None

    def embed(self, decoder: Decoder, token_ids: Tensor, room: int = 0) -> ActiveTokens:
        """Embed token ids (T,) at positions 0 to T − 1; up to `room` tokens may follow them."""
        positions = torch.arange(token_ids.shape[0], device=decoder.device)
        ropes = decoder.ropes(positions, len(positions) + room)
        return ActiveTokens(decoder.embed(token_ids), positions, ropes, boundary=self.boundary)

    def project(self, layer: DecoderLayer, tokens: ActiveTokens) -> LayerInputs:
        """Compute normalized hidden states, K and V of all active tokens."""
        normalized = torch.empty_like(tokens.hidden)
        shape = (1, layer.num_kv_heads, round_up(tokens.num_tokens), layer.head_dim)
        key, value = tokens.hidden.new_empty(shape), tokens.hidden.new_empty(shape)
        for padded in (key, value):
            padded[:, :, tokens.num_tokens :] = 0
        for rows, hidden_rows in self._rows(tokens, self.chunk_rows):
            normalized[:, hidden_rows] = layer.normalize(take_rows(tokens.hidden, hidden_rows))
            key[:, :, rows], value[:, :, rows] = layer.keys_values(
                take_rows(normalized, hidden_rows), tokens.ropes.at(rows)
            )
        return LayerInputs(normalized, key, value)

    def advance(
        self,
        layer: DecoderLayer,
        tokens: ActiveTokens,
        inputs: LayerInputs,
        selected_rows: Tensor | None,
    ) -> ActiveTokens:
        """Compute attention and MLP of the propagated tokens (row indices; None means all).

        K and V are needed for every token, the rest only for the propagated ones: selecting before
        computing gives the same result for less work.
        """
        normalized = inputs.normalized
        padded_rows = None if selected_rows is None else self._pad(selected_rows)
        count = tokens.hidden.shape[1] if padded_rows is None else padded_rows.shape[0]
        hidden = tokens.hidden.new_empty(1, count, tokens.hidden.shape[2])

        def compute(
            into: slice, rows: slice | Tensor, hidden_rows: slice | Tensor, num_keys: int
        ) -> None:
            queries = layer.queries(take_rows(normalized, hidden_rows), tokens.ropes.at(rows))
            attended = self._attend(layer, tokens, queries, inputs, rows, num_keys)
            before, after = take_rows(tokens.hidden, hidden_rows), hidden[:, into]
            for chunk in self._chunks(0, after.shape[1], self.chunk_rows):
                after[:, chunk] = layer.finish(take_rows(before, chunk), attended[:, :, chunk])

        if padded_rows is None:
            for rows, hidden_rows in self._rows(tokens, self._attended_rows(tokens)):
                compute(hidden_rows, rows, hidden_rows, num_keys=rows.stop)
            after = replace(tokens, hidden=hidden)
        else:
            for chunk in self._chunks(0, count, self.chunk_rows):
                chosen = padded_rows[chunk]
                compute(chunk, chosen, chosen - tokens.first, num_keys=tokens.num_tokens)
            ropes = tokens.ropes.at(padded_rows)
            after = ActiveTokens(hidden, tokens.positions[selected_rows], ropes, is_whole=False)
        if self.on_done is not None:
            self.on_done(layer)
        return after

    def _attend(
        self,
        layer: DecoderLayer,
        tokens: ActiveTokens,
        queries: Tensor,
        inputs: LayerInputs,
        rows: slice | Tensor,
        num_keys: int,
    ) -> Tensor:
        """Attention of some rows over the first keys, (1, H, rows, D)."""
        key, value = inputs.key, inputs.value
        # The shared rows are sparse in every prompt, whatever its length; the question is not.
        dense_from = max(tokens.boundary, tokens.num_tokens - GRAIN)
        if self._attends_sparsely(layer, tokens, rows, dense_from):
            assert self.sparsity is not None
            assert isinstance(rows, slice)
            attended, skipped = attend_sparsely(
                queries, key, value, rows.start, dense_from, layer.scaling, self.sparsity
            )
            self.skipped_pairs[layer.index] += skipped
            return attended
        causality = Causality(
            positions=tokens.positions[:num_keys],
            rows=rows if isinstance(rows, Tensor) else self._rows_in_text(rows, tokens),
            sliding_window=layer.sliding_window,
        )
        return attend(queries, key, value, causality, layer.scaling, self.kernel, layer.sinks)

    def _attends_sparsely(
        self, layer: DecoderLayer, tokens: ActiveTokens, rows: slice | Tensor, dense_from: int
    ) -> bool:
        """Whether attention of these rows is block-sparse, all or some."""
        return (
            self.sparsity is not None
            and tokens.is_whole
            and isinstance(rows, slice)
            and rows.start < dense_from
            and rows.stop > FIRST_SPARSE_ROW
            and GRAIN <= rows.stop - rows.start <= tokens.num_tokens - rows.start
            and layer.sliding_window is None
            and layer.sinks is None
        )

    def mix(
        self, layer: RecurrentLayer, tokens: ActiveTokens, *, last_only: bool = False
    ) -> tuple[ActiveTokens, RecurrentState]:
        """Compute a recurrent layer; returns its output and its state after the last token.

        Each token enters the state once and in order, so chunks do not overlap, and the padding at
        the end of one does not count. With `last_only`, only the last token's output is computed.
        """
        first, state = tokens.first, self._start(layer, tokens)
        hidden = torch.empty_like(tokens.hidden)
        for rows in self._rows_in_order(tokens):
            chunk = torch.arange(rows.start - first, rows.stop - first, device=hidden.device)
            before = take_rows(tokens.hidden, self._pad(chunk))
            mixed, state = layer.mix(before, state, len(chunk))
            if not last_only:
                hidden[:, chunk] = layer.finish(before, mixed)[:, : len(chunk)]
            elif rows.stop == tokens.num_tokens:
                last = slice(len(chunk) - 1, len(chunk))
                hidden = layer.finish(take_rows(before, last), take_rows(mixed, last))
            if rows.stop == tokens.boundary:
                self._record(layer, state)
        if not last_only:
            hidden[:, tokens.num_tokens - first :] = hidden[:, tokens.num_tokens - first - 1, None]
        if self.on_done is not None:
            self.on_done(layer)
        return replace(tokens, hidden=hidden), state

    def _start(self, layer: RecurrentLayer, tokens: ActiveTokens) -> RecurrentState:  # noqa: ARG002
        """The state of a layer before the first of the tokens to compute."""
        return layer.start()

    def _record(self, layer: RecurrentLayer, state: RecurrentState) -> None:
        """Record the state of a layer after the leading tokens that other prompts share."""

    def _attended_rows(self, tokens: ActiveTokens) -> int:
        """Rows whose attention is computed at once.

        On a GPU all rows: torch's fastest kernels are those for a text attending to itself.
        """
        on_gpu = tokens.hidden.device.type == "cuda"
        return tokens.num_tokens if on_gpu else self.chunk_rows

    def _rows(self, tokens: ActiveTokens, chunk_rows: int) -> Iterator[tuple[slice, slice]]:
        """Chunks of the rows to compute: their rows among all T, and among the hidden states."""
        first, boundary = tokens.first, tokens.boundary
        stop = first + tokens.hidden.shape[1]
        for part in ((first, min(boundary, stop)), (max(first, boundary), stop)):
            for rows in self._chunks(*part, chunk_rows):
                yield rows, slice(rows.start - first, rows.stop - first)

    def _rows_in_order(self, tokens: ActiveTokens) -> Iterator[slice]:
        """Chunks of the rows to compute, without padding; they do not overlap."""
        size = min(self.chunk_rows, RECURRENT_ROWS)
        first, boundary, stop = tokens.first, tokens.boundary, tokens.num_tokens
        for part in ((first, min(boundary, stop)), (max(first, boundary), stop)):
            for start in range(*part, size):
                yield slice(start, min(start + size, part[1]))

    def _pad(self, rows: Tensor) -> Tensor:
        """Pad row indices with copies of the last one to a multiple of GRAIN."""
        if self.kernel is not Kernel.BLOCKED or rows.shape[0] < GRAIN:
            return rows
        return torch.cat((rows, rows[-1:].expand(round_up(rows.shape[0]) - rows.shape[0])))

    @staticmethod
    def _rows_in_text(rows: slice, tokens: ActiveTokens) -> Tensor | None:
        """Row indices with copies mapped to the last token; None if there are no copies."""
        if rows.stop <= tokens.num_tokens:
            return None
        index = torch.arange(rows.start, rows.stop, device=tokens.positions.device)
        return index.clamp_(max=tokens.num_tokens - 1)

    @staticmethod
    def _chunks(start: int, stop: int, chunk_rows: int) -> Iterator[slice]:
        """Chunks of rows; the last one overlaps the one before, so that its size recurs."""
        for at in range(start, stop, chunk_rows):
            size = min(round_up(stop - at), chunk_rows)
            end = min(at + size, stop)
            yield slice(max(end - size, start), end)
