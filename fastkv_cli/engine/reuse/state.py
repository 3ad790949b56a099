"""Prefix state of a document: the results of FastKV's first stage, for further questions.

The layers before the TSP layer are causal, so their results for the document do not depend on the
tokens after it. Their K and V, and the hidden states that enter the TSP layer, are all that a
further question needs: the question's own tokens pass through those layers, tokens are selected
anew, and the few propagated ones pass through the rest. K and V of the TSP layer itself follow from
the hidden states. In layers with a sliding window, K and V of the last window are enough; a
recurrent layer has its state after the document's last token in place of K and V.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from ...store import TensorSpec
from ..cache_entries import RecurrentState
from ..model.decoder import Decoder
from ..model.recurrent_layer import RecurrentLayer

_NAMES = {torch.bfloat16: "BF16", torch.float16: "F16", torch.float32: "F32"}
# In 8 bits, this many tokens share a scale in each channel. The first token of a text is a hundred
# times larger in a few channels, and a scale for all tokens would cost those channels' other tokens
# their precision.
SCALED_TOKENS = 64
_SCALE = ".scale"


@dataclass(frozen=True, slots=True)
class StateShape:
    """The sizes that determine a state's tensors.

    Attributes:
        num_tokens: n, tokens of the document and of the template before it.
        layer: ℓ, the first layer that is not in the state.
        windows: for each layer before ℓ, the tokens that a query attends to; None means all.
        num_kv_heads: H_kv.
        head_dim: D.
        hidden_size: size of a hidden state.
        dtype: the model's dtype.
        int8: whether values are kept in 8 bits, with a scale for each channel of 64 tokens.
        snapshots: name and tensor of the recurrent states after the last token; always exact.
    """

    num_tokens: int
    layer: int
    windows: tuple[int | None, ...]
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    dtype: torch.dtype
    int8: bool = False
    snapshots: tuple[tuple[str, TensorSpec], ...] = ()

    @classmethod
    def of(cls, decoder: Decoder, num_tokens: int, layer: int, *, int8: bool = False) -> Self:
        """The shape of a state of this model."""
        first = decoder.attention_layers[0]
        snapshots = [
            (name, TensorSpec(_NAMES[tensor.dtype], tuple(tensor.shape)))
            for each in decoder.layers[:layer]
            if each.is_recurrent
            for name, tensor in name_snapshot(each, each.start())
        ]
        return cls(
            num_tokens,
            layer,
            decoder.windows[:layer],
            first.num_kv_heads,
            first.head_dim,
            decoder.hidden_size,
            decoder.dtype,
            int8,
            tuple(snapshots),
        )

    def tensors(self) -> dict[str, TensorSpec]:
        """All tensors by name, in the order in which prefill computes them."""
        snapshots = dict(self.snapshots)
        found: dict[str, TensorSpec] = {}
        for layer in range(self.layer):
            own = {name: snapshots[name] for name in snapshot_of(layer) if name in snapshots}
            kv = (self.num_kv_heads, self.num_tokens - self.first_token(layer), self.head_dim)
            found |= own or self._spec(key_of(layer), kv) | self._spec(value_of(layer), kv)
        return found | self._spec("hidden", (self.num_tokens, self.hidden_size))

    def first_token(self, layer: int) -> int:
        """The first token whose K and V are in the state: tokens behind n attend to no earlier."""
        window = self.windows[layer]
        return 0 if window is None else max(self.num_tokens - window, 0)

    @property
    def nbytes(self) -> int:
        """Bytes of n · (2 ℓ · H_kv · D + hidden) values; in 8 bits with a scale for each 64.

        Less where layers have a sliding window.
        """
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


def snapshot_of(layer: int) -> tuple[str, str]:
    """The names of the tensors of a layer's recurrent state."""
    return f"inputs.{layer}", f"matrix.{layer}"


def name_snapshot(layer: RecurrentLayer, state: RecurrentState) -> list[tuple[str, Tensor]]:
    """The tensors of a layer's recurrent state by their names."""
    named = zip(snapshot_of(layer.index), state, strict=True)
    return [(name, tensor) for name, tensor in named if tensor is not None]


@dataclass(frozen=True, slots=True)
class DocumentState:
    """Prefix state of the document's tokens.

    Attributes:
        shape: its sizes.
        tensors: by name: `key.ℓ` and `value.ℓ` (H_kv, n, D), or (H_kv, W, D) in layers with a
            sliding window; `inputs.ℓ` and `matrix.ℓ` of a recurrent layer; `hidden` (n, hidden). In
            8 bits each with its `.scale`, save those of recurrent layers. They may be mapped from a
            file.
    """

    shape: StateShape
    tensors: Mapping[str, Tensor]

    def fill(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Copy a layer's K and V into tensors (1, H_kv, n, D); rows before the window become 0."""
        first = self.shape.first_token(layer)
        for name, target in ((key_of(layer), key), (value_of(layer), value)):
            target[0, :, :first] = 0
            target[0, :, first:].copy_(self._dequantized(name))

    def snapshot(self, layer: int, device: torch.device) -> RecurrentState:
        """The recurrent state of a layer after the document's last token."""
        inputs, matrix = (self.tensors.get(name) for name in snapshot_of(layer))
        assert inputs is not None
        return RecurrentState(inputs.to(device), None if matrix is None else matrix.to(device))

    @property
    def hidden(self) -> Tensor:
        """(1, n, hidden), the input of the first layer that is not in the state."""
        return self._dequantized("hidden").unsqueeze(0)

    def _dequantized(self, name: str) -> Tensor:
        stored = self.tensors[name]
        if not self.shape.int8:
            return stored
        scale = self.tensors[name + _SCALE].repeat_interleave(SCALED_TOKENS, dim=-2)
        return stored.to(scale.dtype).mul_(scale[..., : stored.shape[-2], :])


class Recorder(AbstractContextManager["Recorder"], Protocol):
    """Records a state tensor by tensor; keeps nothing unless `commit` is called."""

    def add(self, name: str, tensor: Tensor) -> None:
        """Add the next tensor, (…, n, channels)."""

    def commit(self) -> None:
        """Keep the state; call it after the last tensor."""

    @property
    def is_kept(self) -> bool:
        """Whether the state was kept and can be found."""


def pack_tensor(shape: StateShape, name: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Pack a tensor for storage, on the CPU and contiguous: unchanged, or scales and 8-bit values.

    Args:
        shape: the state's.
        name: the tensor's.
        tensor: (…, n, channels).
    """
    tensor = tensor.to("cpu").contiguous()
    if not shape.int8 or name in dict(shape.snapshots):
        yield name, tensor
        return
    num_tokens = tensor.shape[-2]
    padded = torch.nn.functional.pad(tensor, (0, 0, 0, -num_tokens % SCALED_TOKENS))
    *heads, _, channels = padded.shape
    blocks = padded.view(*heads, -1, SCALED_TOKENS, channels).float()
    # the scale is rounded before it is used, so that values are quantized by the stored scale
    scale = (blocks.abs().amax(dim=-2) / 127).clamp_min(torch.finfo(shape.dtype).tiny)
    scale = scale.to(shape.dtype)
    numbers = (blocks / scale.unsqueeze(-2).float()).round_().clamp_(-127, 127).to(torch.int8)
    yield name + _SCALE, scale.contiguous()
    yield name, numbers.flatten(-3, -2)[..., :num_tokens, :].contiguous()
