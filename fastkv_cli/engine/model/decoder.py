"""The engine's view of a decoder; only this module and `families` know how families differ.

A `Decoder` wraps a transformers model: it owns nothing, patches nothing, and calls the model's own
modules in the order of their forward pass, so that prefill can select between them which tokens to
propagate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models import check_model_type
from ..methods import Observation, PromptShape
from .families import FAMILIES, Family
from .rope import Rope, RopeTable

_SILU = {"SiLU", "SiLUActivation"}  # the class names in torch and transformers


class Matrix(NamedTuple):
    """Weight (N, K) and bias (N,) of a linear layer."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, *modules: nn.Linear) -> Matrix:
        """Concatenate linear layers of the same input into one."""
        if len(modules) == 1:
            return cls(modules[0].weight, modules[0].bias)
        weights: list[Tensor] = [module.weight for module in modules]
        biases: list[Tensor] = [module.bias for module in modules if module.bias is not None]
        return cls(torch.cat(weights), torch.cat(biases) if biases else None)


class LayerMatrices(NamedTuple):
    """All matrices of a layer."""

    qkv: Matrix
    output: Matrix
    gate_up: Matrix
    down: Matrix


class RMSNorm(NamedTuple):
    """Root mean square norm (arXiv 1910.07467): x · gain / √(mean(x²) + ε).

    Attributes:
        gain: (hidden,), multiplies the normalized rows.
        epsilon: ε.
    """

    gain: Tensor
    epsilon: float

    def __call__(self, hidden: Tensor) -> Tensor:
        """(…, hidden) → (…, hidden), in one torch call (half the time of the model's module)."""
        return functional.rms_norm(hidden, self.gain.shape, self.gain, self.epsilon)


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """One transformer layer, split into the steps between which FastKV selects.

    Attributes:
        index: 0-based.
        module: the model's own layer module.
        family: how the layer departs from Llama.
        num_heads: H.
        num_kv_heads: H_kv.
        head_dim: D.
        scaling: factor applied to q·k.
        sliding_window: tokens that a query attends to, including itself; None means all.
        input_norm: the norm before the attention.
        mlp_norm: the norm before the MLP.
        rope_kind: key of the layer's rotary embeddings in a `RopeTable`.
    """

    index: int
    module: Any
    family: Family
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scaling: float
    sliding_window: int | None
    input_norm: RMSNorm
    mlp_norm: RMSNorm
    rope_kind: str = ""

    @property
    def hidden_size(self) -> int:
        """Size of a token's hidden state."""
        return self.input_norm.gain.shape[0]

    @property
    def intermediate_size(self) -> int:
        """Size of a token's activations inside the MLP."""
        return int(self.module.mlp.down_proj.weight.shape[1])

    def normalize(self, hidden: Tensor) -> Tensor:
        """Hidden states → the attention's input, (1, T, hidden)."""
        return self.input_norm(hidden)

    def queries(self, normalized: Tensor, ropes: RopeTable) -> Tensor:
        """Compute rotated queries, (1, H, T, D)."""
        attention, rope = self.module.self_attn, ropes[self.rope_kind]
        heads = self._heads(self._project(normalized, "q", self.num_heads, before=0))
        if self.family.normalized_heads:
            heads = attention.q_norm(heads)
        rotated = rope.rotate(heads.transpose(1, 2))
        return rotated if rope.query_scale is None else rotated * rope.query_scale

    def keys_values(self, normalized: Tensor, ropes: RopeTable) -> tuple[Tensor, Tensor]:
        """Compute rotated keys, and values, (1, H_kv, T, D) each."""
        rope = ropes[self.rope_kind]
        before = self.num_heads
        keys = self._heads(self._project(normalized, "k", self.num_kv_heads, before))
        before += self.num_kv_heads
        values = self._heads(self._project(normalized, "v", self.num_kv_heads, before))
        if self.family.normalized_heads:
            keys = self.module.self_attn.k_norm(keys)
        return rope.rotate(keys.transpose(1, 2)), values.transpose(1, 2)

    def project(self, hidden: Tensor, ropes: RopeTable) -> tuple[Tensor, Tensor, Tensor]:
        """The layer's input (1, T, hidden) → queries, keys and values."""
        normalized = self.normalize(hidden)
        return self.queries(normalized, ropes), *self.keys_values(normalized, ropes)

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Apply output projection, MLP and both residuals.

        Args:
            hidden: (1, T, hidden), the layer's input.
            attended: (1, H, T, D), the attention's output.

        Returns:
            (1, T, hidden), the layer's output.
        """
        mixed = attended.transpose(1, 2).reshape(1, hidden.shape[1], -1)
        hidden = hidden + self.module.self_attn.o_proj(mixed)
        after: Tensor = hidden + self.module.mlp(self.mlp_norm(hidden))
        return after

    def fused_step(self, hidden: Tensor, ropes: RopeTable, cache: object) -> None:
        """Not fused: decoding falls back to the step-by-step path."""

    def split_heads(self, projected: Tensor, ropes: RopeTable) -> tuple[Tensor, Tensor, Tensor]:
        """Output of the QKV matrix, (T, (H + 2·H_kv)·D) → queries, keys and values."""
        rope = ropes[self.rope_kind]
        heads = projected.view(1, projected.shape[0], -1, self.head_dim).transpose(1, 2)
        first_key, first_value = self.num_heads, self.num_heads + self.num_kv_heads
        query_key, value = heads[:, :first_value], heads[:, first_value:]
        if self.family.normalized_heads:
            attention = self.module.self_attn
            query, key = query_key[:, :first_key], query_key[:, first_key:]
            query_key = torch.cat((attention.q_norm(query), attention.k_norm(key)), dim=1)
        query_key = rope.rotate(query_key)
        query, key = query_key[:, :first_key], query_key[:, first_key:]
        if rope.query_scale is not None:
            query = query * rope.query_scale
        return query, key, value

    @property
    def is_llama_like(self) -> bool:
        """Whether heads are rotated right after projection, and the MLP's activation is SiLU."""
        family = self.family
        return self.activation is functional.silu and not (
            family.normalized_heads or family.scaled_queries
        )

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The MLP's activation function."""
        mlp = self.module.mlp
        module: nn.Module = mlp.activation_fn if self.family.fused_projections else mlp.act_fn
        return functional.silu if type(module).__name__ in _SILU else module

    def matrices(self) -> LayerMatrices:
        """All matrices of the layer, with those of the same input concatenated."""
        attention, mlp = self.module.self_attn, self.module.mlp
        if self.family.fused_projections:
            qkv, gate_up = Matrix.of(attention.qkv_proj), Matrix.of(mlp.gate_up_proj)
        else:
            qkv = Matrix.of(attention.q_proj, attention.k_proj, attention.v_proj)
            gate_up = Matrix.of(mlp.gate_proj, mlp.up_proj)
        return LayerMatrices(qkv, Matrix.of(attention.o_proj), gate_up, Matrix.of(mlp.down_proj))

    def observe(
        self, normalized: Tensor, ropes: RopeTable, positions: Tensor, key: Tensor, first: int = 0
    ) -> Observation:
        """The observation that a method scores; queries are computed on demand.

        Args:
            normalized: (1, T − first, hidden), the input of the attention.
            ropes: for all T positions.
            positions: (T,), positions of the tokens in the text.
            key: (1, H_kv, T, D), rotated; padding may follow the T rows.
            first: the row at which `normalized` begins.
        """

        def queries(rows: slice) -> Tensor:
            normalized_rows = slice(rows.start - first, rows.stop - first)
            return self.queries(take_rows(normalized, normalized_rows), ropes.at(rows))

        return Observation(key, queries, self.scaling, positions, self.sliding_window)

    def flops(self, num_tokens: int, selected_rows: Tensor | None, first: int = 0) -> int:
        """Floating-point operations: K and V of all tokens, the rest for the selected rows.

        Two for each multiply-add of a matrix product; the attention is causal, and counted without
        a sliding window. Rows before `first` are not counted: their results exist already.
        """
        matrices: int = sum(p.numel() for p in self.module.parameters() if p.dim() == 2)
        kv = 2 * self.hidden_size * self.num_kv_heads * self.head_dim
        rows = num_tokens - first
        pairs = (num_tokens * (num_tokens + 1) - first * (first + 1)) // 2
        if selected_rows is not None:
            rows, pairs = selected_rows.shape[0], int((selected_rows + 1).sum())
        attention = 2 * self.num_heads * self.head_dim * pairs
        return 2 * (kv * (num_tokens - first) + (matrices - kv) * rows + attention)

    def _project(self, normalized: Tensor, name: str, heads: int, before: int) -> Tensor:
        """Project to (1, T, heads · D); in a fused matrix, `before` heads precede these."""
        attention = self.module.self_attn
        if not self.family.fused_projections:
            projected: Tensor = getattr(attention, f"{name}_proj")(normalized)
            return projected
        rows = slice(before * self.head_dim, (before + heads) * self.head_dim)
        return functional.linear(normalized, attention.qkv_proj.weight[rows])

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.view(1, projected.shape[1], -1, self.head_dim)


