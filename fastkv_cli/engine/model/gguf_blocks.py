"""GGUF's block types: how the bytes of a tensor become weights.

A quantized tensor is a row of blocks; each holds small integers, the levels, and factors for groups
of them: weight = level · scale + offset. `BlockType.levels` separates the three without loss, in
a few vectorized operations; unpacking and packing for decoding both start from them.
Formats: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ...models.gguf_header import FOUR_BIT_KINDS, PAIRED_MXFP4

# Weights unpacked at once: enough to outweigh the calls, few enough for the processor's caches.
_CHUNK_WEIGHTS = 2**21


class Levels(NamedTuple):
    """Quantized weights as level · scale + offset, in groups.

    Attributes:
        levels: (groups, size) uint8 or int8.
        scales: (groups, 1) float32.
        offsets: (groups, 1) float32; None means 0.
    """

    levels: Tensor
    scales: Tensor
    offsets: Tensor | None


@dataclass(frozen=True, slots=True)
class BlockType:
    """A type of GGUF tensor.

    Attributes:
        name: llama.cpp's name, such as `Q4_K`.
        block_weights: weights in a block.
        block_bytes: bytes of a block.
        split: blocks (n, block_bytes) → their levels; None for plain numbers.
        dtype: the number format of plain numbers; None for blocks.
        lowest: the least level.
        highest: the greatest level.
    """

    name: str
    block_weights: int
    block_bytes: int
    split: Callable[[Tensor], Levels] | None = None
    dtype: torch.dtype | None = None
    lowest: int = 0
    highest: int = 0

    @property
    def is_4_bits(self) -> bool:
        """Whether the type has the form of 4-bit kernels."""
        return self.name in FOUR_BIT_KINDS

    def row_bytes(self, num_columns: int) -> int:
        """Bytes of a row of weights."""
        return num_columns // self.block_weights * self.block_bytes

    def levels(self, raw: Tensor) -> Levels:
        """Levels of rows in bytes, (rows, row bytes)."""
        assert self.split is not None
        return self.split(raw.view(-1, self.block_bytes))

    def largest(self, scales: Tensor, offsets: Tensor | None) -> Tensor:
        """An upper bound for the absolute weights of groups, from what their levels can be."""
        ends = [scales * level for level in (self.lowest, self.highest)]
        first, last = (end if offsets is None else end + offsets for end in ends)
        return torch.maximum(first.abs_(), last.abs_())

    def unpack(self, raw: Tensor, out: Tensor) -> None:
        """Unpack rows.

        Args:
            raw: (rows, row bytes) uint8.
            out: (rows, K) float32, bfloat16 or float16, written; products are rounded once.
        """
        if self.dtype is not None:
            out.copy_(raw.view(self.dtype))
            return
        rows = max(1, _CHUNK_WEIGHTS // out.shape[1])
        buffer = None if out.dtype is torch.float32 else torch.empty(rows, out.shape[1])
        for start in range(0, raw.shape[0], rows):
            into = out[start : start + rows]
            weights = into if buffer is None else buffer[: into.shape[0]]
            levels, scales, offsets = self.levels(raw[start : start + rows])
            # each in place: a product of two formats would make a copy first
            grouped = weights.view(levels.shape).copy_(levels).mul_(scales)
            if offsets is not None:
                grouped.add_(offsets)
            if buffer is not None:
                into.copy_(weights)


def _halves(raw: Tensor, start: int, count: int = 1) -> Tensor:
    """`count` float16 numbers of each block from a byte on, (n, count) float32."""
    return raw[:, start : start + 2 * count].contiguous().view(torch.float16).float()


def _nibbles(packed: Tensor) -> Tensor:
    """Bytes (…, size) → levels (…, 2, size): first all low halves, then all high ones.

    Eight bytes at a time, which is 3 times as fast as one by one.
    """
    words = packed.contiguous().view(torch.int64 if packed.shape[-1] % 8 == 0 else torch.int32)
    mask = 0x0F0F0F0F0F0F0F0F if words.dtype is torch.int64 else 0x0F0F0F0F
    levels = words.new_empty(*words.shape[:-1], 2, words.shape[-1])
    torch.bitwise_and(words, mask, out=levels[..., 0, :])
    levels[..., 1, :] = (words >> 4).bitwise_and_(mask)
    return levels.view(torch.uint8)


def _bit_columns(packed: Tensor, count: int) -> Tensor:
    """Bytes (n, size) → their first `count` bits, (n, count, size), 0 or 1."""
    words = packed.contiguous().view(torch.int64)
    bits = words.new_empty(words.shape[0], count, words.shape[1])
    for index in range(count):
        bits[:, index] = (words >> index).bitwise_and_(0x0101010101010101)
    return bits.view(torch.uint8)


def _bit_pairs(packed: Tensor, factor: int) -> Tensor:
    """Bytes (…, size) → each of their four pairs of bits times `factor`, (…, 4, size)."""
    words = packed.contiguous().view(torch.int64)
    pairs = words.new_empty(*words.shape[:-1], 4, words.shape[-1])
    for index in range(4):
        pairs[..., index, :] = (words >> 2 * index).bitwise_and_(0x0303030303030303).mul_(factor)
    return pairs.view(torch.uint8)


def _q4_0(raw: Tensor) -> Levels:
    scales = _halves(raw, 0)
    return Levels(_nibbles(raw[:, 2:]).view(-1, 32), scales, scales * -8)


def _q4_1(raw: Tensor) -> Levels:
    factors = _halves(raw, 0, 2)
    return Levels(_nibbles(raw[:, 4:]).view(-1, 32), factors[:, :1], factors[:, 1:])


def _fifth_bits(raw: Tensor) -> Tensor:
    """The fifth bits of 32 levels from 4 bytes of each block, (n, 32), as 0 or 16."""
    shifts = torch.arange(8, dtype=torch.uint8)
    bits = (raw.unsqueeze(2) >> shifts).bitwise_and_(1).mul_(16)
    return bits.view(-1, 32)


def _q5_0(raw: Tensor) -> Levels:
    scales = _halves(raw, 0)
    levels = _nibbles(raw[:, 6:]).view(-1, 32).add_(_fifth_bits(raw[:, 2:6]))
    return Levels(levels, scales, scales * -16)


def _q5_1(raw: Tensor) -> Levels:
    factors = _halves(raw, 0, 2)
    levels = _nibbles(raw[:, 8:]).view(-1, 32).add_(_fifth_bits(raw[:, 4:8]))
    return Levels(levels, factors[:, :1], factors[:, 1:])


def _q8_0(raw: Tensor) -> Levels:
    return Levels(raw[:, 2:].contiguous().view(torch.int8), _halves(raw, 0), None)


def _k_factors(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Scales and offsets of the groups of Q4_K or Q5_K blocks, (groups, 1) each.

    Eight scales and eight minima of 6 bits, times two numbers in float16. Words of 4 bytes: the low
    6 bits of the first four scales, of the first four minima, and the low 4 bits of the others,
    whose high bits are above those of the first.
    """
    head = raw[:, :16].contiguous()
    factors = head.view(torch.float16)[:, :2].float()
    first, second, third = head.view(torch.int32)[:, 1:].unbind(1)
    words = (
        first & 0x3F3F3F3F,
        (third & 0x0F0F0F0F) | ((first >> 2) & 0x30303030),
        second & 0x3F3F3F3F,
        ((third >> 4) & 0x0F0F0F0F) | ((second >> 2) & 0x30303030),
    )
    six = torch.stack(words, dim=1).view(torch.uint8).view(-1, 2, 8).float()
    scales, minima = six[:, 0] * factors[:, :1], six[:, 1] * -factors[:, 1:]
    return scales.view(-1, 1), minima.view(-1, 1)


