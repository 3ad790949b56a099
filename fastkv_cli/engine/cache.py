"""The compressed KV cache: the kept entries of each layer, and the next token's position.

Two lengths that are not derived from each other: the length of a layer counts its entries, and
`next_position` is the true position of the next token in the text, which RoPE needs.

Memory shrinks with the entries that are dropped: where the heads of a layer keep different numbers
of entries, each head has its own storage, no larger than it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(slots=True)
class HeadGroup:
    """Heads of a layer with the same number of entries, with free slots at the end.

    Attributes:
        key: (1, heads, allocated, D).
        value: as key.
        kept_positions: (heads, kept), positions in the text of the entries kept by prefill.
        length: number of entries, those kept by prefill and those appended since.
        appended_from: position in the text of the first appended entry.
    """

    key: Tensor
    value: Tensor
    kept_positions: Tensor
    length: int
    appended_from: int = 0

    @property
    def keys(self) -> Tensor:
        """(1, heads, length, D)."""
        return self.key.narrow(2, 0, self.length)

    @property
    def values(self) -> Tensor:
        """(1, heads, length, D)."""
        return self.value.narrow(2, 0, self.length)

    @property
    def positions(self) -> Tensor:
        """(heads, length), the position of each entry in the text, ascending."""
        return self.positions_up_to(self.length)

    def positions_up_to(self, count: int) -> Tensor:
        """(heads, count), the positions of the first `count` entries, appended yet or not."""
        heads, kept = self.kept_positions.shape
        appended = torch.arange(count - kept, device=self.key.device) + self.appended_from
        return torch.cat((self.kept_positions, appended.expand(heads, -1)), dim=1)

    @property
    def num_heads(self) -> int:
        return self.key.shape[1]

    def append(self, key: Tensor, value: Tensor, position: int) -> None:
        """Append T tokens' K and V, (1, H, T, D), the first at `position`; grow when full."""
        count = key.shape[2]
        slot = self.claim(count, position)
        self.key.narrow(2, slot, count).copy_(key)
        self.value.narrow(2, slot, count).copy_(value)

    def claim(self, count: int, position: int) -> int:
        """Count the next `count` slots as entries, the first at `position`; returns its index."""
        slot = self.length
        if slot == self.kept_positions.shape[1]:
            self.appended_from = position
        if slot + count > self.key.shape[2]:
            self._grow(2 * (slot + count) + 16)
        self.length += count
        return slot

    def _grow(self, count: int) -> None:
        more = count - self.key.shape[2]
        self.key = torch.nn.functional.pad(self.key, (0, 0, 0, more))
        self.value = torch.nn.functional.pad(self.value, (0, 0, 0, more))