@dataclass(frozen=True, slots=True)
class Decoder:
    """A causal language model as layers that can be run one by one."""

    layers: tuple[DecoderLayer, ...]
    dtype: torch.dtype
    device: torch.device
    max_context: int
    norm: RMSNorm  # the final norm, before the LM head
    _model: Any
    _family: Family

    @property
    def num_layers(self) -> int:
        """L."""
        return len(self.layers)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token ids (T,) → (1, T, hidden)."""
        embedded: Tensor = self._model.model.embed_tokens(token_ids.unsqueeze(0))
        return embedded

    def ropes(self, positions: Tensor, length: int = 0) -> RopeTable:
        """Rotary embeddings for positions (T,) in a text of up to `length` tokens.

        With LongRoPE, a text that is longer than the model's original context has other embeddings,
        from its first token on. transformers decides by the positions that it is given, so the
        text's last position is passed with them, and its embedding dropped.
        """
        like = torch.empty((), dtype=self.dtype, device=self.device)
        with_last = positions
        if length and not self.rope_is_fixed:
            with_last = torch.cat((positions, positions.new_full((1,), length - 1)))
        cos, sin = self._model.model.rotary_emb(like, with_last.unsqueeze(0))
        cos, sin = cos[:, : len(positions)], sin[:, : len(positions)]
        sin[..., : sin.shape[-1] // 2].neg_()
        rope = Rope(cos.unsqueeze(1), sin.unsqueeze(1), self._query_scale(positions))
        return RopeTable({"": rope})

    @property
    def rope_is_fixed(self) -> bool:
        """Whether a position's embedding is independent of the text's length."""
        kind: str = self._model.config.rope_parameters["rope_type"]
        return kind not in {"dynamic", "longrope"}

    def rope_variant(self, length: int) -> str:
        """Name of the embeddings of texts of this length; empty where all texts have the same."""
        rope = self._model.config.rope_parameters
        if rope["rope_type"] != "longrope":
            return ""
        return "long" if length > rope["original_max_position_embeddings"] else "short"

    def logits(self, hidden: Tensor) -> Tensor:
        """LM head: normalized (1, T, hidden) → (T, vocabulary), float32."""
        logits: Tensor = self._model.lm_head(hidden)
        return logits[0].float()

    def normalize(self, hidden: Tensor) -> Tensor:
        """Final norm: the last layer's output → the LM head's input, (1, T, hidden)."""
        return self.norm(hidden)

    @property
    def head(self) -> Matrix:
        """The LM head."""
        return Matrix.of(self._model.lm_head)

    @property
    def num_weights(self) -> int:
        """Number of weights in the matrices of the layers and the LM head."""
        layers: list[nn.Module] = [layer.module for layer in self.layers]
        matrices = [p for module in layers for p in module.parameters() if p.dim() == 2]
        return sum(matrix.numel() for matrix in [*matrices, self.head.weight])

    @property
    def hidden_size(self) -> int:
        """Size of a token's hidden state."""
        return self.norm.gain.shape[0]

    def shape(self, num_tokens: int, question: slice | None = None) -> PromptShape:
        """The sizes of a prompt on this model, from which methods plan."""
        layer = self.layers[0]
        return PromptShape(
            num_tokens, self.num_layers, layer.num_heads, layer.num_kv_heads, question
        )

    def prefill_flops(self, num_tokens: int) -> int:
        """Floating-point operations of the layers without compression, predicted."""
        last = torch.tensor([num_tokens - 1])
        early = sum(layer.flops(num_tokens, None) for layer in self.layers[:-1])
        return early + self.layers[-1].flops(num_tokens, last)

    def kv_bytes(self, num_tokens: int) -> int:
        """Bytes of K and V for this many tokens without compression, predicted."""
        per_token = sum(2 * layer.num_kv_heads * layer.head_dim for layer in self.layers)
        return num_tokens * per_token * self.dtype.itemsize

    def _query_scale(self, positions: Tensor) -> Tensor | None:
        if not self._family.scaled_queries:
            return None
        rope = self._model.config.rope_parameters
        steps = torch.floor(positions / rope["original_max_position_embeddings"])
        scale: Tensor = 1 + rope["llama_4_scaling_beta"] * torch.log1p(steps)
        return scale.to(self.dtype).view(1, 1, -1, 1)


