"""Decoding on a GPU: one step captured as a CUDA graph and replayed for every token.

A step launches more than a thousand small kernels, and Python takes several times as long to launch
them as the GPU to run them. Captured, they are launched as one. A graph refers to its tensors by
address and size, so attention covers all allocated slots of the cache and masks the free ones.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..cache import CompressedCache
from ..cache_entries import HeadGroup
from ..decode import DecodingModel, Step, attend_groups, extend
from ..model.decoder import Decoder
from ..model.decoder_layer import DecoderLayer
from ..model.rope import RopeTable
from .lookup import attend_allocated, attend_written, has_flash


def choose_step(model: DecodingModel, cache: CompressedCache, *, records: bool = True) -> Step:
    """The function that decodes one token: its id → the next logits, (vocabulary,) float32.

    It appends the token to the cache. The logits are overwritten by the next step. Without
    `records`, other functions may append tokens between two steps.
    """
    if records and isinstance(model, Decoder) and model.device.type == "cuda" and model.is_static:
        return RecordedStep(model, cache)
    return functools.partial(_step, model, cache)


def _step(model: DecodingModel, cache: CompressedCache, token_id: int) -> Tensor:
    return extend(model, cache, [token_id])[-1]


@dataclass(slots=True)
class RecordedStep:
    """Decodes tokens one by one, the first without a graph and the others by replaying one."""

    decoder: Decoder
    cache: CompressedCache
    _inputs: GraphInputs | None = None
    _graph: torch.cuda.CUDAGraph = field(default_factory=torch.cuda.CUDAGraph)
    _logits: Tensor = field(default_factory=lambda: torch.empty(0))
    _is_warm: bool = False

    @torch.inference_mode()
    def __call__(self, token_id: int) -> Tensor:
        """See `choose_step`."""
        if not self._is_warm or self.cache.num_free == 0:
            # Kernels are loaded on first use, which cannot be captured; and a cache that grows is
            # moved to new addresses.
            self._is_warm, self._inputs = True, None
            return _step(self.decoder, self.cache, token_id)
        if self._inputs is None:
            self._inputs = GraphInputs.of(self.decoder, self.cache)
            self._graph, device = torch.cuda.CUDAGraph(), self.decoder.device
            capture = torch.cuda.graph(self._graph, stream=_capture_stream(device))
            with torch.cuda.device(device), capture:
                self._logits = decode_in_place(self.decoder, self.cache, self._inputs)
        self._inputs.set(token_id, self.cache)
        self._graph.replay()
        self.cache.advance()
        return self._logits


@functools.cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """The CUDA stream on which a GPU's graphs are captured.

    Torch's default stream would capture the first GPU's work. All graphs of a GPU share one stream,
    as CUDA's libraries allocate memory for every stream that they meet.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class GraphInputs:
    """The inputs of a captured step, in tensors that its graph refers to.

    Attributes:
        token_id: (1,), the token to decode.
        num_decoded: (1,), tokens decoded since the capture.
        one: (1,), the number of queries.
        ropes: rotary embeddings of all positions that the cache has free slots for.
        first_position: position of the first token that the graph decodes.
    """

    token_id: Tensor
    num_decoded: Tensor
    one: Tensor
    ropes: RopeTable
    first_position: int

    @classmethod
    def of(cls, decoder: Decoder, cache: CompressedCache) -> GraphInputs:
        """Inputs for graphs that start at the cache's next position."""
        cache.zero_free_slots()
        first = cache.next_position
        positions = torch.arange(first, first + cache.num_free, device=decoder.device)
        return cls(
            token_id=torch.zeros(1, dtype=torch.long, device=decoder.device),
            num_decoded=torch.zeros(1, dtype=torch.long, device=decoder.device),
            one=torch.ones(1, dtype=torch.long, device=decoder.device),
            ropes=decoder.ropes(positions),
            first_position=first,
        )

    def set(self, token_id: int, cache: CompressedCache) -> None:
        """Set the token to decode."""
        self.token_id.fill_(token_id)
        self.num_decoded.fill_(cache.next_position - self.first_position)

    def bounds(self, group: HeadGroup) -> Tensor:
        """Bounds of the query and of the written entries, (2, 2) int32 (see `attend_written`)."""
        ends = torch.stack((self.one, group.length + self.num_decoded + self.one))
        return torch.cat((torch.zeros_like(ends), ends), dim=1).int()

    def masked(self, group: HeadGroup, sliding_window: int | None) -> Tensor:
        """(heads | 1, allocated), True for slots after the token's and outside its window."""
        entries = torch.arange(group.key.shape[2], device=group.key.device)
        unwritten = (entries > group.length + self.num_decoded).unsqueeze(0)
        if sliding_window is None:
            return unwritten
        oldest = self.first_position + self.num_decoded - sliding_window + 1
        return unwritten | (group.positions_up_to(group.key.shape[2]) < oldest)


def decode_in_place(decoder: Decoder, cache: CompressedCache, inputs: GraphInputs) -> Tensor:
    """Decode the token of these inputs: write its K and V to the next slot, return the logits.

    Recurrent states are updated; the cache's lengths are left unchanged.

    Returns:
        (vocabulary,) float32.
    """
    hidden = decoder.embed(inputs.token_id)
    ropes = inputs.ropes.at(inputs.num_decoded)
    bounds: dict[int, Tensor] = {}  # shared, as most groups have the same length

    def attend(layer: DecoderLayer, query: Tensor, group: HeadGroup, heads: slice) -> Tensor:
        operands = query, group.key, group.value, layer.scaling
        sinks = None if layer.sinks is None else layer.sinks[heads]
        if layer.sliding_window is not None or sinks is not None or not has_flash(query):
            return attend_allocated(*operands, inputs.masked(group, layer.sliding_window), sinks)
        if group.length not in bounds:
            bounds[group.length] = inputs.bounds(group)
        return attend_written(*operands, bounds[group.length])

    for layer in decoder.layers:
        if layer.is_recurrent:
            hidden, state = layer.extend(hidden, cache.state(layer.index))
            cache.update_state(layer.index, state)
            continue
        query, *new = layer.project(hidden, ropes)
        for group, key, value in cache.split(layer.index, *new):
            slot = group.length + inputs.num_decoded
            group.key.index_copy_(2, slot, key)
            group.value.index_copy_(2, slot, value)
        attended = attend_groups(query, cache.groups(layer.index), functools.partial(attend, layer))
        hidden = layer.finish(hidden, attended)
    return decoder.logits(decoder.normalize(hidden))[-1]
