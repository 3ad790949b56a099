"""Running a decoder's layers over the tokens of a prompt that are still on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import UsageError
from .attention import Causality, Kernel, attend
from .families import Decoder, DecoderLayer
from .rope import Rope

# Rows that pass through a layer at once: activations of the MLP stay this small however long the
# prompt is.
CHUNK_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Stream:
    """The tokens on their way through the layers: the hidden states, and where they stand.

    hidden (1, T, hidden) · positions (T,) in the text · rope for those positions.
    """

    hidden: Tensor
    positions: Tensor
    rope: Rope

    @property
    def num_tokens(self) -> int:
        """T."""
        return self.hidden.shape[1]


class Read(NamedTuple):
    """What a layer makes of every token it sees: (1, T, hidden), and (1, H_kv, T, D) twice."""

    normalized: Tensor
    key: Tensor
    value: Tensor


@dataclass(slots=True)
class LayerRunner:
    """Computes layers, `chunk_rows` tokens at a time; `on_done` is told of each that is done."""

    kernel: Kernel
    chunk_rows: int = CHUNK_ROWS
    on_done: Callable[[DecoderLayer], None] | None = None

    def __post_init__(self) -> None:
        if self.chunk_rows < 1:
            raise UsageError(f"chunk_rows {self.chunk_rows} is out of range", "it is 1 or more")

    def enter(self, decoder: Decoder, token_ids: Tensor) -> Stream:
        """Token ids (T,) at positions 0 to T − 1."""
        positions = torch.arange(token_ids.shape[0], device=decoder.device)
        return Stream(decoder.embed(token_ids), positions, decoder.rope(positions))

    def read(self, layer: DecoderLayer, stream: Stream) -> Read:
        """Normalized hidden states, K and V of all tokens that the layer sees."""
        normalized = torch.empty_like(stream.hidden)
        shape = (1, layer.num_kv_heads, stream.num_tokens, layer.head_dim)
        key, value = stream.hidden.new_empty(shape), stream.hidden.new_empty(shape)
        for rows in self._chunks(stream.num_tokens):
            normalized[:, rows] = layer.normalize(stream.hidden[:, rows])
            key[:, :, rows], value[:, :, rows] = layer.keys_values(
                normalized[:, rows], stream.rope.at(rows)
            )
        return Read(normalized, key, value)

    def advance(
        self, layer: DecoderLayer, stream: Stream, read: Read, going_on: Tensor | None
    ) -> Stream:
        """Attention and MLP, for the tokens that go on (row indices; None is all of them).

        K and V are needed of every token, the rest only of those that go on: choosing first and
        computing after gives the same result for less work.
        """
        normalized, key, value = read
        count = stream.num_tokens if going_on is None else going_on.shape[0]
        hidden = stream.hidden.new_empty(1, count, stream.hidden.shape[2])
        for chunk in self._chunks(count):
            rows = chunk if going_on is None else going_on[chunk]
            visible = chunk.stop if going_on is None else stream.num_tokens
            causality = Causality(
                positions=stream.positions[:visible],
                rows=None if going_on is None else going_on[chunk],
                sliding_window=layer.sliding_window,
            )
            attended = attend(
                layer.queries(normalized[:, rows], stream.rope.at(rows)),
                key[:, :, :visible],
                value[:, :, :visible],
                causality,
                layer.scaling,
                self.kernel,
            )
            hidden[:, chunk] = layer.finish(stream.hidden[:, rows], attended)
        if self.on_done is not None:
            self.on_done(layer)
        if going_on is None:
            return Stream(hidden, stream.positions, stream.rope)
        return Stream(hidden, stream.positions[going_on], stream.rope.at(going_on))

    def _chunks(self, count: int) -> Iterator[slice]:
        for start in range(0, count, self.chunk_rows):
            yield slice(start, min(start + self.chunk_rows, count))


@dataclass(slots=True)
class RecordingRunner(LayerRunner):
    """Remembers what it computed of one whole prompt, so that other methods need not do it again.

    Methods differ in what they choose from a layer, not in what the layer makes of all tokens. For
    evaluations: it holds every layer's hidden states, K and V.
    """

    _token_ids: Tensor | None = None
    _streams: list[Stream] = field(default_factory=list)  # what entered each layer
    _reads: dict[int, Read] = field(default_factory=dict)

    def enter(self, decoder: Decoder, token_ids: Tensor) -> Stream:
        """As ever; for the same prompt what was there before."""
        if self._token_ids is None:
            self._token_ids = token_ids
            self._streams = [LayerRunner.enter(self, decoder, token_ids)]
        if torch.equal(token_ids, self._token_ids):
            return self._streams[0]
        return LayerRunner.enter(self, decoder, token_ids)

    def read(self, layer: DecoderLayer, stream: Stream) -> Read:
        """As ever, once for each layer and the whole prompt."""
        if not self._is_whole(layer, stream):
            return LayerRunner.read(self, layer, stream)
        if layer.index not in self._reads:
            self._reads[layer.index] = LayerRunner.read(self, layer, stream)
        return self._reads[layer.index]

    def advance(
        self, layer: DecoderLayer, stream: Stream, read: Read, going_on: Tensor | None
    ) -> Stream:
        """As ever, once for each layer where the whole prompt goes on."""
        if going_on is not None or not self._is_whole(layer, stream):
            return LayerRunner.advance(self, layer, stream, read, going_on)
        if len(self._streams) == layer.index + 1:
            self._streams.append(LayerRunner.advance(self, layer, stream, read, None))
        return self._streams[layer.index + 1]

    def _is_whole(self, layer: DecoderLayer, stream: Stream) -> bool:
        return layer.index < len(self._streams) and stream is self._streams[layer.index]