def take_rows(hidden: Tensor, rows: slice | Tensor) -> Tensor:
    """Take rows of (1, T, hidden) as a batch of their own, (1, len(rows), hidden).

    Slicing the batch would keep the strides of the larger batch, for which torch takes another
    matrix product, which rounds differently. Results must not depend on a row's neighbours.
    """
    return hidden[0, rows].unsqueeze(0)


def open_decoder(model: nn.Module) -> Decoder:
    """View a transformers *ForCausalLM as a `Decoder`.

    Raises:
        ModelError: when the family is not supported.
    """
    config: Any = model.config
    check_model_type(config.model_type, type(model).__name__)
    family = FAMILIES[config.model_type]
    modules: Any = model.model
    layers = tuple(
        DecoderLayer(
            index=index,
            module=module,
            family=family,
            num_heads=config.num_attention_heads,
            num_kv_heads=config.num_key_value_heads,
            head_dim=module.self_attn.head_dim,
            scaling=module.self_attn.scaling,
            sliding_window=_sliding_window(config, index),
            input_norm=_norm(module.input_layernorm),
            mlp_norm=_norm(module.post_attention_layernorm),
        )
        for index, module in enumerate(modules.layers)
    )
    weight = modules.embed_tokens.weight
    return Decoder(
        layers=layers,
        dtype=weight.dtype,
        device=weight.device,
        max_context=config.max_position_embeddings,
        norm=_norm(modules.norm),
        _model=model,
        _family=family,
    )


def _norm(module: Any) -> RMSNorm:
    """The norm of a module whose weight is the gain itself, as in every supported family."""
    return RMSNorm(module.weight, module.variance_epsilon)


def _sliding_window(config: Any, index: int) -> int | None:
    """The sliding window of a layer: set per layer type, for all layers, or not at all."""
    layer_types = getattr(config, "layer_types", None)
    if layer_types is not None and layer_types[index] != "sliding_attention":
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window
