"""The parts of a decoder layer: matrices, norms and residual connections; counting its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..kernels.packed_matrix import PackedMatrix
from ..kernels.packing import pack
from .block_modules import BlockLinear, block_tensors
from .block_tensor import pack_blocks


class Matrix(NamedTuple):
    """Linear layers of the same input as one: (…, K) → (…, N of all)."""

    modules: tuple[Any, ...]  # nn.Linear or BlockLinear

    @classmethod
    def of(cls, *modules: Any) -> Matrix:
        """Concatenate linear layers of the same input."""
        return cls(modules)

    @property
    def weight(self) -> Tensor:
        """(N, K)."""
        weights: list[Tensor] = [module.weight for module in self.modules]
        return weights[0] if len(weights) == 1 else torch.cat(weights)

    @property
    def bias(self) -> Tensor | None:
        """(N,)."""
        biases: list[Tensor] = [each.bias for each in self.modules if each.bias is not None]
        return None if not biases else torch.cat(biases)

    def linear(self, hidden: Tensor) -> Tensor:
        """(…, K) → (…, N of all)."""
        products: list[Tensor] = [module(hidden) for module in self.modules]
        return products[0] if len(products) == 1 else torch.cat(products, dim=-1)

    def pack(self) -> PackedMatrix:
        """Pack a copy for decoding: blocks of a file as they are, other weights as `pack` does."""
        if all(isinstance(module, BlockLinear) for module in self.modules):
            return pack_blocks([module.tensor for module in self.modules], self.bias)
        return pack(self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class RMSNorm:
    """Root mean square norm (arXiv 1910.07467): x · gain / √(mean(x²) + ε).

    Attributes:
        gain: (hidden,), multiplies the normalized rows, and is rounded to the rows' dtype with them
            where it is in another one.
        epsilon: ε.
    """

    gain: Tensor
    epsilon: float

    def __call__(self, hidden: Tensor) -> Tensor:
        """(…, hidden) → (…, hidden), in one torch call (half the time of the model's module).

        A gain of another dtype is applied in that dtype, before the result is rounded.
        """
        rows = hidden.to(self.gain.dtype)
        normalized = functional.rms_norm(rows, self.gain.shape, self.gain, self.epsilon)
        return normalized.to(hidden.dtype)


class Residual(NamedTuple):
    """A residual connection around attention or MLP: hidden + multiplier · norm(change).

    Attributes:
        norm: None where the family has no norm behind this block.
        multiplier: of the change.
    """

    norm: Callable[[Tensor], Tensor] | None = None
    multiplier: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether the change is added as it is."""
        return self.norm is None and self.multiplier == 1

    def add(self, hidden: Tensor, change: Tensor) -> Tensor:
        """Two tensors (…, hidden) → (…, hidden)."""
        if self.norm is not None:
            change = self.norm(change)
        return hidden + (change if self.multiplier == 1 else change * self.multiplier)


def count_weights(module: nn.Module) -> int:
    """Number of weights of a module, in memory or in a file's blocks; a shared one counts once."""
    vectors = sum(weight.numel() for weight in module.parameters() if weight.dim() != 2)
    return vectors + count_matrix_weights(module)


def count_matrix_weights(module: nn.Module) -> int:
    """As `count_weights`, of matrices alone, those of experts included."""
    in_memory = sum(weight.numel() for weight in module.parameters() if weight.dim() >= 2)
    return in_memory + sum(tensor.num_weights for tensor in block_tensors(module))
