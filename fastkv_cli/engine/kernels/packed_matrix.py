"""Quantized matrices for products with few rows: the bytes of its weights limit decoding's speed.

Both kinds take float32 inputs and are as exact as a product with 16-bit inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

# Weights that share a scale and a zero point in 4 bits, as in GGUF's Q4_1.
GROUP = 32
# A matrix is packed in 4 bits when that changes it by no more than rounding to bfloat16 does, which
# holds for matrices that were in 4 bits before, such as those of a GGUF file. Relative error of the
# Frobenius norm.
_LOSSLESS = 2.0**-8


@dataclass(frozen=True, slots=True)
class Int4Matrix:
    """x·Wᵀ + b with W in 4 bits; every 32 weights of a row share a scale and a zero point."""

    packed: Tensor
    scales: Tensor  # (K / 32, N, 2) bfloat16
    bias: Tensor | None
    bits = 4

    def __call__(self, inputs: Tensor) -> Tensor:
        """(T, K) → (T, N) bfloat16."""
        inputs = inputs.to(torch.bfloat16)
        product: Tensor = torch._weight_int4pack_mm_for_cpu(inputs, self.packed, GROUP, self.scales)
        return product if self.bias is None else product + self.bias

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.packed.nbytes + self.scales.nbytes


@dataclass(frozen=True, slots=True)
class Int8Matrix:
    """x·Wᵀ + b with W in 8 bits and a scale for each row.

    The 8-bit product loads weights from memory several times as fast as those with 16-bit inputs.
    So each input row is split into two rows of 8 bits, a coarse one and its remainder: together 16
    bits, exact enough, for one pass over the weights.
    """

    packed: Tensor
    scales: Tensor  # (N,) float32
    zeros: Tensor  # (N,) int32
    bias: Tensor | None
    num_columns: int
    bits = 8

    def __call__(self, inputs: Tensor) -> Tensor:
        """(T, K) → (T, N) float32."""
        inputs = inputs.float()
        step = inputs.abs().amax(dim=1, keepdim=True).clamp_(min=1e-30).div_(127)
        scaled = inputs / step
        coarse = scaled.round()
        fine = (scaled - coarse).mul_(254).round_()
        rows = torch.cat((coarse, fine)).add_(128).to(torch.uint8)
        product = torch.ops.onednn.qlinear_pointwise(
            *(rows, 1.0, 128, self.packed, self.scales, self.zeros, None),
            *(1.0, 0, torch.float32, "none", [], ""),
        )
        count = inputs.shape[0]
        total: Tensor = product[:count].add_(product[count:], alpha=1 / 254).mul_(step)
        return total if self.bias is None else total.add_(self.bias)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.scales.shape[0] * (self.num_columns + 8)


PackedMatrix = Int4Matrix | Int8Matrix


def pack(weight: Tensor, bias: Tensor | None = None) -> PackedMatrix:
    """Pack a matrix (N, K): in 4 bits where that is lossless, else in 8.

    A sample of 64 rows decides.
    """
    sample = weight[:: max(1, weight.shape[0] // 64)]
    if weight.shape[0] % 32 == 0 and weight.shape[1] % GROUP == 0 and _fits_4_bits(sample):
        return _pack_int4(weight, bias)
    return _pack_int8(weight, bias)


@cache
def can_pack() -> bool:
    """Whether torch has kernels for packed matrices here, and their products are correct."""
    weight = (torch.arange(32.0 * 64) * 7 % 16 - 8).view(32, 64)
    # All values at their maximum: overflows on CPUs that add two 8-bit products in 16 bits.
    weight[0], inputs = 1.0, torch.stack((torch.ones(64), torch.arange(64.0).sin()))
    expected = inputs @ weight.t()
    try:
        for packed in (_pack_int4(weight, None), _pack_int8(weight, None)):
            if not torch.allclose(packed(inputs).float(), expected, rtol=0.02, atol=0.1):
                return False
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return True


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
    packed = torch._convert_weight_to_int4pack_for_cpu(levels.view_as(weight).int(), 2)
    scales = torch.cat((step, zero), dim=-1).transpose(0, 1).contiguous()
    return Int4Matrix(packed, scales, bias)


def _pack_int8(weight: Tensor, bias: Tensor | None) -> Int8Matrix:
    num_rows, num_columns = weight.shape
    low, high = torch.aminmax(weight, dim=1, keepdim=True)
    scales = torch.maximum(-low, high).float().clamp_(min=1e-30).div_(127)
    levels = (weight / scales).round_().to(torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(levels, [2, num_columns])
    zeros = torch.zeros(num_rows, dtype=torch.int32)
    return Int8Matrix(packed, scales[:, 0].contiguous(), zeros, bias, num_columns)
