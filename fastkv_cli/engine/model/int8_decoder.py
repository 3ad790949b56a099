"""A decoder whose layers multiply in 8 bits, made of one in 16 or 32 bits and a short text.

Few columns of the activations are 20 times as large as all others, in every token; a row's step
then leaves 3 bits for the rest, and a product is off by 3 to 9% in place of 1 to 2%. So a short
text passes through the layers first. Columns that are large there are divided by a power of two
before the product, and the matrix's columns are multiplied by it (SmoothQuant, arXiv 2211.10438).
This costs nothing later: the norm before the product takes the division, or the rows of `up`.
Where 8 bits are still too far off, the product stays in the decoder's number format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..kernels.attention import Causality, Kernel, attend
from ..kernels.int8_product import Int8Weights, Int8Workspace, multiplies_int8
from .decoder import Decoder
from .decoder_layer import DecoderLayer
from .int8_layer import Int8Layer, Int8Plan, Int8Plans, Int8Products, LayerWeights, ProductStore
from .layer_parts import RMSNorm
from .rope import RopeTable

# The most that a product in 8 bits may be off on the text: the median over its tokens of the
# relative error of a row.
MOST_ERROR = 0.03
_CHECKED = 32  # tokens on which it is measured
# Columns are scaled down to this many times the median column's largest magnitude.
_LARGE = 2.0
# Matrices of all layers in 8 bits are kept for the next prompt up to this size; those of larger
# models are made anew, layer by layer, in a tenth of the time of their products with 1,000 tokens.
_MOST_KEPT_BYTES = 256 * 2**20
# Prose, numbers, code and another language: columns that are large here are large in any text.
SAMPLE = (
    "The quick brown fox jumps over the lazy dog. In 1969, 3 people flew to the moon; two of them "
    "walked on it. def main(x): return x + 1. Der Zug kommt um 14:35 Uhr an. Question: What is the "
    "price of the blue car? Answer: it costs $12,500, which is more than last year."
)


@dataclass(frozen=True, slots=True)
class Int8Decoder:
    """A decoder for prefill in 8 bits.

    Attributes:
        decoder: with an `Int8Layer` in the place of each layer.
        plans: of its layers.
    """

    decoder: Decoder
    plans: Int8Plans

    @property
    def num_products(self) -> int:
        """All products, four a layer: QKV, output, gate with up, down."""
        return 4 * len(self.plans.layers)


def can_quantize(decoder: Decoder, device: torch.device) -> bool:
    """Whether the layers of a decoder can be multiplied in 8 bits, and gain by it here.

    Args:
        decoder: with or without weights.
        device: the one to compute on; a decoder without weights is on none.
    """
    return (
        device.type == "cpu"
        and decoder.dtype in (torch.bfloat16, torch.float32)
        and not (decoder.has_recurrent_layers or decoder.has_experts)
        and multiplies_int8()
    )


def kept_bytes(num_weights: int) -> int:
    """Bytes of the matrices in 8 bits that stay in memory, of a model's layers with so many."""
    return num_weights if num_weights <= _MOST_KEPT_BYTES else 0


@torch.inference_mode()
def quantize_decoder(decoder: Decoder, sample_ids: Sequence[int]) -> Int8Decoder:
    """Quantize the layers of a decoder, which `can_quantize`.

    Args:
        decoder: stays as it is.
        sample_ids: the tokens of `SAMPLE`.
    """
    ropes = decoder.ropes(torch.arange(len(sample_ids)), len(sample_ids))
    hidden = decoder.embed(torch.tensor(sample_ids))
    store = _open_store(decoder)
    layers: list[Int8Layer] = []
    errors: list[float] = []
    for layer in decoder.attention_layers:
        activations = _pass_through(layer, hidden, ropes)
        quantized, found = _quantize_layer(layer, activations, store)
        layers.append(quantized)
        errors += found
        hidden = activations.after
    plans = Int8Plans(tuple(layer.plan for layer in layers), tuple(errors))
    return Int8Decoder(replace(decoder, layers=tuple(layers)), plans)


@torch.inference_mode()
def planned_decoder(decoder: Decoder, plans: Int8Plans) -> Int8Decoder:
    """The decoder that `quantize_decoder` made these plans for; its matrices are made when used."""
    store = _open_store(decoder)
    layers = tuple(
        _with_plan(layer, plan, store)
        for layer, plan in zip(decoder.attention_layers, plans.layers, strict=True)
    )
    return Int8Decoder(replace(decoder, layers=layers), plans)


def _open_store(decoder: Decoder) -> ProductStore:
    return ProductStore(kept_bytes(decoder.num_weights - decoder.num_head_weights) > 0)


def _with_plan(layer: DecoderLayer, plan: Int8Plan, store: ProductStore) -> Int8Layer:
    own: dict[str, Any] = {each.name: getattr(layer, each.name) for each in fields(DecoderLayer)}
    own["input_norm"] = _divide(layer.input_norm, plan.input_scales)
    own["mlp_norm"] = _divide(layer.mlp_norm, plan.mlp_scales)
    return Int8Layer(**own, plan=plan, store=store)