def _q4_k(raw: Tensor) -> Levels:
    return Levels(_nibbles(raw[:, 16:].view(-1, 4, 32)).view(-1, 32), *_k_factors(raw))


def _q5_k(raw: Tensor) -> Levels:
    levels = _nibbles(raw[:, 48:].view(-1, 4, 32)).view(-1, 8, 32)
    levels.add_(_bit_columns(raw[:, 16:48], 8).mul_(16))
    return Levels(levels.view(-1, 32), *_k_factors(raw))


def _q6_k(raw: Tensor) -> Levels:
    # two halves of 128 weights: 64 bytes of low bits, and 32 bytes with the two high bits of four
    low = _nibbles(raw[:, :128].view(-1, 2, 64)).view(-1, 2, 4, 32)
    levels = low.add_(_bit_pairs(raw[:, 128:192].view(-1, 2, 32), 16)).sub_(32)
    scales = raw[:, 192:208].contiguous().view(torch.int8) * _halves(raw, 208)
    return Levels(levels.view(torch.int8).view(-1, 16), scales.view(-1, 1), None)


def _q2_k(raw: Tensor) -> Levels:
    levels = _bit_pairs(raw[:, 16:80].view(-1, 2, 32), 1)
    factors = _halves(raw, 80, 2)
    scales = (raw[:, :16] & 15) * factors[:, :1]
    offsets = (raw[:, :16] >> 4) * -factors[:, 1:]
    return Levels(levels.view(-1, 16), scales.view(-1, 1), offsets.view(-1, 1))


