"""Products in 8 bits for prefill: weights by row, activations by row, dynamically.

torch has no single call that quantizes rows. The calls here take 40% of the time of those that one
would write first: magnitudes in bfloat16 are compared as integers, and buffers are used again,
because new memory costs more than the arithmetic. Weights keep their plain order, in which torch's
8-bit product is as fast as oneDNN's packed one; packing them took 3 ns a weight, more than the
prefill of 2,000 tokens gains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

# Rows that pass through a layer's products at once: their floats fit a core's cache (256 rows of
# 1,536 columns are 1.5 MiB over two cores), and the products still run at full speed.
_PIECE_ROWS = 256
_CHUNK_WEIGHTS = 2**17  # quantized at once: as floats, half a MiB
_MOST_BUFFERS = 32  # sizes: a few widths, of whole pieces and of the last ones of some prompts


class QuantizedRows(NamedTuple):
    """Rows as level · step.

    Attributes:
        levels: (T, K) int8, −127 to 127; overwritten when the next rows of this size are quantized.
        steps: (T, 1) in the rows' format, exact: the levels were rounded with this step.
    """

    levels: Tensor
    steps: Tensor


class Int8Weights(NamedTuple):
    """A matrix as level · scale.

    Attributes:
        levels: (N, K) int8, −127 to 127.
        scales: (N,) in the matrix's format, exact, as steps are.
    """

    levels: Tensor
    scales: Tensor

    @classmethod
    def of(cls, weight: Tensor, columns: Tensor | None = None) -> Int8Weights:
        """Quantize a matrix (N, K), by each row's largest weight / 127.

        Args:
            weight: in bfloat16 or float32, as the rows that it is multiplied with.
            columns: (K,) float32, multiplies its columns first.
        """
        levels = torch.empty(weight.shape, dtype=torch.int8)
        scales = torch.empty(weight.shape[0], 1, dtype=weight.dtype)
        num_rows = max(_CHUNK_WEIGHTS // weight.shape[1], 1)
        for start in range(0, weight.shape[0], num_rows):
            rows = slice(start, start + num_rows)
            floats = weight[rows].to(torch.float32, copy=True)
            if columns is not None:
                floats.mul_(columns)
            scales[rows] = _largest(floats).clamp_(min=1e-30).div_(127)
            levels[rows] = floats.mul_(scales[rows].float().reciprocal()).round_()
        return cls(levels, scales[:, 0])

    @property
    def num_rows(self) -> int:
        """N."""
        return self.scales.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.levels.nbytes + self.scales.nbytes


@dataclass(slots=True, eq=False)
class Int8Workspace:
    """Quantizes and multiplies rows, in buffers that are used again; of one thread at a time.

    All rows and matrices are in the same number format, bfloat16 or float32.
    """

    _buffers: dict[tuple[str, int, int], Tensor] = field(default_factory=dict)

    def quantize(self, rows: Tensor) -> QuantizedRows:
        """Quantize rows (T, K), contiguous, each by its largest magnitude / 127."""
        floats = self._buffer("floats", rows.shape, torch.float32)
        if rows.dtype is torch.float32:
            steps = _largest(rows).clamp_(min=1e-30).div_(127)
            torch.mul(rows, steps.reciprocal(), out=floats)
        else:
            # without its sign bit, a bfloat16 number is ordered as an integer is
            bits = torch.bitwise_and(
                rows.view(torch.int16), 0x7FFF, out=self._buffer("bits", rows.shape, torch.int16)
            )
            largest = bits.amax(dim=1, keepdim=True).view(torch.bfloat16)
            steps = largest.float().clamp_(min=1e-30).div_(127).bfloat16()
            floats.copy_(rows).mul_(steps.float().reciprocal_())
        levels = self._buffer("levels", rows.shape, torch.int8).copy_(floats.round_())
        return QuantizedRows(levels, steps)

    def multiply(self, rows: QuantizedRows, weights: Int8Weights, name: str = "") -> Tensor:
        """Multiply rows (T, K) with a matrix (N, K), all but the rows' steps.

        Returns:
            (T, N) in the matrix's format; overwritten by the next product of this size and name.
        """
        shape = torch.Size((rows.levels.shape[0], weights.num_rows))
        sums = self._buffer("sums", shape, torch.int32)
        torch._int_mm(rows.levels, weights.levels.t(), out=sums)
        product = self._buffer(f"product{name}", shape, weights.scales.dtype)
        return product.copy_(sums).mul_(weights.scales)

    def _buffer(self, name: str, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        key = name, shape[0], shape[1]
        found = self._buffers.get(key)
        if found is None:
            if len(self._buffers) >= _MOST_BUFFERS:
                self._buffers.clear()
            found = self._buffers[key] = torch.empty(shape, dtype=dtype)
        return found


def _largest(floats: Tensor) -> Tensor:
    """The largest magnitude of each row, (T, K) → (T, 1), float32."""
    return torch.maximum(floats.amax(1, keepdim=True), floats.amin(1, keepdim=True).neg_())


def split_levels(rows: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Split float32 rows, (…, R, K), into (coarse + fine / (2 · top)) · step.

    Returns:
        Coarse and fine levels, (2, …, R, K) int8, −top to top; and the steps, (…, R, 1).
    """
    steps = rows.abs().amax(-1, keepdim=True).clamp_(min=1e-30).div_(top)
    scaled = rows / steps
    coarse = scaled.round()
    fine = scaled.sub_(coarse).mul_(2 * top).round_()
    return torch.stack((coarse, fine)).to(torch.int8), steps


def pieces(num_rows: int) -> Iterator[slice]:
    """Pieces of rows that stay in cache while they pass through products."""
    for start in range(0, num_rows, _PIECE_ROWS):
        yield slice(start, min(start + _PIECE_ROWS, num_rows))


def cpu_capabilities() -> Mapping[str, object]:
    """The CPU's instruction sets by torch's names; empty where torch does not tell."""
    found: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return found


@cache
def multiplies_int8() -> bool:
    """Whether products in 8 bits are correct here, and faster than in bfloat16.

    They are where the CPU adds four of them in 32 bits (VNNI, which CPUs with AMX have, too).
    """
    if not cpu_capabilities().get("avx512_vnni", False):
        return False
    # all at their maximum: overflows on CPUs that add two products in 16 bits
    levels = torch.full((64, 64), 127, dtype=torch.int8)
    levels[1] = -127
    try:
        product = torch._int_mm(levels, levels.t())
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return bool(product[0, 0] == 64 * 127**2 and product[0, 1] == -64 * 127**2)
