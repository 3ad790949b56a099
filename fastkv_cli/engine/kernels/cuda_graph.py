"""Decoding on a GPU: one step recorded as a CUDA graph, and played for every token.

A step is more than a thousand small pieces of work, and Python takes several times as long to hand
them to a GPU as the GPU to do them. Recorded, they are handed over as one. A recording knows its
tensors by their addresses and sizes, so attention looks at all the room that the cache has, with
what is not written yet out of sight.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..cache import CompressedCache, HeadGroup
from ..decode import DecodingModel, Step, attend_groups, extend
from ..model.decoder import Decoder
from ..model.rope import RopeTable
from .lookup import attend_room, attend_written, has_flash


def choose_step(model: DecodingModel, cache: CompressedCache) -> Step:
    """What reads one more token: its id → the logits behind it, (vocabulary,) float32.

    The cache holds the token then. The logits are overwritten by the next step.
    """
    if isinstance(model, Decoder) and model.device.type == "cuda" and model.rope_is_fixed:
        return RecordedStep(model, cache)
    return functools.partial(_step, model, cache)


def _step(model: DecodingModel, cache: CompressedCache, token_id: int) -> Tensor:
    return extend(model, cache, [token_id])[-1]


@dataclass(slots=True)
class RecordedStep:
    """Reads tokens one by one, the first as ever and the others from a recording."""

    decoder: Decoder
    cache: CompressedCache
    _inputs: GraphInputs | None = None
    _graph: torch.cuda.CUDAGraph = field(default_factory=torch.cuda.CUDAGraph)
    _logits: Tensor = field(default_factory=lambda: torch.empty(0))
    _is_warm: bool = False

    @torch.inference_mode()
    def __call__(self, token_id: int) -> Tensor:
        """See `choose_step`."""
        if not self._is_warm or self.cache.left == 0:
            # Kernels are loaded as they are first met, which cannot be recorded; and where the
            # cache has to grow, it moves.
            self._is_warm, self._inputs = True, None
            return _step(self.decoder, self.cache, token_id)
        if self._inputs is None:
            self._inputs = GraphInputs.of(self.decoder, self.cache)
            self._graph, device = torch.cuda.CUDAGraph(), self.decoder.device
            recording = torch.cuda.graph(self._graph, stream=_stream_of(device))
            with torch.cuda.device(device), recording:
                self._logits = decode_in_place(self.decoder, self.cache, self._inputs)
        self._inputs.set(token_id, self.cache)
        self._graph.replay()
        self.cache.extend()
        return self._logits


@functools.cache
def _stream_of(device: torch.device) -> torch.cuda.Stream:
    """Where recordings of a GPU are made: left to itself torch would record the first one's work.

    One for all of them, as CUDA's libraries keep memory for every stream that they meet.
    """
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class GraphInputs:
    """Where decoding is, in tensors that a recording looks at.

    Attributes:
        token_id: (1,), to be read.
        number: (1,), tokens that were read since the recording.
        one: (1,), the number of queries.
        ropes: of all positions that there is room for.
        first_position: of the first token that is read from the recording.
    """

    token_id: Tensor
    number: Tensor
    one: Tensor
    ropes: RopeTable
    first_position: int

    @classmethod
    def of(cls, decoder: Decoder, cache: CompressedCache) -> GraphInputs:
        """From here on."""
        cache.clear_room()
        first = cache.next_position
        positions = torch.arange(first, first + cache.left, device=decoder.device)
        return cls(
            token_id=torch.zeros(1, dtype=torch.long, device=decoder.device),
            number=torch.zeros(1, dtype=torch.long, device=decoder.device),
            one=torch.ones(1, dtype=torch.long, device=decoder.device),
            ropes=decoder.ropes(positions),
            first_position=first,
        )

    def set(self, token_id: int, cache: CompressedCache) -> None:
        """A token is to be read."""
        self.token_id.fill_(token_id)
        self.number.fill_(cache.next_position - self.first_position)

    def bounds(self, group: HeadGroup) -> Tensor:
        """Of the query, and of the entries up to the token's: (2, 2) int32 (see lookup.py)."""
        ends = torch.stack((self.one, group.length + self.number + self.one))
        return torch.cat((torch.zeros_like(ends), ends), dim=1).int()

    def unseen(self, group: HeadGroup, sliding_window: int | None) -> Tensor:
        """True for entries behind the token's, and for those that its window has passed.

        (heads | 1, room).
        """
        entries = torch.arange(group.key.shape[2], device=group.key.device)
        unwritten = (entries > group.length + self.number).unsqueeze(0)
        if sliding_window is None:
            return unwritten
        oldest = self.first_position + self.number - sliding_window + 1
        return unwritten | (group.positions_up_to(group.key.shape[2]) < oldest)


def decode_in_place(decoder: Decoder, cache: CompressedCache, inputs: GraphInputs) -> Tensor:
    """Decode the token of these inputs: write its K and V into the cache's room, give the logits.

    What the cache says of its lengths stays as it is.

    Returns:
        (vocabulary,) float32.
    """
    hidden = decoder.embed(inputs.token_id)
    ropes = inputs.ropes.at(inputs.number)
    bounds: dict[int, Tensor] = {}  # most groups are of the same length

    def attend(query: Tensor, group: HeadGroup) -> Tensor:
        seen = query, group.key, group.value, layer.scaling
        if layer.sliding_window is not None or not has_flash(query):
            return attend_room(*seen, inputs.unseen(group, layer.sliding_window))
        if group.length not in bounds:
            bounds[group.length] = inputs.bounds(group)
        return attend_written(*seen, bounds[group.length])

    for layer in decoder.layers:
        query, *fresh = layer.project(hidden, ropes)
        for group, key, value in cache.deal(layer.index, *fresh):
            slot = group.length + inputs.number
            group.key.index_copy_(2, slot, key)
            group.value.index_copy_(2, slot, value)
        attended = attend_groups(query, cache.groups(layer.index), attend)
        hidden = layer.finish(hidden, attended)
    return decoder.logits(decoder.normalize(hidden))[-1]
