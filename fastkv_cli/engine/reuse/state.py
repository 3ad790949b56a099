"""What stage one of FastKV makes of a document: kept, it serves every further question.

The layers before the TSP layer are causal, so what they make of the document does not depend on
what stands behind it. Their K and V, and the hidden states that enter the TSP layer, are all that a
further question needs: its own tokens go through those layers, the choice is made anew, and the few
tokens that go on are finished. K and V of the TSP layer itself follow from the hidden states.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ...store import TensorSpec
from ..model.decoder import Decoder

_NAMES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
# In 8 bits, the numbers of a channel share a scale for so many tokens: the first token of a text is
# a hundred times larger in a few channels, which would cost the others of them their precision.
SCALED_TOKENS = 64
_SCALE = ".scale"


@dataclass(frozen=True, slots=True)
class StateShape:
    """How large a state is.

    Attributes:
        num_tokens: n, of the document and the template before it.
        layer: ℓ, the first layer that is not in it.
        num_kv_heads: H_kv.
        head_dim: D.
        hidden_size: of the hidden states.
        dtype: of the model's numbers.
        int8: whether they are kept in 8 bits, with a scale for each channel of 64 tokens.
    """

    num_tokens: int
    layer: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    dtype: torch.dtype
    int8: bool = False

    @classmethod
    def of(cls, decoder: Decoder, num_tokens: int, layer: int, *, int8: bool = False) -> StateShape:
        """The shape of a model's state."""
        first = decoder.layers[0]
        return cls(
            num_tokens,
            layer,
            first.num_kv_heads,
            first.head_dim,
            decoder.hidden_size,
            decoder.dtype,
            int8,
        )

    def tensors(self) -> dict[str, TensorSpec]:
        """All tensors by name, in the order in which prefill comes by them."""
        kv = (self.num_kv_heads, self.num_tokens, self.head_dim)
        found: dict[str, TensorSpec] = {}
        for layer in range(self.layer):
            found |= self._spec(key_of(layer), kv) | self._spec(value_of(layer), kv)
        return found | self._spec("hidden", (self.num_tokens, self.hidden_size))

    @property
    def nbytes(self) -> int:
        """Of n · (2 ℓ · H_kv · D + hidden) numbers; in 8 bits with a scale for each 64 of them."""
        return sum(tensor.nbytes for tensor in self.tensors().values())

    def _spec(self, name: str, shape: tuple[int, ...]) -> dict[str, TensorSpec]:
        if not self.int8:
            return {name: TensorSpec(_NAMES[self.dtype], shape)}
        *heads, rows, channels = shape
        scales = (*heads, -(-rows // SCALED_TOKENS), channels)
        scale = TensorSpec(_NAMES[self.dtype], scales)
        return {name + _SCALE: scale, name: TensorSpec("I8", shape)}


def key_of(layer: int) -> str:
    """The name of a layer's keys."""
    return f"key.{layer}"


def value_of(layer: int) -> str:
    """The name of a layer's values."""
    return f"value.{layer}"


@dataclass(frozen=True, slots=True)
class DocumentState:
    """A document after stage one.

    Attributes:
        shape: how large it is.
        tensors: by name: `key.ℓ` and `value.ℓ` (H_kv, n, D), `hidden` (n, hidden); in 8 bits each
            with its `.scale`. They may lie in a mapped file.
    """

    shape: StateShape
    tensors: Mapping[str, Tensor]

    def fill(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Put a layer's K and V into tensors (1, H_kv, n, D)."""
        for name, room in ((key_of(layer), key), (value_of(layer), value)):
            room[0].copy_(self._read(name))

    @property
    def hidden(self) -> Tensor:
        """(1, n, hidden), what enters the layer behind the last one kept."""
        return self._read("hidden").unsqueeze(0)

    def _read(self, name: str) -> Tensor:
        kept = self.tensors[name]
        if not self.shape.int8:
            return kept
        scale = self.tensors[name + _SCALE].repeat_interleave(SCALED_TOKENS, dim=-2)
        return kept.to(scale.dtype).mul_(scale[..., : kept.shape[-2], :])


class Recorder(AbstractContextManager["Recorder"], Protocol):
    """Takes a state tensor by tensor; left without `commit`, it keeps nothing."""

    def add(self, name: str, tensor: Tensor) -> None:
        """Take the next tensor, (…, n, channels)."""

    def commit(self) -> None:
        """All tensors are there."""

    @property
    def is_kept(self) -> bool:
        """Whether the state is where it will be found."""


def pack_tensor(shape: StateShape, name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A tensor as it is kept, on the CPU and contiguous: itself, or its scales and 8-bit numbers.

    Args:
        shape: of the state.
        name: of the tensor.
        tensor: (…, n, channels).
    """
    tensor = tensor.to("cpu").contiguous()
    if not shape.int8:
        yield name, tensor
        return
    num_tokens = tensor.shape[-2]
    padded = torch.nn.functional.pad(tensor, (0, 0, 0, -num_tokens % SCALED_TOKENS))
    *heads, _, channels = padded.shape
    blocks = padded.view(*heads, -1, SCALED_TOKENS, channels).float()
    # the scale is rounded first, so that what is kept refers to just the scale that is kept
    scale = (blocks.abs().amax(dim=-2) / 127).clamp_min(torch.finfo(shape.dtype).tiny)
    scale = scale.to(shape.dtype)
    numbers = (blocks / scale.unsqueeze(-2).float()).round_().clamp_(-127, 127).to(torch.int8)
    yield name + _SCALE, scale.contiguous()
    yield name, numbers.flatten(-3, -2)[..., :num_tokens, :].contiguous()
