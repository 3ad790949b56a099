"""The entries of a layer in the cache: K and V of a group of heads, or a recurrent state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from .huge_pages import HugePages
from .kernels.lookup import attend_slots, slots_by_channel

# Free slots of a layer with a sliding window: entries that have left the window are dropped once
# this many have, in one copy.
_SPARE = 256
# Free slots for tokens to come in layers whose attention covers them, too.
_FEW = 128
_ALIGNED = 64  # entries: products of a multiple of it are faster, and are set up once in as many


@dataclass(slots=True)
class HeadGroup:
    """Heads of a layer with the same number of entries, with free slots at the end.

    Attributes:
        key: (1, heads, allocated, D); stored as (heads, D, allocated) if `by_channel`.
        value: as key, always contiguous.
        kept_positions: (heads, kept), positions in the text of the entries kept by prefill.
        length: number of entries, those kept by prefill and those appended since.
        appended_from: position in the text of the first appended entry.
        window: entries that a query of the layer attends to, including its own; None means all.
        is_consecutive: whether the kept positions have no gaps.
        num_dropped: first entries that were dropped, as they had left the window.
        by_channel: whether keys are stored by channel, for `attend`.
        pages: memory of the cache that the group belongs to.
    """

    key: Tensor
    value: Tensor
    kept_positions: Tensor
    length: int
    appended_from: int = 0
    window: int | None = None
    is_consecutive: bool = False
    num_dropped: int = 0
    by_channel: bool = False
    pages: HugePages = field(default_factory=HugePages)

    @classmethod
    def allocate(
        cls,
        like: Tensor,
        kept_positions: Tensor,
        room: int,
        window: int | None,
        pages: HugePages,
    ) -> HeadGroup:
        """Allocate storage for kept entries, (heads, kept) positions, and `room` tokens to come.

        Args:
            like: (…, D), of the cache's device and dtype.
            kept_positions: see above.
            room: tokens that will probably be appended.
            window: see above.
            pages: allocates on the CPU.
        """
        heads, count = kept_positions.shape
        by_channel = window is None and slots_by_channel(like, heads, count)
        num_slots = count + (room if window is None else min(room, _SPARE))
        if by_channel:
            num_slots = attention_slots(count, room)
        key, value = _allocate(like, heads, num_slots, count, pages, by_channel=by_channel)
        return cls(
            *(key, value, kept_positions, count),
            window=window,
            by_channel=by_channel,
            pages=pages,
        )

    @property
    def can_attend(self) -> bool:
        """Whether `attend` has a kernel for these entries; else use `keys` and `values`."""
        return self.by_channel

    def attend(self, query: Tensor, scaling: float) -> Tensor:
        """Attention of the last T rows, (1, H, T, D), over all entries, where `can_attend`."""
        return attend_slots(query, self.key, self.value, self.length, scaling)

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
        appended = torch.arange(self.num_dropped + count - kept, device=self.key.device)
        appended += self.appended_from
        positions = torch.cat((self.kept_positions, appended.expand(heads, -1)), dim=1)
        return positions[:, self.num_dropped :]

    def first_visible(self, num_rows: int) -> int:
        """Entries before this one have left the window of each of the last `num_rows` entries."""
        return 0 if self.window is None else max(self.length - num_rows + 1 - self.window, 0)

    @property
    def num_heads(self) -> int:
        return self.key.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the entries, without the free slots."""
        return self.keys.nbytes + self.values.nbytes

    def append(self, key: Tensor, value: Tensor, position: int) -> None:
        """Append T tokens' K and V, (1, H, T, D), the first at `position`; grow when full."""
        count = key.shape[2]
        slot = self.claim(count, position)
        self.key.narrow(2, slot, count).copy_(key)
        self.value.narrow(2, slot, count).copy_(value)

    def claim(self, count: int, position: int) -> int:
        """Count the next `count` slots as entries, the first at `position`; returns its index.

        Where slots run out, a layer with a sliding window first drops what a single token at
        `position` and all later ones no longer attend to.
        """
        if self.num_dropped + self.length == self.kept_positions.shape[1]:
            self.appended_from = position
        needed = self.length + count
        if needed > self.key.shape[2] and (count > 1 or not self._drop_outside(position)):
            self._grow(needed)
        slot = self.length
        self.length += count
        return slot

    def _drop_outside(self, position: int) -> bool:
        """Drop the entries that have left the window at `position`, if they are worth a copy."""
        if self.window is None:
            return False
        outside = int((self.positions <= position - self.window).sum(dim=1).min())
        if outside < min(_SPARE, self.window):
            return False
        for tensor in (self.key, self.value):  # cloned, as the rows may overlap
            tensor[:, :, : self.length - outside] = tensor[:, :, outside : self.length].clone()
        self.length -= outside
        self.num_dropped += outside
        return True

    def _grow(self, needed: int) -> None:
        """Move the entries to a larger allocation, of more than `needed` slots."""
        num_slots = needed + (needed + 16 if self.window is None else _SPARE)
        if self.by_channel:
            num_slots = attention_slots(needed, needed)
        keys, values = self.keys, self.values
        self.key, self.value = _allocate(
            *(keys, self.num_heads, num_slots, self.length, self.pages),
            by_channel=self.by_channel,
        )
        self.keys.copy_(keys)
        self.values.copy_(values)


class RecurrentState(NamedTuple):
    """The state of a layer that mixes tokens by a convolution or a recurrence.

    Its size does not depend on the number of tokens.

    Attributes:
        inputs: (1, channels, K − 1), the last inputs of a convolution over K tokens.
        matrix: (1, heads, D_key, D_value) float32, the sum of a recurrence; None without one.
    """

    inputs: Tensor
    matrix: Tensor | None = None


def _allocate(
    like: Tensor, heads: int, num_slots: int, count: int, pages: HugePages, *, by_channel: bool
) -> tuple[Tensor, Tensor]:
    """Allocate K and V, (1, heads, num_slots, D), for `count` entries; free slots of V are finite.

    Attention that covers free slots gives them weights of 0, and 0 · NaN is NaN.
    """
    shape = 1, heads, num_slots, like.shape[-1]
    if like.device.type != "cpu":
        return like.new_empty(shape), like.new_empty(shape)
    key, value = pages.empty(shape, like.dtype), pages.empty(shape, like.dtype)
    if not by_channel:
        return key, value
    value[:, :, count:] = 0
    return key.view(1, heads, -1, num_slots).transpose(2, 3), value


def attention_slots(count: int, room: int) -> int:
    """Slots for `count` entries and `room` to come, where attention covers the free ones, too."""
    if room == 0:
        return count
    return -(-(count + min(room, max(_FEW, count // 8))) // _ALIGNED) * _ALIGNED
