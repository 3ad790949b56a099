"""Cache entries in 8 bits: half the memory, and half the bytes to read for each token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .cache_entries import HeadGroup, attention_slots
from .huge_pages import HugePages
from .kernels.int8_attention import attend_levels, write_levels
from .kernels.int8_product import multiplies_int8

_SMALLEST = 1e-30  # a scale of keys that are all 0


@dataclass(slots=True, kw_only=True)
class Int8Group(HeadGroup):
    """A `HeadGroup` without a window, whose `key` and `value` are levels from −127 to 127.

    A key is level · scale of its channel · its own scale. The channels' scales are the prompt's
    kept entries at their largest; with each key's own scale they are as exact as scales for each
    channel of every 64 keys, which a product of 8-bit numbers cannot apply. An appended key that is
    k times larger in one channel is k times coarser in all others, so no channel's scale is below a
    quarter of the head's median one. (A share of the largest would coarsen all channels beside one
    outlier: with one of 100 times the others, 1/16 doubles the error.) A value is level · its own
    scale.

    Attributes:
        key: (1, heads, allocated, D) int8, contiguous.
        value: (1, heads, allocated, D) int8, stored as (heads, D, allocated).
        channels: (heads, 1, D) float32.
        key_scales: (heads, 1, allocated) float32.
        value_scales: as key_scales.
        dtype: of the entries that come and go.
    """

    channels: Tensor
    key_scales: Tensor
    value_scales: Tensor
    dtype: torch.dtype

    @classmethod
    def quantize(
        cls, key: Tensor, value: Tensor, kept_positions: Tensor, room: int, pages: HugePages
    ) -> Int8Group:
        """Quantize kept entries, K and V (1, heads, kept, D); see `HeadGroup.allocate`."""
        heads, count = kept_positions.shape
        num_slots = attention_slots(count, room)
        levels, scales = _allocate(heads, num_slots, key.shape[3], pages)
        channels = key[0].float().abs().amax(dim=1, keepdim=True)
        usual = channels.median(dim=-1, keepdim=True).values
        channels.clamp_(min=usual.div_(4).clamp_(min=_SMALLEST))
        group = cls(
            *levels,
            kept_positions,
            0,
            channels=channels,
            key_scales=scales[0],
            value_scales=scales[1],
            dtype=key.dtype,
            pages=pages,
        )
        group._write(key, value, 0)
        group.length = count
        return group

    @property
    def can_attend(self) -> bool:
        """Whether `attend` computes from the levels, which needs VNNI."""
        return multiplies_int8()

    def attend(self, query: Tensor, scaling: float) -> Tensor:
        """Attention of the last T rows, (1, H, T, D), over all entries, where `can_attend`."""
        return attend_levels(query, *self.operands(), self.length, scaling)

    def operands(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Keys and values with their scales, as `attend_levels` takes them."""
        value = self.value[0].transpose(1, 2)
        return self.key[0], value, self.channels, self.key_scales, self.value_scales

    @property
    def keys(self) -> Tensor:
        """(1, heads, length, D), dequantized."""
        scales = self.key_scales[..., : self.length].transpose(1, 2) * self.channels
        return (self.key[:, :, : self.length] * scales).to(self.dtype)

    @property
    def values(self) -> Tensor:
        """(1, heads, length, D), dequantized."""
        scales = self.value_scales[..., : self.length].transpose(1, 2)
        return (self.value[:, :, : self.length] * scales).to(self.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the entries with their scales, without the free slots."""
        entries = self.key[:, :, : self.length], self.value[:, :, : self.length]
        scales = self.key_scales[..., : self.length], self.value_scales[..., : self.length]
        return sum(each.nbytes for each in (*entries, *scales, self.channels))

    def append(self, key: Tensor, value: Tensor, position: int) -> None:
        """Append T tokens' K and V, (1, H, T, D), the first at `position`; grow when full."""
        slot = self.claim(key.shape[2], position)
        self._write(key, value, slot)

    def _write(self, key: Tensor, value: Tensor, slot: int) -> None:
        """Quantize K and V, (1, heads, T, D), into the slots from this one on."""
        write_levels(key, value, *self.operands(), slot)

    def _grow(self, needed: int) -> None:
        """Move the entries to a larger allocation, of more than `needed` slots."""
        old = self.key, self.value, self.key_scales, self.value_scales
        num_slots = attention_slots(needed, needed)
        levels, scales = _allocate(self.num_heads, num_slots, self.key.shape[3], self.pages)
        self.key, self.value = levels
        self.key_scales, self.value_scales = scales
        for new, levels_before in zip(levels, old[:2], strict=True):
            new[:, :, : self.length] = levels_before[:, :, : self.length]
        for new, scales_before in zip(scales, old[2:], strict=True):
            new[..., : self.length] = scales_before[..., : self.length]


def _allocate(
    heads: int, num_slots: int, head_dim: int, pages: HugePages
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Levels of keys and values, and their scales, all 0."""
    key = pages.empty((1, heads, num_slots, head_dim), torch.int8).zero_()
    value = pages.empty((1, heads, head_dim, num_slots), torch.int8).zero_()
    scales = torch.zeros(2, heads, 1, num_slots)
    return (key, value.transpose(2, 3)), (scales[0], scales[1])