@dataclass(slots=True)
class CompressedCache:
    """The kept keys and values of each layer.

    Args:
        room: slots to allocate after the prompt's entries, for decoded tokens; grows when full.
        text_length: the most tokens of the text, prompt and answer.
    """

    room: int = 0
    text_length: int = 0
    next_position: int = 0
    _layers: list[list[HeadGroup]] = field(default_factory=list)

    def store(
        self, key: Tensor, value: Tensor, positions: Tensor, kept: Tensor | list[Tensor] | None
    ) -> None:
        """Add the next layer.

        Args:
            key: (1, H_kv, T, D), rotated; padding may follow the T rows.
            value: as key.
            positions: (T,), positions of the T tokens in the text.
            kept: the rows to keep of each head, (heads, C), or a list with one tensor (C_head,) for
                each head; None keeps all. With more heads than H_kv, each head gets its own copy of
                its group's K and V.
        """
        num_kv_heads, num_tokens = key.shape[1], positions.shape[0]
        if kept is None:
            every = torch.arange(num_tokens, device=key.device)
            kept = every.expand(num_kv_heads, -1)
        copies = len(kept) // num_kv_heads
        sources = [head // copies for head in range(len(kept))]
        if isinstance(kept, Tensor):
            group = self._group(key, value, positions, kept, sources)
            self._layers.append([group])
        else:
            self._layers.append(
                [
                    self._group(key, value, positions, rows.unsqueeze(0), [source])
                    for rows, source in zip(kept, sources, strict=True)
                ]
            )

    def append(self, layer: int, key: Tensor, value: Tensor) -> list[HeadGroup]:
        """Append T tokens' K and V, (1, H_kv, T, D); returns the layer's groups."""
        for group, group_key, group_value in self.split(layer, key, value):
            group.append(group_key, group_value, self.next_position)
        return self._layers[layer]

    def split(
        self, layer: int, key: Tensor, value: Tensor
    ) -> list[tuple[HeadGroup, Tensor, Tensor]]:
        """Split new K and V, (1, H_kv, T, D), by the layer's groups of heads."""
        groups = self._layers[layer]
        counts = [group.num_heads for group in groups]
        copies = sum(counts) // key.shape[1]
        if copies > 1:
            key, value = (t.repeat_interleave(copies, dim=1) for t in (key, value))
        if len(groups) == 1:
            return [(groups[0], key, value)]
        return list(
            zip(
                groups,
                torch.split(key, counts, dim=1),
                torch.split(value, counts, dim=1),
                strict=True,
            )
        )

    @property
    def num_free(self) -> int:
        """Tokens that can be appended before a layer has to grow."""
        return min(group.key.shape[2] - group.length for group in self._all_groups())

    def zero_free_slots(self) -> None:
        """Set the free slots to 0, for attention that multiplies them by weights of 0.

        Uninitialized memory may hold NaN, and 0 · NaN is NaN.
        """
        for group in self._all_groups():
            group.key[:, :, group.length :] = 0
            group.value[:, :, group.length :] = 0

    def advance(self) -> None:
        """Count one token whose K and V are already written to the next slot of every layer."""
        for group in self._all_groups():
            group.claim(1, self.next_position)
        self.next_position += 1

    def drop_last(self, num_tokens: int) -> None:
        """Remove the last tokens of the text from every layer."""
        for group in self._all_groups():
            group.length -= num_tokens
        self.next_position -= num_tokens

    def groups(self, layer: int) -> list[HeadGroup]:
        """The layer's groups of heads: one where all heads keep equally many entries."""
        return self._layers[layer]

    def positions(self, layer: int) -> list[Tensor]:
        """For each head (length,), the positions of its entries in the text, ascending."""
        return [row for group in self._layers[layer] for row in group.positions]

    def length(self, layer: int) -> float:
        """Entries in a layer, averaged over its heads."""
        lengths = self.lengths[layer]
        return sum(lengths) / len(lengths)

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    @property
    def lengths(self) -> list[list[int]]:
        """Entries kept, per layer and head."""
        return [
            [group.length for group in groups for _ in range(group.num_heads)]
            for groups in self._layers
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values, without the free slots."""
        return sum(
            tensor.numel() * tensor.element_size()
            for group in self._all_groups()
            for tensor in (group.keys, group.values)
        )

    def _all_groups(self) -> Iterator[HeadGroup]:
        for groups in self._layers:
            yield from groups

    def _group(
        self, key: Tensor, value: Tensor, positions: Tensor, rows: Tensor, sources: list[int]
    ) -> HeadGroup:
        """Copy rows (heads, C) of the source heads into storage with `room` free slots."""
        heads, count = rows.shape
        head_dim = key.shape[3]
        stored = HeadGroup(
            key=key.new_empty(1, heads, count + self.room, head_dim),
            value=key.new_empty(1, heads, count + self.room, head_dim),
            kept_positions=positions[rows],
            length=count,
        )
        for head, source in enumerate(sources):
            torch.index_select(key[0, source], 0, rows[head], out=stored.key[0, head, :count])
            torch.index_select(value[0, source], 0, rows[head], out=stored.value[0, head, :count])
        return stored