@dataclass(frozen=True, slots=True)
class _Activations:
    """The inputs of a layer's products on the sample, (T, K) each, and its output."""

    normalized: Tensor
    mixed: Tensor
    mlp_normalized: Tensor
    inner: Tensor
    after: Tensor  # (1, T, hidden)


def _pass_through(layer: DecoderLayer, hidden: Tensor, ropes: RopeTable) -> _Activations:
    """Compute a layer, (1, T, hidden), in its own format."""
    normalized = layer.normalize(hidden)
    query, key, value = layer.project(hidden, ropes)
    causality = Causality(torch.arange(hidden.shape[1]), sliding_window=layer.sliding_window)
    attended = attend(query, key, value, causality, layer.scaling, Kernel.SDPA, layer.sinks)
    mixed = attended.transpose(1, 2).reshape(1, hidden.shape[1], -1)
    between = layer.after_attention.add(hidden, layer.module.self_attn.o_proj(mixed))
    mlp_normalized = between if layer.mlp_norm is None else layer.mlp_norm(between)
    gate_up, down = layer.mlp_matrices()
    gate, up = gate_up.linear(mlp_normalized).chunk(2, dim=-1)
    inner = layer.activation(gate) * up
    after = layer.after_mlp.add(between, down.linear(inner))
    return _Activations(normalized[0], mixed[0], mlp_normalized[0], inner[0], after)


def _quantize_layer(
    layer: DecoderLayer, activations: _Activations, store: ProductStore
) -> tuple[Int8Layer, list[float]]:
    """The layer in 8 bits, and the errors of the products that are."""
    inputs, mlp_inputs, inner = (
        activations.normalized,
        activations.mlp_normalized,
        activations.inner,
    )
    plan = Int8Plan(
        input_scales=None if layer.input_norm is None else _column_scales(inputs),
        mlp_scales=None if layer.mlp_norm is None else _column_scales(mlp_inputs),
        inner_scales=_column_scales(inner),
    )
    weights = LayerWeights.of(layer)
    products = Int8Products.of(weights, plan)
    (qkv, output), (gate_up, down) = layer.attention_matrices(), layer.mlp_matrices()
    matrices = (weights.query, weights.key_value), (weights.output,), weights[3:5], (weights.down,)
    divided = (None, None), (None,), (None, plan.inner_scales), (None,)
    rows = inputs, activations.mixed, mlp_inputs, inner
    scales = plan.input_scales, None, plan.mlp_scales, plan.inner_scales
    errors = [
        inf if matrix.bias is not None else _error(store.work, *each)
        for matrix, *each in zip(
            (qkv, output, gate_up, down), rows, scales, products, matrices, divided, strict=True
        )
    ]
    attention, output_holds, gate_up_holds, down_holds = (each <= MOST_ERROR for each in errors)
    down_holds = down_holds and gate_up_holds
    holds = attention, output_holds, gate_up_holds, down_holds
    if not all(holds):
        plan = Int8Plan(
            *holds,
            input_scales=plan.input_scales if attention else None,
            mlp_scales=plan.mlp_scales if gate_up_holds else None,
            inner_scales=plan.inner_scales if down_holds else None,
        )
        products = Int8Products.of(weights, plan)
    quantized = _with_plan(layer, plan, store)
    store.keep(quantized, products)
    return quantized, [each for each, is_chosen in zip(errors, holds, strict=True) if is_chosen]


def _error(
    work: Int8Workspace,
    inputs: Tensor,
    scales: Tensor | None,
    products: Sequence[Int8Weights],
    weights: Sequence[Tensor],
    divided: Sequence[Tensor | None],
) -> float:
    """The largest of the errors of a product's matrices.

    Args:
        work: multiplies.
        inputs: (T, K), on the sample.
        scales: (K,), what they are divided by.
        products: the matrices in 8 bits.
        weights: the same, (N, K) each.
        divided: (N,) each, what the rows of those in 8 bits were divided by.
    """
    inputs = inputs[1 : 1 + _CHECKED]
    rows = work.quantize(inputs if scales is None else inputs / scales.to(inputs.dtype))
    errors = []
    for product, weight, divisor in zip(products, weights, divided, strict=True):
        found = work.multiply(rows, product).float().mul_(rows.steps)
        if divisor is not None:
            found.mul_(divisor)
        exact = functional.linear(inputs, weight).float()
        distance = (found - exact).norm(dim=1) / exact.norm(dim=1).clamp_(min=1e-30)
        errors.append(float(distance.median()))
    return max(errors)


def _column_scales(inputs: Tensor) -> Tensor:
    """What to divide the columns of a product's inputs (T, K) by, powers of two, (K,) float32.

    The first token is left out: all others attend to it, and its columns are like no other's.
    """
    largest = inputs[1:].float().abs().amax(dim=0)
    times = largest / (_LARGE * largest.median()).clamp_(min=1e-30)
    return torch.exp2(torch.log2(times.clamp_(min=1)).round_())


def _divide(norm: RMSNorm | None, scales: Tensor | None) -> RMSNorm | None:
    """The norm with its columns divided; exact, as the scales are powers of two."""
    if norm is None or scales is None:
        return norm
    return replace(norm, gain=norm.gain / scales.to(norm.gain.dtype))
