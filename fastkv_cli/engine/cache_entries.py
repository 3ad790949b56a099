"""The entries of a layer in the cache: K and V of a group of heads, or a recurrent state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# Free slots of a layer with a sliding window: entries that have left the window are dropped once
# this many have, in one copy.
_SPARE = 256


@dataclass(slots=True)
class HeadGroup:
    """Heads of a layer with the same number of entries, with free slots at the end.

    Attributes:
        key: (1, heads, allocated, D).
        value: as key.
        kept_positions: (heads, kept), positions in the text of the entries kept by prefill.
        length: number of entries, those kept by prefill and those appended since.
        appended_from: position in the text of the first appended entry.
        window: entries that a query of the layer attends to, including its own; None means all.
        is_consecutive: whether the kept positions have no gaps.
        num_dropped: first entries that were dropped, as they had left the window.
    """

    key: Tensor
    value: Tensor
    kept_positions: Tensor
    length: int
    appended_from: int = 0
    window: int | None = None
    is_consecutive: bool = False
    num_dropped: int = 0

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
            self._grow(2 * needed + 16 if self.window is None else needed + _SPARE)
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

    def _grow(self, count: int) -> None:
        more = count - self.key.shape[2]
        self.key = torch.nn.functional.pad(self.key, (0, 0, 0, more))
        self.value = torch.nn.functional.pad(self.value, (0, 0, 0, more))


class RecurrentState(NamedTuple):
    """The state of a layer that mixes tokens by a convolution or a recurrence.

    Its size does not depend on the number of tokens.

    Attributes:
        inputs: (1, channels, K − 1), the last inputs of a convolution over K tokens.
        matrix: (1, heads, D_key, D_value) float32, the sum of a recurrence; None without one.
    """

    inputs: Tensor
    matrix: Tensor | None = None


def free_slots(room: int, window: int | None) -> int:
    """Slots to allocate behind a layer's entries for `room` tokens to come."""
    return room if window is None else min(room, _SPARE)
