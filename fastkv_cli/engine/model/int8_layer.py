"""A decoder layer whose matrices are multiplied in 8 bits: weights by row, activations by row.

A row of activations has one step, which multiplies what a product makes of it. The residual
addition applies those of the output projection and of `down`; that of `up` waits until `down`,
as quantizing its rows again cancels it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ..kernels.int8_product import Int8Weights, Int8Workspace, pieces
from .decoder_layer import DecoderLayer
from .layer_parts import Residual


class Int8Plan(NamedTuple):
    """What of a layer is multiplied in 8 bits, and what its inputs are divided by before.

    Attributes:
        query_key_value: Q, K and V.
        output: the output projection.
        gate_up: gate and up.
        down: down; only together with `gate_up`.
        input_scales: (hidden,), divides the columns of the attention's input; None for nothing.
        mlp_scales: (hidden,), those of the MLP's input.
        inner_scales: (intermediate,), those of the input of down.
    """

    query_key_value: bool = True
    output: bool = True
    gate_up: bool = True
    down: bool = True
    input_scales: Tensor | None = None
    mlp_scales: Tensor | None = None
    inner_scales: Tensor | None = None


class Int8Plans(NamedTuple):
    """The plans of a model's layers.

    Attributes:
        layers: one of each.
        errors: the relative errors of the products in 8 bits on the sample, by layer.
    """

    layers: tuple[Int8Plan, ...]
    errors: tuple[float, ...]


class LayerWeights(NamedTuple):
    """The matrices of a layer in its own format, (N, K) each; of a GGUF file, unpacked for now.

    Attributes:
        query: Q.
        key_value: K and V.
        output: the output projection.
        gate: gate.
        up: up.
        down: down.
    """

    query: Tensor
    key_value: Tensor
    output: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor

    @classmethod
    def of(cls, layer: DecoderLayer) -> LayerWeights:
        """The matrices of a layer."""
        (qkv, output), (gate_up, down) = layer.attention_matrices(), layer.mlp_matrices()
        query, key_value = qkv.weight.tensor_split((layer.num_heads * layer.head_dim,))
        gate, up = gate_up.weight.chunk(2)
        return cls(query, key_value, output.weight, gate, up, down.weight)


class Int8Products(NamedTuple):
    """The matrices of a layer in 8 bits; empty where a product stays in the model's format.

    Attributes:
        query_key_value: two: Q, and K with V.
        output: one, the output projection.
        gate_up: two.
        down: one.
    """

    query_key_value: tuple[Int8Weights, ...] = ()
    output: tuple[Int8Weights, ...] = ()
    gate_up: tuple[Int8Weights, ...] = ()
    down: tuple[Int8Weights, ...] = ()

    @classmethod
    def of(cls, weights: LayerWeights, plan: Int8Plan) -> Int8Products:
        """Quantize the matrices of a layer."""
        query, key_value, output, gate, up, down = weights
        if plan.inner_scales is not None:  # the rows of up take the division before down
            up = up / plan.inner_scales.unsqueeze(1).to(up.dtype)
        return cls(
            tuple(
                Int8Weights.of(part, plan.input_scales)
                for part in (query, key_value) * plan.query_key_value
            ),
            (Int8Weights.of(output),) if plan.output else (),
            tuple(Int8Weights.of(part, plan.mlp_scales) for part in (gate, up) * plan.gate_up),
            (Int8Weights.of(down, plan.inner_scales),) if plan.down else (),
        )

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(matrix.nbytes for matrices in self for matrix in matrices)


@dataclass(slots=True, eq=False)
class ProductStore:
    """The matrices in 8 bits of a model's layers: of all, or of the layer in use alone.

    Attributes:
        keeps_all: whether a layer's are kept for the next prompt.
        work: multiplies; one of all layers.
    """

    keeps_all: bool
    work: Int8Workspace = field(default_factory=Int8Workspace)
    _products: dict[int, Int8Products] = field(default_factory=dict)

    @torch.inference_mode()
    def of(self, layer: Int8Layer) -> Int8Products:
        """The matrices of a layer, valid until another layer's are asked for."""
        found = self._products.get(layer.index)
        if found is None:
            found = Int8Products.of(LayerWeights.of(layer), layer.plan)
            self.keep(layer, found)
        return found

    def keep(self, layer: Int8Layer, products: Int8Products) -> None:
        """Keep the matrices of a layer, in place of another's where not all are kept."""
        if not self.keeps_all:
            self._products.clear()
        self._products[layer.index] = products


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Layer(DecoderLayer):
    """A `DecoderLayer` for prefill with products in 8 bits; all else is the layer's own.

    Attributes:
        plan: what is multiplied in 8 bits; the norms divide by its scales already.
        store: holds the matrices.
    """

    plan: Int8Plan
    store: ProductStore

    weights_format: ClassVar[str] = "int8"

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Apply output projection, MLP and both residuals, as `DecoderLayer.finish`."""
        mixed = attended.transpose(1, 2).reshape(hidden.shape[1], -1)
        finished, products = torch.empty_like(hidden), self.store.of(self)
        for rows in pieces(hidden.shape[1]):
            change = self._output(products, mixed[rows])
            between = _add(self.after_attention, hidden[0, rows], *change)
            normalized = between if self.mlp_norm is None else self.mlp_norm(between)
            change = self._mlp(products, normalized)
            finished[0, rows] = _add(self.after_mlp, between, *change)
        return finished

    def _project_queries(self, normalized: Tensor) -> Tensor:
        weights = self.store.of(self).query_key_value
        if not weights:
            return DecoderLayer._project_queries(self, normalized)
        return self._multiply(weights[0], normalized)

    def _project_keys_values(self, normalized: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.store.of(self).query_key_value
        if not weights:
            return DecoderLayer._project_keys_values(self, normalized)
        keys, values = self._multiply(weights[1], normalized).chunk(2, dim=-1)
        return keys, values

    def _multiply(self, weights: Int8Weights, hidden: Tensor) -> Tensor:
        """(1, T, K) → (1, T, N)."""
        out = hidden.new_empty(1, hidden.shape[1], weights.num_rows)
        for piece in pieces(hidden.shape[1]):
            rows = self.store.work.quantize(hidden[0, piece])
            torch.mul(self.store.work.multiply(rows, weights), rows.steps, out=out[0, piece])
        return out

    def _output(self, products: Int8Products, mixed: Tensor) -> tuple[Tensor, Tensor | None]:
        """The output projection of (T, H · D): (T, hidden), and the steps to multiply it with."""
        if not products.output:
            projected: Tensor = self.module.self_attn.o_proj(mixed)
            return projected, None
        rows = self.store.work.quantize(mixed)
        return self.store.work.multiply(rows, products.output[0]), rows.steps

    def _mlp(self, products: Int8Products, normalized: Tensor) -> tuple[Tensor, Tensor | None]:
        """The MLP of (T, hidden): (T, hidden), and the steps to multiply it with."""
        if not products.gate_up:
            change: Tensor = self.module.mlp(normalized)
            return change, None
        work = self.store.work
        rows = work.quantize(normalized)
        gate, up = (
            work.multiply(rows, weights, name)
            for name, weights in zip(("gate", "up"), products.gate_up, strict=True)
        )
        gate.mul_(rows.steps)
        in_place = self.activation is functional.silu  # new memory costs more than its exponential
        gate = functional.silu(gate, inplace=True) if in_place else self.activation(gate)
        gate.mul_(up)
        if not products.down:
            change = self.module.mlp.down_proj(gate.mul_(rows.steps))
            return change, None
        inner = work.quantize(gate)
        return work.multiply(inner, products.down[0]).mul_(rows.steps), inner.steps


def _add(residual: Residual, hidden: Tensor, change: Tensor, steps: Tensor | None) -> Tensor:
    """The sum of hidden and change · steps, as the family adds it, (T, hidden)."""
    if steps is None:
        return residual.add(hidden, change)
    if residual.is_plain:
        return torch.addcmul(hidden, change, steps)
    return residual.add(hidden, change.mul_(steps))
