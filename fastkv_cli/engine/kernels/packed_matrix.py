"""Quantized matrices for products with few rows: the bytes of its weights limit decoding's speed.

All kinds take float32 inputs and are as exact as a product with 16-bit inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .int8_product import split_levels

# Weights that share a scale and a zero point in 4 bits, as in GGUF's Q4_1.
GROUP = 32


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


def _join(products: Tensor, step: Tensor, bias: Tensor | None) -> Tensor:
    """The product of rows split by `split_levels`, (2·T, N) float32, overwritten → (T, N)."""
    count = step.shape[0]
    total = products[:count].add_(products[count:], alpha=1 / 254).mul_(step)
    return total if bias is None else total.add_(bias)


@dataclass(frozen=True, slots=True)
class Int8LevelsMatrix:
    """x·Wᵀ + b with W in 8 bits, in plain order, and a scale for each row.

    The 8-bit product loads weights from memory several times as fast as those with 16-bit inputs.
    So each input row is split into two rows of 8 bits, a coarse one and its remainder: together 16
    bits, exact enough, for one pass over the weights.
    """

    levels: Tensor  # (N, K) int8
    scales: Tensor  # (N,) float32
    bias: Tensor | None
    bits = 8

    def __call__(self, inputs: Tensor) -> Tensor:
        """(T, K) → (T, N) float32."""
        rows, step = split_levels(inputs.float(), 127)
        product = torch._int_mm(rows.flatten(0, 1), self.levels.t())
        return _join(product.float().mul_(self.scales), step, self.bias)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.levels.nbytes + self.scales.nbytes


@dataclass(frozen=True, slots=True)
class Int8Matrix:
    """As `Int8LevelsMatrix`, for CPUs where only a product with packed weights is fast.

    Attributes:
        packed: W in oneDNN's order, in parts of consecutive rows.
        scales: (N,) float32.
        zeros: (rows of a part,) int32, all 0.
        bias: (N,); None for no bias.
        num_columns: K.
    """

    packed: tuple[Tensor, ...]
    scales: Tensor
    zeros: Tensor
    bias: Tensor | None
    num_columns: int
    bits = 8

    def __call__(self, inputs: Tensor) -> Tensor:
        """(T, K) → (T, N) float32."""
        levels, step = split_levels(inputs.float(), 127)
        rows = levels.flatten(0, 1).bitwise_xor(-128).view(torch.uint8)  # each level + 128
        products = [
            torch.ops.onednn.qlinear_pointwise(
                *(rows, 1.0, 128, part, scales, self.zeros[: len(scales)], None),
                *(1.0, 0, torch.float32, "none", [], ""),
            )
            for part, scales in zip(
                self.packed, torch.split(self.scales, len(self.zeros)), strict=True
            )
        ]
        product = products[0] if len(products) == 1 else torch.cat(products, dim=1)
        return _join(product, step, self.bias)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.scales.shape[0] * (self.num_columns + 8)


@dataclass(frozen=True, slots=True)
class Int8RowsMatrix:
    """As `Int8Matrix`, for CPUs whose 8-bit products overflow (AVX2 without VNNI).

    Each input row is split into two rows in bfloat16, a coarse one and its remainder. torch
    computes two rows 8 times as fast as one.
    """

    packed: Tensor  # (N, K) int8
    scales: Tensor  # (N,) bfloat16
    bias: Tensor | None
    bits = 8

    def __call__(self, inputs: Tensor) -> Tensor:
        """(T, K) → (T, N) float32."""
        inputs = inputs.float()
        coarse = inputs.bfloat16()
        rows = torch.cat((coarse, (inputs - coarse).bfloat16()))
        product = torch._weight_int8pack_mm(rows, self.packed, self.scales).float()
        count = inputs.shape[0]
        total: Tensor = product[:count].add_(product[count:])
        return total if self.bias is None else total.add_(self.bias)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.packed.nbytes + self.scales.nbytes


@dataclass(frozen=True, slots=True)
class JoinedMatrix:
    """Matrices of the same input in different formats, as one."""

    parts: tuple[SingleMatrix, ...]

    def __call__(self, inputs: Tensor) -> Tensor:
        """(T, K) → (T, N) float32."""
        return torch.cat([part(inputs).float() for part in self.parts], dim=1)

    @property
    def bits(self) -> int:
        """Bits of the widest part."""
        return max(part.bits for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(part.nbytes for part in self.parts)


SingleMatrix = Int4Matrix | Int8LevelsMatrix | Int8Matrix | Int8RowsMatrix
PackedMatrix = SingleMatrix | JoinedMatrix
