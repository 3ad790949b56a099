"""Modules whose weights stay in the blocks of a file, in the places of a model's own modules.

Prefill computes a layer for many rows at once, from matrices unpacked into a buffer that the next
layer overwrites. So memory holds the unpacked matrices of one layer, whatever the model's size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..kernels.packed_matrix import PackedMatrix
from .block_tensor import BlockTensor, pack_blocks


@dataclass(slots=True, eq=False)
class Scratch:
    """Buffers for the unpacked matrices of one layer: one for each name, as `q_proj`.

    Attributes:
        dtype: the number format that the model computes in.
    """

    dtype: torch.dtype
    _buffers: dict[str, Tensor] = field(default_factory=dict)
    _owners: dict[str, BlockTensor] = field(default_factory=dict)

    def unpacked(self, name: str, tensor: BlockTensor) -> Tensor:
        """A matrix (N, K), valid until the next one of this name is unpacked."""
        if self._owners.get(name) is not tensor:
            self._owners.pop(name, None)  # until its buffer is complete
            with torch.inference_mode():
                tensor.unpack(self.buffer(name, *tensor.shape))
            self._owners[name] = tensor
        return self._buffers[name]

    @torch.inference_mode()
    def buffer(self, name: str, num_rows: int, num_columns: int) -> Tensor:
        """The buffer of this name, (N, K), with any contents."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != (num_rows, num_columns):
            buffer = torch.empty(num_rows, num_columns, dtype=self.dtype)
            self._buffers[name] = buffer
        return buffer

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(buffer.nbytes for buffer in self._buffers.values())


class BlockLinear(nn.Module):
    """A linear layer, (…, K) → (…, N), over a matrix in blocks.

    Attributes:
        tensor: the matrix.
        bias: (N,); None for no bias.
        name: that of its place in a layer, as `q_proj`.
        input_order: (K,) the inputs in the order of the file's columns; None if it is the same.
    """

    def __init__(
        self,
        tensor: BlockTensor,
        bias: nn.Parameter | None,
        name: str,
        scratch: Scratch,
        input_order: Tensor | None = None,
    ) -> None:
        """Make the layer; `scratch` holds the unpacked matrix."""
        super().__init__()
        self.tensor = tensor
        self.bias = bias
        self.input_order = input_order
        self.out_features, self.in_features = tensor.shape
        self.name = name
        self._scratch = scratch

    @property
    def weight(self) -> Tensor:
        """The unpacked matrix (N, K) as the file has it, until that of another layer is."""
        return self._scratch.unpacked(self.name, self.tensor)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, K) → (…, N)."""
        return functional.linear(self.ordered(hidden), self.weight, self.bias)

    def ordered(self, hidden: Tensor) -> Tensor:
        """The inputs (…, K) in the order of the file's columns."""
        return hidden if self.input_order is None else hidden[..., self.input_order]


class BlockHead(nn.Module):
    """The LM head over a matrix in blocks: too large to unpack as a whole.

    Attributes:
        packed: the same matrix packed for decoding, once there is one; prefill then takes it, too.
    """

    def __init__(self, tensor: BlockTensor, dtype: torch.dtype) -> None:
        """Make the head; it computes in `dtype`."""
        super().__init__()
        self.tensor = tensor
        self.bias = None
        self.packed: PackedMatrix | None = None
        self.out_features, self.in_features = tensor.shape
        self._dtype = dtype

    def forward(self, hidden: Tensor) -> Tensor:
        """(1, T, K) → (1, T, N)."""
        if self.packed is not None:
            return self.packed(hidden[0]).unsqueeze(0)
        logits = hidden.new_empty(*hidden.shape[:-1], self.out_features)
        for rows, raw in self.tensor.chunks():
            weight = torch.empty(raw.shape[0], self.in_features, dtype=self._dtype)
            self.tensor.kind.unpack(raw, weight)
            logits[..., rows] = functional.linear(hidden, weight)
        return logits

    def pack(self) -> PackedMatrix:
        """Pack the matrix for decoding."""
        self.packed = pack_blocks([self.tensor], None)
        return self.packed


