"""The compressed KV cache: what was kept of each layer, and where the text goes on.

Two lengths that are not derived from each other: `length(layer)` counts the entries kept,
`next_position` is the true position of the next token in the text, which RoPE needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(slots=True)
class _Layer:
    """Storage of one layer with room at its end: (1, H_kv, allocated, D) and positions below."""

    key: Tensor
    value: Tensor
    positions: Tensor  # (H_kv, allocated), where in the text each entry stands
    length: int


@dataclass(slots=True)
class CompressedCache:
    """Keys and values per layer, stored only as far as they were kept.

    Args:
        room: entries to allocate behind the prompt's, for the tokens to come; it grows when short.
    """

    room: int = 0
    next_position: int = 0
    _layers: list[_Layer] = field(default_factory=list)

    def store(self, key: Tensor, value: Tensor, positions: Tensor, kept: Tensor | None) -> None:
        """Add the next layer.

        Args:
            key: (1, H_kv, T, D), rotated.
            value: as key.
            positions: (T,), where the T tokens stand in the text.
            kept: (H_kv, C), the rows to keep per KV head; None keeps all.
        """
        num_kv_heads, num_tokens, head_dim = key.shape[1:]
        count = num_tokens if kept is None else kept.shape[1]
        layer = _allocate(key, positions, count + self.room)
        layer.length = count
        if kept is None:
            layer.key[:, :, :count] = key
            layer.value[:, :, :count] = value
            layer.positions[:, :count] = positions
        else:
            rows = kept[None, :, :, None].expand(1, num_kv_heads, count, head_dim)
            torch.gather(key, 2, rows, out=layer.key[:, :, :count])
            torch.gather(value, 2, rows, out=layer.value[:, :, :count])
            layer.positions[:, :count] = positions[kept]
        self._layers.append(layer)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write one token's K and V, (1, H_kv, 1, D), in place; gives all of the layer's."""
        stored = self._layers[layer]
        if stored.length == stored.key.shape[2]:
            stored = self._layers[layer] = _grown(stored)
        stored.key[:, :, stored.length] = key[:, :, 0]
        stored.value[:, :, stored.length] = value[:, :, 0]
        stored.positions[:, stored.length] = self.next_position
        stored.length += 1
        return self.keys(layer), self.values(layer)

    def keys(self, layer: int) -> Tensor:
        """(1, H_kv, length, D)."""
        return self._layers[layer].key[:, :, : self._layers[layer].length]

    def values(self, layer: int) -> Tensor:
        """(1, H_kv, length, D)."""
        return self._layers[layer].value[:, :, : self._layers[layer].length]

    def positions(self, layer: int) -> Tensor:
        """(H_kv, length), where in the text each entry stands, ascending."""
        return self._layers[layer].positions[:, : self._layers[layer].length]

    def length(self, layer: int) -> int:
        """Entries kept in a layer, of each KV head."""
        return self._layers[layer].length

    @property
    def lengths(self) -> list[list[int]]:
        """Entries kept, per layer and KV head."""
        return [[layer.length] * layer.key.shape[1] for layer in self._layers]

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values held (without the room for tokens to come)."""
        held = ((self.keys(i), self.values(i)) for i in range(len(self._layers)))
        return sum(t.numel() * t.element_size() for pair in held for t in pair)


def _allocate(like: Tensor, positions: Tensor, count: int) -> _Layer:
    batch, num_kv_heads, _, head_dim = like.shape
    return _Layer(
        key=like.new_empty(batch, num_kv_heads, count, head_dim),
        value=like.new_empty(batch, num_kv_heads, count, head_dim),
        positions=positions.new_empty(num_kv_heads, count),
        length=0,
    )


def _grown(layer: _Layer) -> _Layer:
    """The same entries in storage twice as long."""
    grown = _allocate(layer.key, layer.positions, 2 * layer.length + 16)
    grown.length = layer.length
    grown.key[:, :, : layer.length] = layer.key
    grown.value[:, :, : layer.length] = layer.value
    grown.positions[:, : layer.length] = layer.positions
    return grown
