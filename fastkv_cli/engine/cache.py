"""The compressed KV cache: the kept entries of each layer, and the next token's position.

Two lengths that are not derived from each other: the length of a layer counts its entries, and
`next_position` is the true position of the next token in the text, which RoPE needs.

A layer with a sliding window holds its window, and drops what has left it while decoding goes on.

Memory shrinks with the entries that are dropped: where the heads of a layer keep different numbers
of entries, each head has its own storage, no larger than it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .cache_entries import HeadGroup, RecurrentState
from .huge_pages import HugePages
from .int8_entries import Int8Group


@dataclass(slots=True)
class CompressedCache:
    """The kept keys and values of each layer, or its recurrent state.

    Args:
        room: decoded tokens to allocate slots for after the prompt's entries; grows when full.
            Where attention covers free slots, too, there are at most as many as 128 or an eighth of
            the entries, whichever is more.
        text_length: the most tokens of the text, prompt and answer.
        dtype: number format of the entries: None is that of the model; with int8, layers with a
            sliding window keep the model's.
    """

    room: int = 0
    text_length: int = 0
    dtype: torch.dtype | None = None
    next_position: int = 0
    _layers: list[list[HeadGroup]] = field(default_factory=list)
    _states: dict[int, RecurrentState] = field(default_factory=dict)
    _pages: HugePages = field(default_factory=HugePages)

    def store(
        self,
        key: Tensor,
        value: Tensor,
        positions: Tensor,
        kept: Tensor | list[Tensor] | None,
        window: int | None = None,
    ) -> None:
        """Add the next layer.

        Args:
            key: (1, H_kv, T, D), rotated; padding may follow the T rows.
            value: as key.
            positions: (T,), positions of the T tokens in the text.
            kept: the rows to keep of each head, (heads, C), or a list with one tensor (C_head,) for
                each head; None keeps all, or the last `window`. With more heads than H_kv, each
                head gets its own copy of its group's K and V.
            window: tokens that a query of this layer attends to, including itself; None means all.
        """
        num_kv_heads, num_tokens = key.shape[1], positions.shape[0]
        is_consecutive = False
        if kept is None:
            first = 0 if window is None else max(num_tokens - window, 0)
            every = torch.arange(first, num_tokens, device=key.device)
            kept = every.expand(num_kv_heads, -1)
            if window is not None:
                is_consecutive = int(positions[-1] - positions[first]) == num_tokens - 1 - first
        copies = len(kept) // num_kv_heads
        sources = [head // copies for head in range(len(kept))]
        if isinstance(kept, Tensor):
            groups = [self._group(key, value, positions, kept, sources, window)]
        else:
            groups = [
                self._group(key, value, positions, rows.unsqueeze(0), [source], window)
                for rows, source in zip(kept, sources, strict=True)
            ]
        groups[0].is_consecutive = is_consecutive
        self._layers.append(groups)

    def store_state(self, state: RecurrentState) -> None:
        """Add the next layer, one with a state in place of keys and values; it is copied."""
        copies = (None if part is None else part.clone() for part in state)
        self._states[len(self._layers)] = RecurrentState._make(copies)
        self._layers.append([])

    def state(self, layer: int) -> RecurrentState:
        """The state of a layer that has one."""
        return self._states[layer]

    def update_state(self, layer: int, state: RecurrentState) -> None:
        """Overwrite the state of a layer by that after further tokens.

        In place, as a captured graph refers to its address.
        """
        for held, new in zip(self._states[layer], state, strict=True):
            if held is not None and new is not None:
                held.copy_(new)

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

    @property
    def can_drop(self) -> bool:
        """Whether tokens can be removed again: they cannot from a recurrent state."""
        return not self._states

    def drop_last(self, num_tokens: int) -> None:
        """Remove the last tokens of the text from every layer.

        Only tokens that were appended by one call: after those of several, entries may have left a
        sliding window that the removed tokens' predecessors attend to.

        Raises:
            ValueError: when a layer has a recurrent state, from which no token can be removed.
        """
        if not self.can_drop:
            raise ValueError("no token can be removed from a recurrent state")
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
        """Entries in a layer, averaged over its heads; 0 in a layer with a recurrent state."""
        lengths = self.lengths[layer]
        return sum(lengths) / max(len(lengths), 1)

    @property
    def num_layers(self) -> int:
        return len(self._layers)

    @property
    def lengths(self) -> list[list[int]]:
        """Entries kept, per layer and head; a layer with a recurrent state has no heads."""
        return [
            [group.length for group in groups for _ in range(group.num_heads)]
            for groups in self._layers
        ]

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values, without the free slots and recurrent states."""
        return sum(group.nbytes for group in self._all_groups())

    def _all_groups(self) -> Iterator[HeadGroup]:
        for groups in self._layers:
            yield from groups

    def _group(
        self,
        key: Tensor,
        value: Tensor,
        positions: Tensor,
        rows: Tensor,
        sources: list[int],
        window: int | None,
    ) -> HeadGroup:
        """Copy rows (heads, C) of the source heads into storage with free slots."""
        kept_positions = positions[rows]
        if self.dtype is torch.int8 and window is None:
            every = torch.tensor(sources, device=key.device).unsqueeze(1)
            key, value = key[:, every, rows], value[:, every, rows]
            return Int8Group.quantize(key, value, kept_positions, self.room, self._pages)
        dtype = key.dtype if self.dtype is None or self.dtype is torch.int8 else self.dtype
        like = key.new_empty((0, key.shape[3]), dtype=dtype)  # only kept rows are converted
        group = HeadGroup.allocate(like, kept_positions, self.room, window, self._pages)
        for head, source in enumerate(sources):
            group.keys[0, head] = key[0, source].index_select(0, rows[head])
            group.values[0, head] = value[0, source].index_select(0, rows[head])
        return group