def _q3_k(raw: Tensor) -> Levels:
    levels = _bit_pairs(raw[:, 32:96].view(-1, 2, 32), 1).view(-1, 8, 32)
    levels.add_(_bit_columns(raw[:, :32], 8).mul_(4))  # a set bit means that 4 is not subtracted
    # 16 scales of 6 bits: 8 bytes with the low halves, 4 with the two high bits of four each
    low = _nibbles(raw[:, 96:104]).view(-1, 4, 4)
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8).view(1, -1, 1)
    high = (raw[:, 104:108].unsqueeze(1) >> shifts).bitwise_and_(3).mul_(16)
    six = low.add_(high).sub_(32).view(torch.int8).view(-1, 16)
    scales = (six * _halves(raw, 108)).view(-1, 1)
    return Levels(levels.sub_(4).view(torch.int8).view(-1, 16), scales, None)


# Values of the 16 levels of IQ4_NL and IQ4_XS, and of MXFP4 (twice E2M1's)
_NON_LINEAR = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_E2M1 = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)


@cache
def _byte_values(values: tuple[int, ...]) -> Tensor:
    """For each byte the values of its low and its high half, (2, 256) int8."""
    table = torch.tensor(values, dtype=torch.int8)
    byte = torch.arange(256)
    return torch.stack((table[byte & 15], table[byte >> 4]))


def _looked_up(packed: Tensor, values: tuple[int, ...]) -> Tensor:
    """Bytes (…, 16) → values of their levels, (groups, 32)."""
    index = packed.reshape(-1, 16).int()
    low, high = _byte_values(values)
    return torch.cat((low[index], high[index]), dim=1)


def _iq4_nl(raw: Tensor) -> Levels:
    return Levels(_looked_up(raw[:, 2:], _NON_LINEAR), _halves(raw, 0), None)


def _iq4_xs(raw: Tensor) -> Levels:
    shifts = torch.arange(0, 8, 2, dtype=torch.uint8)
    high = (raw[:, 2:4].unsqueeze(2) >> shifts).bitwise_and_(3).mul_(16).view(-1, 8)
    low = _nibbles(raw[:, 4:8]).transpose(1, 2).reshape(-1, 8)
    six = low.add_(high).sub_(32).view(torch.int8)
    return Levels(_looked_up(raw[:, 8:], _NON_LINEAR), (six * _halves(raw, 0)).view(-1, 1), None)


def _mxfp4(raw: Tensor) -> Levels:
    exponents = raw[:, :1].int() - 128  # E8M0's bias is 127; one more, as the values are doubled
    return Levels(_looked_up(raw[:, 1:], _E2M1), torch.exp2(exponents.float()), None)


def _paired_mxfp4(raw: Tensor) -> Levels:
    values = _mxfp4(raw)
    pairs = values.levels.view(-1, 2, 16).transpose(1, 2)  # low and high halves of each byte
    return values._replace(levels=pairs.reshape(-1, 32))


BLOCK_TYPES: dict[str, BlockType] = {
    kind.name: kind
    for kind in (
        BlockType("F32", 1, 4, dtype=torch.float32),
        BlockType("F16", 1, 2, dtype=torch.float16),
        BlockType("BF16", 1, 2, dtype=torch.bfloat16),
        BlockType("Q4_0", 32, 18, _q4_0, lowest=0, highest=15),
        BlockType("Q4_1", 32, 20, _q4_1, lowest=0, highest=15),
        BlockType("Q5_0", 32, 22, _q5_0, lowest=0, highest=31),
        BlockType("Q5_1", 32, 24, _q5_1, lowest=0, highest=31),
        BlockType("Q8_0", 32, 34, _q8_0, lowest=-128, highest=127),
        BlockType("Q2_K", 256, 84, _q2_k, lowest=0, highest=3),
        BlockType("Q3_K", 256, 110, _q3_k, lowest=-4, highest=3),
        BlockType("Q4_K", 256, 144, _q4_k, lowest=0, highest=15),
        BlockType("Q5_K", 256, 176, _q5_k, lowest=0, highest=31),
        BlockType("Q6_K", 256, 210, _q6_k, lowest=-32, highest=31),
        BlockType("IQ4_NL", 32, 18, _iq4_nl, lowest=-127, highest=113),
        BlockType("IQ4_XS", 256, 136, _iq4_xs, lowest=-127, highest=113),
        BlockType("MXFP4", 32, 17, _mxfp4, lowest=-12, highest=12),
    )
}
"""The types that can be unpacked, by llama.cpp's names."""

READABLE_TYPES = BLOCK_TYPES | {
    PAIRED_MXFP4: BlockType(PAIRED_MXFP4, 32, 17, _paired_mxfp4, lowest=-12, highest=12)
}
"""Those and what other programs write."""
