"""Running a decoder's layers over the tokens of a prompt that are still on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UsageError
from .kernels.attention import GRAIN, Causality, Kernel, attend, round_up
from .model.decoder import Decoder, DecoderLayer, take_rows
from .model.rope import RopeTable

# Rows that pass through a layer at once: activations of the MLP stay this small however long the
# prompt is. A GPU wants many.
_CHUNK_ROWS = {"cuda": 16_384}
_FEW_ROWS = 1024


def default_chunk_rows(device: torch.device) -> int:
    """Rows that pass through a layer at once, where nothing else is said."""
    return _CHUNK_ROWS.get(device.type, _FEW_ROWS)


@dataclass(frozen=True, slots=True)
class ActiveTokens:
    """The tokens on their way through the layers: the hidden states, and where they stand.

    Attributes:
        hidden: (1, T − first, hidden); copies of the last token may lie behind it, so that sizes
            come again (see attention.py).
        positions: (T,) in the text.
        ropes: for those positions, and the copies.
        first: tokens at the start whose K and V are known already; only the others are computed.
        boundary: the first token that other prompts about the same text do not begin with. Those
            before it pass through a layer apart from those behind, so that each comes out the same,
            to the last bit, whether it is computed now or was before.
    """

    hidden: Tensor
    positions: Tensor
    ropes: RopeTable
    first: int = 0
    boundary: int = 0

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.positions.shape[0]


class LayerInputs(NamedTuple):
    """What a layer makes of the tokens it sees: (1, T − first, hidden), and (1, H_kv, T', D) twice.

    T' ≥ T: what lies behind is of no token.
    """

    normalized: Tensor
    key: Tensor
    value: Tensor


@dataclass(slots=True)
class LayerRunner:
    """Computes layers, `chunk_rows` tokens at a time.

    `on_done` is told of each layer that is done; for `boundary` see `ActiveTokens`.
    """

    kernel: Kernel
    chunk_rows: int = _FEW_ROWS
    on_done: Callable[[DecoderLayer], None] | None = None
    boundary: int = 0

    def __post_init__(self) -> None:
        if self.chunk_rows < 1:
            raise UsageError(f"chunk_rows {self.chunk_rows} is out of range", "it is 1 or more")

    def enter(self, decoder: Decoder, token_ids: Tensor, room: int = 0) -> ActiveTokens:
        """Token ids (T,) at positions 0 to T − 1; as many as `room` may follow them."""
        positions = torch.arange(token_ids.shape[0], device=decoder.device)
        ropes = decoder.ropes(positions, len(positions) + room)
        return ActiveTokens(decoder.embed(token_ids), positions, ropes, boundary=self.boundary)

    def project(self, layer: DecoderLayer, tokens: ActiveTokens) -> LayerInputs:
        """Normalized hidden states, K and V of all tokens that the layer sees."""
        normalized = torch.empty_like(tokens.hidden)
        shape = (1, layer.num_kv_heads, round_up(tokens.num_tokens), layer.head_dim)
        key, value = tokens.hidden.new_empty(shape), tokens.hidden.new_empty(shape)
        for room in (key, value):
            room[:, :, tokens.num_tokens :] = 0
        for rows, own in self._rows(tokens, self.chunk_rows):
            normalized[:, own] = layer.normalize(take_rows(tokens.hidden, own))
            key[:, :, rows], value[:, :, rows] = layer.keys_values(
                take_rows(normalized, own), tokens.ropes.at(rows)
            )
        return LayerInputs(normalized, key, value)

    def advance(
        self,
        layer: DecoderLayer,
        tokens: ActiveTokens,
        inputs: LayerInputs,
        selected_rows: Tensor | None,
    ) -> ActiveTokens:
        """Attention and MLP, for the tokens that go on (row indices; None is all there are).

        K and V are needed of every token, the rest only of those that go on: choosing first and
        computing after gives the same result for less work.
        """
        normalized, key, value = inputs
        going = None if selected_rows is None else self._pad(selected_rows)
        count = tokens.hidden.shape[1] if going is None else going.shape[0]
        hidden = tokens.hidden.new_empty(1, count, tokens.hidden.shape[2])

        def compute(into: slice, rows: slice | Tensor, own: slice | Tensor, seen: int) -> None:
            causality = Causality(
                positions=tokens.positions[:seen],
                rows=rows if isinstance(rows, Tensor) else self._rows_in_text(rows, tokens),
                sliding_window=layer.sliding_window,
            )
            queries = layer.queries(take_rows(normalized, own), tokens.ropes.at(rows))
            attended = attend(queries, key, value, causality, layer.scaling, self.kernel)
            before, after = take_rows(tokens.hidden, own), hidden[:, into]
            for some in self._chunks(0, after.shape[1], self.chunk_rows):
                after[:, some] = layer.finish(take_rows(before, some), attended[:, :, some])

        if going is None:
            for rows, own in self._rows(tokens, self._attended_rows(tokens)):
                compute(own, rows, own, seen=rows.stop)
            after = replace(tokens, hidden=hidden)
        else:
            for chunk in self._chunks(0, count, self.chunk_rows):
                some = going[chunk]
                compute(chunk, some, some - tokens.first, seen=tokens.num_tokens)
            after = ActiveTokens(hidden, tokens.positions[selected_rows], tokens.ropes.at(going))
        if self.on_done is not None:
            self.on_done(layer)
        return after

    def _attended_rows(self, tokens: ActiveTokens) -> int:
        """Rows whose attention is computed at once.

        On a GPU all: the fastest of torch's kernels are those of a text over itself.
        """
        on_gpu = tokens.hidden.device.type == "cuda"
        return tokens.num_tokens if on_gpu else self.chunk_rows

    def _rows(self, tokens: ActiveTokens, chunk_rows: int) -> Iterator[tuple[slice, slice]]:
        """The rows to compute, in chunks: where they are in the text, and in the hidden states."""
        first, boundary = tokens.first, tokens.boundary
        stop = first + tokens.hidden.shape[1]
        for part in ((first, min(boundary, stop)), (max(first, boundary), stop)):
            for rows in self._chunks(*part, chunk_rows):
                yield rows, slice(rows.start - first, rows.stop - first)

    def _pad(self, rows: Tensor) -> Tensor:
        """Row indices, and the last of them again and again, to a number that recurs."""
        if self.kernel is not Kernel.BLOCKED or rows.shape[0] < GRAIN:
            return rows
        return torch.cat((rows, rows[-1:].expand(round_up(rows.shape[0]) - rows.shape[0])))

    @staticmethod
    def _rows_in_text(rows: slice, tokens: ActiveTokens) -> Tensor | None:
        """Where rows stand that may be copies of the last token; None where none is."""
        if rows.stop <= tokens.num_tokens:
            return None
        index = torch.arange(rows.start, rows.stop, device=tokens.positions.device)
        return index.clamp_(max=tokens.num_tokens - 1)

    @staticmethod
    def _chunks(start: int, stop: int, chunk_rows: int) -> Iterator[slice]:
        """Rows in chunks; the last begins among those before it, to be of a size that recurs."""
        for at in range(start, stop, chunk_rows):
            size = min(round_up(stop - at), chunk_rows)
            end = min(at + size, stop)
            yield slice(max(end - size, start), end)


@dataclass(slots=True)
class RecordingRunner(LayerRunner):
    """Remembers what it computed of one whole prompt, so that other methods need not do it again.

    Methods differ in what they choose from a layer, not in what the layer makes of all tokens. For
    evaluations: it holds every layer's hidden states, K and V.
    """

    _token_ids: Tensor | None = None
    _entered: list[ActiveTokens] = field(default_factory=list)  # what entered each layer
    _inputs: dict[int, LayerInputs] = field(default_factory=dict)

    def enter(self, decoder: Decoder, token_ids: Tensor, room: int = 0) -> ActiveTokens:
        """As ever; for the same prompt what was there before."""
        if self._token_ids is None:
            self._token_ids = token_ids
            self._entered = [LayerRunner.enter(self, decoder, token_ids, room)]
        if torch.equal(token_ids, self._token_ids):
            return self._entered[0]
        return LayerRunner.enter(self, decoder, token_ids, room)

    def project(self, layer: DecoderLayer, tokens: ActiveTokens) -> LayerInputs:
        """As ever, once for each layer and the whole prompt."""
        if not self._is_whole(layer, tokens):
            return LayerRunner.project(self, layer, tokens)
        if layer.index not in self._inputs:
            self._inputs[layer.index] = LayerRunner.project(self, layer, tokens)
        return self._inputs[layer.index]

    def advance(
        self,
        layer: DecoderLayer,
        tokens: ActiveTokens,
        inputs: LayerInputs,
        selected_rows: Tensor | None,
    ) -> ActiveTokens:
        """As ever, once for each layer where the whole prompt goes on."""
        if selected_rows is not None or not self._is_whole(layer, tokens):
            return LayerRunner.advance(self, layer, tokens, inputs, selected_rows)
        if len(self._entered) == layer.index + 1:
            self._entered.append(LayerRunner.advance(self, layer, tokens, inputs, None))
        return self._entered[layer.index + 1]

    def _is_whole(self, layer: DecoderLayer, tokens: ActiveTokens) -> bool:
        return layer.index < len(self._entered) and tokens is self._entered[layer.index]
