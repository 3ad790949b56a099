"""Modules whose weights stay in a GGUF file's blocks, in the places of a model's own modules.

Prefill computes a layer for many rows at once, from matrices unpacked into a buffer that the next
layer overwrites. So memory holds the unpacked matrices of one layer, whatever the model's size.
"""

from __future__ import annotations

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
            buffer = self._buffers.get(name)
            if buffer is None or buffer.shape != tensor.shape:
                with torch.inference_mode():
                    buffer = torch.empty(tensor.shape, dtype=self.dtype)
                self._buffers[name] = buffer
            with torch.inference_mode():
                tensor.unpack(buffer)
            self._owners[name] = tensor
        return self._buffers[name]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(buffer.nbytes for buffer in self._buffers.values())


class BlockLinear(nn.Module):
    """A linear layer, (…, K) → (…, N), over a matrix in blocks."""

    def __init__(
        self, tensor: BlockTensor, bias: nn.Parameter | None, name: str, scratch: Scratch
    ) -> None:
        """Make the layer; `name` is that of its place in a layer, as `q_proj`."""
        super().__init__()
        self.tensor = tensor
        self.bias = bias
        self.out_features, self.in_features = tensor.shape
        self._name = name
        self._scratch = scratch

    @property
    def weight(self) -> Tensor:
        """The unpacked matrix (N, K), valid until that of another layer is unpacked."""
        return self._scratch.unpacked(self._name, self.tensor)

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, K) → (…, N)."""
        return functional.linear(hidden, self.weight, self.bias)


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
    kinds = BlockLinear, BlockHead, BlockEmbedding
    found = [each.tensor for each in module.modules() if isinstance(each, kinds)]
    return list({id(tensor): tensor for tensor in found}.values())
