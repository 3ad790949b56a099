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
from .block_tensor import BlockTensor, pack_blocks

_SILU = {"SiLU", "SiLUActivation"}  # the class names in torch and transformers


class HeadRows(NamedTuple):
    """Rows of a linear layer in which two parts of each head alternate, D rows each, as a layer.

    Attributes:
        module: nn.Linear or BlockLinear, (2 · H · D) rows.
        num_heads: H.
        head_dim: D.
        part: 0 or 1.
    """

    module: Any
    num_heads: int
    head_dim: int
    part: int

    @property
    def weight(self) -> Tensor:
        """(H · D, K)."""
        rows: Tensor = self.module.weight.view(self.num_heads, 2, self.head_dim, -1)
        return rows[:, self.part].flatten(0, 1)

    @property
    def bias(self) -> Tensor | None:
        """(H · D,)."""
        bias: Tensor | None = self.module.bias
        if bias is None:
            return None
        return bias.view(self.num_heads, 2, self.head_dim)[:, self.part].flatten()

    def __call__(self, hidden: Tensor) -> Tensor:
        """(…, K) → (…, H · D)."""
        return functional.linear(hidden, self.weight, self.bias)

    @property
    def tensors(self) -> list[BlockTensor]:
        """The rows of each head, of a matrix in blocks."""
        size = self.head_dim
        return [
            self.module.tensor.part((2 * head + self.part) * size, size)
            for head in range(self.num_heads)
        ]


class Matrix(NamedTuple):
    """Linear layers of the same input as one: (…, K) → (…, N of all)."""

    modules: tuple[Any, ...]  # nn.Linear, BlockLinear or HeadRows

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

    @property
    def num_in_memory(self) -> int:
        """Number of weights that are in no file's blocks."""
        stay = (each for each in self.modules if isinstance(each, nn.Linear))
        return sum(each.in_features * each.out_features for each in stay)

    def linear(self, hidden: Tensor) -> Tensor:
        """(…, K) → (…, N of all)."""
        products: list[Tensor] = [module(hidden) for module in self.modules]
        return products[0] if len(products) == 1 else torch.cat(products, dim=-1)

    def pack(self) -> PackedMatrix:
        """Pack a copy for decoding: blocks of a file as they are, other weights as `pack` does."""
        tensors: list[BlockTensor] = []
        for module in self.modules:
            if isinstance(module, BlockLinear):
                tensors.append(module.tensor)
            elif isinstance(module, HeadRows) and isinstance(module.module, BlockLinear):
                tensors += module.tensors
            else:  # in memory, as all of them or one: Qwen3-Next's in_proj_qkvz of a GGUF file
                return pack(self.weight, self.bias)
        return pack_blocks(tensors, self.bias)


def mlp_matrices(mlp: Any) -> tuple[Matrix, Matrix]:
    """Gate and up of a gated MLP as one, and down."""
    if hasattr(mlp, "gate_up_proj"):
        return Matrix.of(mlp.gate_up_proj), Matrix.of(mlp.down_proj)
    return Matrix.of(mlp.gate_proj, mlp.up_proj), Matrix.of(mlp.down_proj)


def activation_of(mlp: Any) -> Callable[[Tensor], Tensor]:
    """The activation function of a gated MLP."""
    module: nn.Module = mlp.activation_fn if hasattr(mlp, "activation_fn") else mlp.act_fn
    return functional.silu if type(module).__name__ in _SILU else module


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
