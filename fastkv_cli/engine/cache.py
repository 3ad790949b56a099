"""The compressed KV cache: what was kept of each layer, and where the text goes on.

Two lengths that are not derived from each other: a layer's entries are counted, `next_position` is
the true position of the next token in the text, which RoPE needs.

Memory shrinks with what is kept: where the heads of a layer keep differently many entries, each
has storage of its own, exactly as long as it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(slots=True)
class HeadGroup:
    """Heads of a layer with the same number of entries, and room for more at the end.

    Attributes:
        key: (1, heads, allocated, D).
        value: as key.
        kept_positions: (heads, kept), where in the text the entries stand that prefill left.
        length: entries held, those of prefill and the appended ones.
        appended_from: where in the text the first appended entry stands.
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
        """(heads, length), where in the text each entry stands, ascending."""
        return self.positions_up_to(self.length)

    def positions_up_to(self, count: int) -> Tensor:
        """(heads, count), where the entries stand, those to come as well."""
        heads, kept = self.kept_positions.shape
        appended = torch.arange(count - kept, device=self.key.device) + self.appended_from
        return torch.cat((self.kept_positions, appended.expand(heads, -1)), dim=1)

    @property
    def num_heads(self) -> int:
        """Heads of this group."""
        return self.key.shape[1]

    def append(self, key: Tensor, value: Tensor, position: int) -> None:
        """Write T tokens' K and V, (1, H, T, D), the first at a position; grow where needed."""
        count = key.shape[2]
        slot = self.extend(count, position)
        self.key.narrow(2, slot, count).copy_(key)
        self.value.narrow(2, slot, count).copy_(value)

    def extend(self, count: int, position: int) -> int:
        """Take up entries that are to be written, the first of a position; gives its index."""
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
    """Keys and values per layer, stored only as far as they were kept.

    Args:
        room: entries to allocate behind the prompt's, for the tokens to come; it grows when short.
        text_length: tokens that the text may come to.
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
            key: (1, H_kv, T, D), rotated; there may be padding behind the T rows.
            value: as key.
            positions: (T,), where the T tokens stand in the text.
            kept: the rows to keep of each head, (heads, C), or a list of as many tensors (C_head,);
                None keeps all. With more heads than H_kv, each has a copy of its group's K and V.
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
        """Write T new tokens' K and V, (1, H_kv, T, D); gives all that the layer holds."""
        for group, its_key, its_value in self.deal(layer, key, value):
            group.append(its_key, its_value, self.next_position)
        return self._layers[layer]

    def deal(
        self, layer: int, key: Tensor, value: Tensor
    ) -> list[tuple[HeadGroup, Tensor, Tensor]]:
        """Each group of a layer with its heads' share of new K and V, (1, H_kv, T, D)."""
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
    def left(self) -> int:
        """Tokens that every layer has room for without growing."""
        return min(group.key.shape[2] - group.length for group in self._all_groups())

    def clear_room(self) -> None:
        """Make what is not written yet 0, for readers that weigh it with 0."""
        for group in self._all_groups():
            group.key[:, :, group.length :] = 0
            group.value[:, :, group.length :] = 0

    def extend(self) -> None:
        """Take up one token whose K and V are written, in every layer."""
        for group in self._all_groups():
            group.extend(1, self.next_position)
        self.next_position += 1

    def drop_last(self, num_tokens: int) -> None:
        """Forget the newest tokens of the text, in every layer."""
        for group in self._all_groups():
            group.length -= num_tokens
        self.next_position -= num_tokens

    def groups(self, layer: int) -> list[HeadGroup]:
        """What a layer holds: one group where its heads keep equally many entries."""
        return self._layers[layer]

    def positions(self, layer: int) -> list[Tensor]:
        """Of each head (length,), where in the text its entries stand, ascending."""
        return [row for group in self._layers[layer] for row in group.positions]

    def length(self, layer: int) -> float:
        """Entries kept in a layer, of each head on average."""
        lengths = self.lengths[layer]
        return sum(lengths) / len(lengths)

    @property
    def lengths(self) -> list[list[int]]:
        """Entries kept, per layer and head."""
        return [
            [group.length for group in groups for _ in range(group.num_heads)]
            for groups in self._layers
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values held (without the room for tokens to come)."""
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
        """Copy rows (heads, C) of the source heads into storage with room behind them."""
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