class BlockStack(nn.Module):
    """The experts' matrices of a layer in blocks, (E, N, K): one is unpacked at a time.

    Each expert's rows come from one or two tensors, such as gate and up.
    """

    def __init__(
        self,
        tensors: Sequence[tuple[BlockTensor, slice]],
        num_experts: int,
        name: str,
        scratch: Scratch,
        *,
        transposed: bool = False,
    ) -> None:
        """Make the stack.

        Args:
            tensors: matrices (E · rows, K) with the experts one after the other, and where the
                rows of each go in an expert's matrix.
            num_experts: E.
            name: that of the parameter, as `gate_up_proj`.
            scratch: holds the matrix of one expert.
            transposed: the parameter is (E, K, N).
        """
        super().__init__()
        self.tensors = tuple(sorted(tensors, key=lambda each: each[1].start or 0))
        self.num_experts = num_experts
        self._transposed = transposed
        self.name, self._scratch = name, scratch
        rows = sum(tensor.num_rows for tensor, _ in tensors) // num_experts
        self._size = rows, tensors[0][0].num_columns

    @property
    def shape(self) -> torch.Size:
        """That of the parameter."""
        size = self._size[::-1] if self._transposed else self._size
        return torch.Size((self.num_experts, *size))

    def numel(self) -> int:
        """Number of weights of all experts."""
        return self.shape.numel()

    @torch.inference_mode()
    def __getitem__(self, expert: int) -> Tensor:
        """The matrix of an expert, valid until the next one is unpacked."""
        buffer = self._scratch.buffer(self.name, *self._size)
        for tensor, into in self.tensors:
            count = tensor.num_rows // self.num_experts
            rows = buffer[into]
            if rows.is_contiguous():
                tensor.part(expert * count, count).unpack(rows)
            else:
                unpacked = torch.empty_like(rows, memory_format=torch.contiguous_format)
                tensor.part(expert * count, count).unpack(unpacked)
                rows.copy_(unpacked)
        return buffer.t() if self._transposed else buffer

    @property
    def packs_gate_first(self) -> bool:
        """Whether `pack` puts the rows of gate before those of up: they are two tensors."""
        return len(self.tensors) > 1

    def pack(self, expert: int, bias: Tensor | None) -> PackedMatrix:
        """Pack an expert's matrix (N, K) for decoding, the rows of each tensor together.

        Args:
            expert: its index.
            bias: (N,) in the order of the parameter; None for no bias.
        """
        parts = []
        for tensor, _ in self.tensors:
            count = tensor.num_rows // self.num_experts
            parts.append(tensor.part(expert * count, count))
        if bias is not None:
            bias = torch.cat([bias[into] for _, into in self.tensors])
        return pack_blocks(parts, bias)


class BlockEmbedding(nn.Module):
    """Embeddings in blocks: each token's row is read from the file and unpacked."""

    def __init__(self, tensor: BlockTensor, dtype: torch.dtype, scale: float) -> None:
        """Make the module; rows are multiplied by `scale`, rounded to `dtype` as the model's is."""
        super().__init__()
        self.tensor = tensor
        self._dtype = dtype
        self._scale = torch.tensor(scale, dtype=dtype) if scale != 1 else None

    def forward(self, token_ids: Tensor) -> Tensor:
        """(1, T) → (1, T, hidden)."""
        embedded = self.tensor.unpack_rows(token_ids[0], self._dtype).unsqueeze(0)
        return embedded if self._scale is None else embedded * self._scale


def block_tensors(module: nn.Module) -> list[BlockTensor]:
    """The matrices of a module that stay in a file's blocks, each once."""
    linear = [
        each.tensor
        for each in module.modules()
        if isinstance(each, BlockLinear | BlockHead | BlockEmbedding)
    ]
    return _unique([*linear, *expert_tensors(module)])


def expert_tensors(module: nn.Module) -> list[BlockTensor]:
    """Those of them that hold the matrices of experts."""
    stacks = (each for each in module.modules() if isinstance(each, BlockStack))
    return _unique([tensor for stack in stacks for tensor, _ in stack.tensors])


def _unique(tensors: list[BlockTensor]) -> list[BlockTensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def buffer_sizes(modules: Iterable[nn.Module]) -> dict[str, int]:
    """Weights of the buffers that these layers' matrices are unpacked into, by name.

    Of experts, one is unpacked at a time.
    """
    sizes: dict[str, int] = {}
    for module in modules:
        for each in module.modules():
            if isinstance(each, BlockLinear):
                sizes[each.name] = max(sizes.get(each.name, 0), each.tensor.num_weights)
            elif isinstance(each, BlockStack):
                one = each.numel() // each.num_experts
                sizes[each.name] = max(sizes.get(each.name, 0), one)
    return sizes
