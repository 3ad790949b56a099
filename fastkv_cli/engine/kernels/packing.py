"""Packing matrices for decoding, and choosing kernels that are correct on this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..huge_pages import pages_of_thread
from .int8_product import cpu_capabilities, multiplies_int8
from .packed_matrix import (
    GROUP,
    Int4Matrix,
    Int8LevelsMatrix,
    Int8Matrix,
    Int8RowsMatrix,
    SingleMatrix,
)

# A matrix is packed in 4 bits when that changes it by no more than rounding to bfloat16 does, which
# holds for matrices that were in 4 bits before, such as those of a GGUF file. Relative error of the
# Frobenius norm.
_LOSSLESS = 2.0**-8
# Without AMX, matrices with so many columns are multiplied with two rows in bfloat16: the fastest
# for a token, in plain order. It rounds its products, so LM heads, with so many rows, are not.
_WIDE, _HEAD_ROWS = 1024, 2**14
# oneDNN takes a copy in its own order (2.4 ns a weight), of an LM head of 262 MB in parts, from one
# buffer: that of the whole would double it meanwhile.
_PART_BYTES = 2**24


def pack(weight: Tensor, bias: Tensor | None = None) -> SingleMatrix:
    """Pack a matrix (N, K): in 4 bits where that is lossless, else in 8.

    A sample of 64 rows decides.
    """
    sample = weight[:: max(1, weight.shape[0] // 64)]
    if fits_int4(*weight.shape) and _fits_4_bits(sample):
        return _pack_int4(weight, bias)
    builder = Int8Builder(*weight.shape)
    builder.add(weight.to(torch.float32, copy=True))
    return builder.finish(bias)


def fits_int4(num_rows: int, num_columns: int) -> bool:
    """Whether the 4-bit kernel takes matrices of this shape."""
    return num_rows % 32 == 0 and num_columns % GROUP == 0


class Int4Builder:
    """Packs a matrix (N, K) whose weights are level · scale + offset, some rows at a time.

    Levels are kept as they are; scales and offsets are rounded to bfloat16, as the kernel takes
    them, which changes a weight by no more than rounding it to bfloat16 does.
    """

    def __init__(self, num_rows: int, num_columns: int) -> None:
        """Allocate the packed matrix, which `fits_int4`."""
        self._packed = pages_of_thread().empty((num_rows, num_columns // 2), torch.uint8)
        self._scales = torch.empty(num_columns // GROUP, num_rows, 2, dtype=torch.bfloat16)
        self._filled = 0

    def add(self, levels: Tensor, scales: Tensor, offsets: Tensor) -> None:
        """Add the next rows: a multiple of 64, or the last ones, a multiple of 32.

        Args:
            levels: (rows, K) uint8, 0 to 15.
            scales: (rows, K / 32) float32.
            offsets: as scales.
        """
        rows = slice(self._filled, self._filled + levels.shape[0])
        self._packed[rows] = _interleave(levels)
        self._scales[:, rows, 0] = scales.t()
        self._scales[:, rows, 1] = torch.add(offsets, scales, alpha=8).t()
        self._filled = rows.stop

    def finish(self, bias: Tensor | None) -> Int4Matrix:
        """The packed matrix."""
        return Int4Matrix(self._packed, self._scales, bias)


class Int8Builder:
    """Packs a matrix (N, K) in 8 bits: weights change by at most 1/127 of their row's largest."""

    def __init__(self, num_rows: int, num_columns: int, kernel: _Int8Kernel | None = None) -> None:
        """Allocate the levels; `kernel` is the fastest one that is correct here by default."""
        is_wide = num_columns >= _WIDE and num_rows < _HEAD_ROWS
        kernel = kernel or _int8_kernel(is_wide=is_wide)
        if kernel is None:
            raise RuntimeError("this build of torch has no kernels for matrices in 8 bits")
        self._kernel = kernel
        part_rows = max(kernel.part_bytes // num_columns // 64 * 64, 64)
        shape = min(num_rows, part_rows), num_columns
        if kernel.keeps_order:
            self._part = pages_of_thread().empty(shape, torch.int8)
        else:
            self._part = torch.empty(shape, dtype=torch.int8)
        self._packed: list[Tensor] = []
        self._num_in_part = 0
        self._scales = torch.empty(num_rows, 1, dtype=kernel.scale_dtype)
        self._num_scales = 0

    def add(self, weight: Tensor) -> None:
        """Add the next rows, (rows, K) float32, overwritten."""
        largest = torch.maximum(weight.amax(1, keepdim=True), -weight.amin(1, keepdim=True))
        scales = self._add_scales(largest)
        self._add_levels(weight.div_(scales))

    def add_levels(
        self, levels: Tensor, scales: Tensor, offsets: Tensor | None, largest: Tensor
    ) -> None:
        """Add the next rows, whose weights are level · scale + offset.

        Half the time of `add`, since they are not unpacked first.

        Args:
            levels: (rows, K / size, size) uint8 or int8.
            scales: (rows, K / size) float32.
            offsets: as scales; None means 0.
            largest: (rows, 1) float32, no less than the largest absolute weight of each row.
        """
        row_scales = self._add_scales(largest)
        rescaled = levels.float().mul_((scales / row_scales).unsqueeze(2))
        if offsets is not None:
            rescaled.add_((offsets / row_scales).unsqueeze(2))
        self._add_levels(rescaled.view(levels.shape[0], -1))

    def _add_scales(self, largest: Tensor) -> Tensor:
        """The next rows' scales, as they are stored, in float32."""
        rows = slice(self._num_scales, self._num_scales + largest.shape[0])
        self._num_scales = rows.stop
        self._scales[rows] = largest.clamp(min=1e-30).div_(127)
        return self._scales[rows].float()

    def _add_levels(self, levels: Tensor) -> None:
        levels.round_().clamp_(-127, 127)
        while len(levels):
            taken = levels[: len(self._part) - self._num_in_part]
            self._part[self._num_in_part : self._num_in_part + len(taken)] = taken
            self._num_in_part += len(taken)
            levels = levels[len(taken) :]
            if self._num_in_part == len(self._part):
                self._pack_part()

    def _pack_part(self) -> None:
        self._packed.append(self._kernel.pack(self._part[: self._num_in_part]))
        self._num_in_part = 0

    def finish(self, bias: Tensor | None) -> SingleMatrix:
        """The packed matrix."""
        if self._num_in_part:
            self._pack_part()
        return self._kernel.join(self._packed, self._scales[:, 0], bias, self._part.shape)


@cache
def can_pack() -> bool:
    """Whether torch has kernels for packed matrices here, and their products are correct."""
    weight, inputs, expected = _sample()
    try:
        is_right = _is_right(_pack_int4(weight, None), inputs, expected)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return is_right and _int8_kernel(is_wide=False) is not None


def _sample() -> tuple[Tensor, Tensor, Tensor]:
    """A matrix, inputs and their product, to check kernels with."""
    weight = (torch.arange(64.0 * 64) * 7 % 16 - 8).view(64, 64)
    # All values at their maximum: overflows on CPUs that add two 8-bit products in 16 bits.
    weight[0], inputs = 1.0, torch.stack((torch.ones(64), torch.arange(64.0).sin()))
    return weight, inputs, inputs @ weight.t()


def _is_right(matrix: SingleMatrix, inputs: Tensor, expected: Tensor) -> bool:
    return torch.allclose(matrix(inputs).float(), expected, rtol=0.02, atol=0.1)


class _Int8Kernel(NamedTuple):
    """A kernel for matrices in 8 bits.

    Attributes:
        pack: levels (rows, K) int8, overwritten later → the same in the kernel's order.
        join: parts in that order, scales (N,), bias, and the shape of a whole part → the matrix.
        scale_dtype: the number format of the scales.
        part_bytes: the most bytes of a part.
    """

    pack: Callable[[Tensor], Tensor]
    join: Callable[[list[Tensor], Tensor, Tensor | None, torch.Size], SingleMatrix]
    scale_dtype: torch.dtype
    part_bytes: int

    @property
    def keeps_order(self) -> bool:
        """Whether it multiplies with the levels as they are, in one part."""
        return self.part_bytes == sys.maxsize


def _int8_kernels(*, is_wide: bool) -> list[_Int8Kernel]:
    """Kernels for matrices in 8 bits, the best first; not all are correct here."""
    ordered = _Int8Kernel(_pack_int8, _join_int8, torch.float32, _PART_BYTES)
    by_rows = _Int8Kernel(lambda levels: levels, _join_rows, torch.bfloat16, sys.maxsize)
    if multiplies_int8() and _has_matrix_unit():
        plain = _Int8Kernel(lambda levels: levels, _join_levels, torch.float32, sys.maxsize)
        return [plain, ordered, by_rows]
    return [by_rows, ordered] if is_wide else [ordered, by_rows]


def repeats_8_bits() -> bool:
    """Whether wide matrices in 8 bits are read anew for every few rows of a product."""
    kernel = _int8_kernel(is_wide=True)
    return kernel is not None and kernel.join is _join_rows


def _has_matrix_unit() -> bool:
    """Whether the CPU has AMX, in which products of few rows are as fast in any order."""
    return bool(cpu_capabilities().get("amx_int8", False))


def _is_right_in_8_bits(kernel: _Int8Kernel) -> bool:
    weight, inputs, expected = _sample()
    builder = Int8Builder(weight.shape[0], weight.shape[1], kernel)
    builder.add(weight.clone())
    try:
        return _is_right(builder.finish(None), inputs, expected)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


@cache
def _int8_kernel(*, is_wide: bool) -> _Int8Kernel | None:
    """The best kernel for matrices in 8 bits whose products are correct here."""
    return next(filter(_is_right_in_8_bits, _int8_kernels(is_wide=is_wide)), None)


def _fits_4_bits(weight: Tensor) -> bool:
    levels, step, zero = _to_4_bits(weight)
    restored = (levels - 8).mul_(step).add_(zero).view_as(weight)
    return bool(torch.dist(restored, weight.float()) <= _LOSSLESS * weight.float().norm())


def _to_4_bits(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Levels 0 to 15 (N, K / 32, 32), step and zero (N, K / 32, 1): w = (level − 8)·step + zero."""
    levels = weight.to(torch.float32, copy=True).view(weight.shape[0], -1, GROUP)
    low, high = torch.aminmax(levels, dim=-1, keepdim=True)
    step = high.sub_(low).div_(15).clamp_(min=1e-30)
    levels.sub_(low).div_(step).round_()
    return levels, step.bfloat16(), low.add_(8 * step).bfloat16()


def _pack_int4(weight: Tensor, bias: Tensor | None) -> Int4Matrix:
    levels, step, zero = _to_4_bits(weight)
    interleaved = _interleave(levels.view_as(weight).to(torch.uint8))
    packed = pages_of_thread().empty(tuple(interleaved.shape), torch.uint8).copy_(interleaved)
    scales = torch.cat((step, zero), dim=-1).transpose(0, 1).contiguous()
    return Int4Matrix(packed, scales, bias)


def _interleave(levels: Tensor) -> Tensor:
    """Levels (N, K) uint8 in the order of torch's kernel, (N, K / 2) uint8."""
    num_rows, num_columns = levels.shape
    block = _rows_per_block()
    if not block or num_rows % block:
        return _convert(levels)
    low, high = levels.view(-1, 2, block // 2, num_columns).unbind(1)
    # Rows apart by a power of two share few places of the processor's cache, and are transposed at
    # half the speed: 64 bytes more keep them apart.
    apart = levels.new_empty(*low.shape[:2], num_columns + 64)[..., :num_columns]
    torch.bitwise_or(high << 4, low, out=apart)
    return apart.transpose(1, 2).contiguous().view(num_rows, num_columns // 2)


def _convert(levels: Tensor) -> Tensor:
    packed: Tensor = torch._convert_weight_to_int4pack_for_cpu(levels.int(), 2)
    return packed


@cache
def _rows_per_block() -> int:
    """Rows that the kernel's order interleaves, found by trying; 0 if it is another order.

    torch's own conversion takes 32-bit levels, and 5 times as long.
    """
    levels = (torch.arange(128 * 64) * 7 % 61 % 16).to(torch.uint8).view(128, 64)
    wanted = _convert(levels)
    for block in (64, 32):
        low, high = levels.view(-1, 2, block // 2, 64).unbind(1)
        if torch.equal((high << 4 | low).transpose(1, 2).reshape(128, 32), wanted):
            return block
    return 0


def _pack_int8(levels: Tensor) -> Tensor:
    packed: Tensor = torch.ops.onednn.qlinear_prepack(levels, [2, levels.shape[1]])
    return packed


def _join_int8(
    parts: list[Tensor], scales: Tensor, bias: Tensor | None, shape: torch.Size
) -> Int8Matrix:
    zeros = torch.zeros(shape[0], dtype=torch.int32)
    return Int8Matrix(tuple(parts), scales, zeros, bias, num_columns=shape[1])


def _join_levels(
    parts: list[Tensor], scales: Tensor, bias: Tensor | None, _: torch.Size
) -> Int8LevelsMatrix:
    return Int8LevelsMatrix(parts[0], scales, bias)


def _join_rows(
    parts: list[Tensor], scales: Tensor, bias: Tensor | None, _: torch.Size
) -> Int8RowsMatrix:
    return Int8RowsMatrix(parts[0], scales, bias)
