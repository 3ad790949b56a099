"""A few of a model's layers with weights, to time them without loading the model.

A GGUF file's layers read their own blocks. Of a model that was opened without weights, copies of
layers get values: how long a product takes does not depend on them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from .model.block_modules import BlockHead
from .model.decoder import Decoder
from .model.decoder_opening import open_decoder
from .model.gguf_weights import fill_buffers
from .model.plain import PlainLinear
from .model.recurrent_layer import Layer
from .sampling import seeded_generator

_DRAWN = 2**20  # weights, one by one
_HEAD_WEIGHTS = 2**24  # of the LM head are taken, at most
# Q4_K_M has one layer in three with more matrices in 6 bits, so that three of a file's layers stand
# for all. Layers without blocks differ in nothing.
_FROM_BLOCKS = 3


@dataclass(frozen=True, slots=True)
class LayerKind:
    """What layers that take the same time have in common.

    Attributes:
        is_recurrent: whether a layer keeps a state in place of keys and values.
        num_weights: of its matrices.
        window: tokens that a query attends to; None means all.
    """

    is_recurrent: bool
    num_weights: int
    window: int | None

    @classmethod
    def of(cls, layer: Layer) -> LayerKind:
        """The kind of a layer."""
        window = None if layer.is_recurrent else layer.sliding_window
        return cls(layer.is_recurrent, layer.num_weights, window)


@dataclass(frozen=True, slots=True)
class SampleLayers:
    """Some layers of a model, with weights.

    Attributes:
        decoder: with these layers alone, and the first rows of the LM head.
        head_share: the share of the LM head's rows that it has.
    """

    decoder: Decoder
    head_share: float

    def of_kind(self, kind: LayerKind | None) -> Decoder:
        """The decoder with the layers of a kind, numbered anew; with None, it has no layers."""
        layers = [layer for layer in self.decoder.layers if LayerKind.of(layer) == kind]
        numbered = tuple(replace(layer, index=at) for at, layer in enumerate(layers))
        return replace(self.decoder, layers=numbered)


def kinds(decoder: Decoder) -> list[LayerKind]:
    """The kinds of a model's layers, each once."""
    return list(dict.fromkeys(LayerKind.of(layer) for layer in decoder.layers))


def sample_layers(model: Any, decoder: Decoder) -> SampleLayers:
    """Layers of each kind from the middle of a model that was opened without weights.

    Args:
        model: a transformers ForCausalLM or a `PlainLlama`; it stays as it is.
        decoder: a view over it.
    """
    hidden_size = decoder.hidden_size
    vocabulary = decoder.num_head_weights // hidden_size
    num_rows = min(vocabulary, max(_HEAD_WEIGHTS // hidden_size // 64, 1) * 64)
    chosen = _choose(decoder, _FROM_BLOCKS if decoder.is_in_blocks else 1)
    sample = copy.copy(model)
    sample._modules = dict(model._modules)  # a module's copy would share them
    if decoder.is_in_blocks:
        head = model.lm_head.tensor
        sample.lm_head = BlockHead(replace(head, num_rows=num_rows), decoder.dtype)
        opened = decoder
    else:
        sample.model = copy.deepcopy(model.model)
        sample.model.embed_tokens = _Ones(hidden_size, decoder.dtype)
        sample.lm_head = PlainLinear(hidden_size, num_rows).to(decoder.dtype)
        layers = sample.model.layers
        others = [each for name, each in sample.model.named_children() if name != "layers"]
        for module in (sample.lm_head, *others, *(layers[at] for at in chosen)):
            _fill(module)
        fill_buffers(sample)
        opened = open_decoder(sample)
    taken = tuple(opened.layers[at] for at in chosen)
    opened = replace(opened, layers=taken, device=torch.device("cpu"), _model=sample)
    return SampleLayers(opened, num_rows / vocabulary)


def _choose(decoder: Decoder, count: int) -> list[int]:
    """The indices of `count` neighbours of each kind, in the middle of its layers."""
    chosen = []
    for kind in kinds(decoder):
        found = [layer.index for layer in decoder.layers if LayerKind.of(layer) == kind]
        first = max((len(found) - count) // 2, 0)
        chosen += found[first : first + count]
    return chosen


class _Ones(nn.Module):
    """Embeddings that need no memory."""

    def __init__(self, hidden_size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.one = torch.ones((), dtype=dtype)
        self.hidden_size = hidden_size

    def forward(self, token_ids: Tensor) -> Tensor:
        """(1, T) → (1, T, hidden)."""
        return self.one.expand(*token_ids.shape, self.hidden_size)


def _fill(module: nn.Module) -> None:
    """Give the parameters of a module memory and values.

    The rows of a large matrix are alike, and the matrices of all experts share their memory.
    """
    generator = seeded_generator(0)
    for owner in module.modules():
        for name, parameter in list(owner.named_parameters(recurse=False)):
            shape = parameter.shape[-2:]
            drawn = shape if shape.numel() <= _DRAWN else shape[-1:]
            values = torch.rand(drawn, generator=generator).sub_(0.5).mul_(0.1)
            matrix = values.to(parameter.dtype).expand(shape).contiguous()
            filled = nn.Parameter(matrix.expand(parameter.shape), requires_grad=False)
            owner.register_parameter(name, filled)
