"""One transformer layer, split into the steps between which FastKV selects.

A `DecoderLayer` wraps the model's own module: it owns nothing and patches nothing. Only this
module, `decoder` and `families` know how families differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..methods import Observation
from .experts import Experts
from .families import Family
from .layer_parts import (
    HeadRows,
    Matrix,
    Residual,
    RMSNorm,
    activation_of,
    count_matrix_weights,
    mlp_matrices,
)
from .rope import RopeTable


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
        input_norm: the norm before the attention; None if there is none.
        mlp_norm: the norm before the MLP; None if there is none.
        after_attention: adds the attention's output.
        after_mlp: adds the MLP's output.
        experts: None where the layer has an ordinary MLP.
        rope_kind: key of the layer's rotary embeddings in a `RopeTable`.
        sinks: (H,), one more logit for each query head, of a key without value; None if none.
    """

    index: int
    module: Any
    family: Family
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scaling: float
    sliding_window: int | None
    input_norm: RMSNorm | None
    mlp_norm: RMSNorm | None
    after_attention: Residual
    after_mlp: Residual
    experts: Experts | None = None
    rope_kind: str = ""
    sinks: Tensor | None = None

    is_recurrent: ClassVar[Literal[False]] = False
    weights_format: ClassVar[str] = ""  # of prefill, where it is not the model's

    @property
    def hidden_size(self) -> int:
        """Size of a token's hidden state."""
        norms = self.input_norm, self.after_attention.norm
        return next(norm.gain.shape[0] for norm in norms if isinstance(norm, RMSNorm))

    @property
    def intermediate_size(self) -> int:
        """Size of a token's activations inside the MLP."""
        if self.experts is not None:
            return self.experts.intermediate_size
        return int(self.module.mlp.down_proj.in_features)

    @property
    def num_weights(self) -> int:
        """Number of weights in the layer's matrices."""
        return count_matrix_weights(self.module)

    @property
    def num_active_weights(self) -> int:
        """Number of weights that one token passes through."""
        return self.num_weights - (self.experts.num_idle_weights if self.experts else 0)

    def normalize(self, hidden: Tensor) -> Tensor:
        """Hidden states → the attention's input, (1, T, hidden)."""
        return hidden if self.input_norm is None else self.input_norm(hidden)

    def queries(self, normalized: Tensor, ropes: RopeTable) -> Tensor:
        """Compute rotated queries, (1, H, T, D)."""
        rope = ropes[self.rope_kind]
        heads = self._heads(self._project_queries(normalized))
        rotated = rope.rotate(self._normalize_heads("q", heads).transpose(1, 2))
        return rotated if rope.query_scale is None else rotated * rope.query_scale

    def keys_values(self, normalized: Tensor, ropes: RopeTable) -> tuple[Tensor, Tensor]:
        """Compute rotated keys, and values, (1, H_kv, T, D) each."""
        rope = ropes[self.rope_kind]
        keys, values = (self._heads(each) for each in self._project_keys_values(normalized))
        keys = self._normalize_heads("k", keys)
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
        if (gate := self.gate_rows) is not None:
            mixed = mixed * torch.sigmoid(gate(self.normalize(hidden)))
        hidden = self.after_attention.add(hidden, self.module.self_attn.o_proj(mixed))
        normalized = hidden if self.mlp_norm is None else self.mlp_norm(hidden)
        if self.experts is not None:
            return self.after_mlp.add(hidden, self.experts(normalized[0]).unsqueeze(0))
        return self.after_mlp.add(hidden, self.module.mlp(normalized))

    def fused_step(self, hidden: Tensor, ropes: RopeTable, cache: object) -> None:
        """Not fused: decoding falls back to the step-by-step path."""

    def split_heads(self, projected: Tensor, ropes: RopeTable) -> tuple[Tensor, Tensor, Tensor]:
        """Output of the QKV matrix, (T, (H + 2·H_kv)·D) → queries, keys and values."""
        rope = ropes[self.rope_kind]
        heads = projected.view(1, projected.shape[0], -1, self.head_dim)
        first_key, first_value = self.num_heads, self.num_heads + self.num_kv_heads
        query_key, value = heads[:, :, :first_value], heads[:, :, first_value:]
        if self.family.normalized_heads or self.family.normalized_projections:
            query, key = query_key[:, :, :first_key], query_key[:, :, first_key:]
            norms = self._normalize_heads("q", query), self._normalize_heads("k", key)
            query_key = torch.cat(norms, dim=2)
        query_key = rope.rotate(query_key.transpose(1, 2))
        query, key = query_key[:, :first_key], query_key[:, first_key:]
        if rope.query_scale is not None:
            query = query * rope.query_scale
        return query, key, value.transpose(1, 2)

    @property
    def is_llama_like(self) -> bool:
        """Whether the layer computes as Llama's does: what the fused step assumes."""
        family = self.family
        is_plain = self.after_attention.is_plain and self.after_mlp.is_plain
        has_query_norm = family.normalized_heads or family.normalized_projections
        return (
            is_plain
            and self.experts is None
            and self.sinks is None
            and self.activation is functional.silu
            and not (has_query_norm or family.scaled_queries or family.interleaved_rope)
        )

    def attention_matrices(self) -> tuple[Matrix, Matrix]:
        """Q, K and V as one, and the output projection."""
        attention = self.module.self_attn
        if self.family.fused_qkv:
            qkv = Matrix.of(attention.qkv_proj)
        else:
            query = self._query_rows(0) if self.family.gated_attention else attention.q_proj
            qkv = Matrix.of(query, attention.k_proj, attention.v_proj)
        return qkv, Matrix.of(attention.o_proj)

    @property
    def gate_rows(self) -> HeadRows | None:
        """Computes the gate of the attention's output from its input; None if it has none."""
        return self._query_rows(1) if self.family.gated_attention else None

    def mlp_matrices(self) -> tuple[Matrix, Matrix]:
        """Gate and up as one, and down; of a layer without experts."""
        return mlp_matrices(self.module.mlp)

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The MLP's activation function."""
        return activation_of(self.module.mlp)

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

        return Observation(key, queries, self.scaling, positions, self.sliding_window, self.sinks)

    def entries(self, num_tokens: int) -> int:
        """Cache entries of T tokens that later tokens can attend to: all, or the last window."""
        return num_tokens if self.sliding_window is None else min(self.sliding_window, num_tokens)

    def flops(self, num_tokens: int, selected_rows: Tensor | None, first: int = 0) -> int:
        """Floating-point operations: K and V of all tokens, the rest for the selected rows.

        Two for each multiply-add of a matrix product; the attention is causal and limited to the
        sliding window. Rows before `first` are not counted: their results exist already.
        """
        matrices = self.num_active_weights
        kv = 2 * self.hidden_size * self.num_kv_heads * self.head_dim
        rows = num_tokens - first
        window = self.entries(num_tokens)
        pairs = _causal_pairs(num_tokens, window) - _causal_pairs(first, window)
        if selected_rows is not None:
            pairs = int((selected_rows + 1).clamp_(max=window).sum())
            rows = selected_rows.shape[0]
        attention = 2 * self.num_heads * self.head_dim * pairs
        return 2 * (kv * (num_tokens - first) + (matrices - kv) * rows + attention)

    def _project_queries(self, normalized: Tensor) -> Tensor:
        """Project to queries, (1, T, H · D)."""
        return self._project(normalized, "q", self.num_heads, before=0)

    def _project_keys_values(self, normalized: Tensor) -> tuple[Tensor, Tensor]:
        """Project to keys and values, (1, T, H_kv · D) each."""
        before = self.num_heads
        keys = self._project(normalized, "k", self.num_kv_heads, before)
        before += self.num_kv_heads
        return keys, self._project(normalized, "v", self.num_kv_heads, before)

    def _project(self, normalized: Tensor, name: str, heads: int, before: int) -> Tensor:
        """Project to (1, T, heads · D); in a fused matrix, `before` heads precede these."""
        attention = self.module.self_attn
        if self.family.gated_attention and name == "q":
            return self._query_rows(0)(normalized)
        if not self.family.fused_qkv:
            projected: Tensor = getattr(attention, f"{name}_proj")(normalized)
            return projected
        rows = slice(before * self.head_dim, (before + heads) * self.head_dim)
        return functional.linear(normalized, attention.qkv_proj.weight[rows])

    def _normalize_heads(self, name: str, heads: Tensor) -> Tensor:
        """The family's norm of Q or K, (1, T, heads, D): over each head, over all, or none."""
        if not (self.family.normalized_heads or self.family.normalized_projections):
            return heads
        norm = getattr(self.module.self_attn, f"{name}_norm")
        rows = heads.flatten(-2) if self.family.normalized_projections else heads
        normalized: Tensor = norm(rows)
        return normalized.view(heads.shape)

    def _query_rows(self, part: int) -> HeadRows:
        """The queries (part 0) or the output gate (1), which alternate in one matrix."""
        return HeadRows(self.module.self_attn.q_proj, self.num_heads, self.head_dim, part)

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.view(1, projected.shape[1], -1, self.head_dim)


def _causal_pairs(num_tokens: int, window: int) -> int:
    """Pairs of query and key in causal attention of T tokens to the last `window` tokens."""
    growing = min(num_tokens, window)
    return growing * (growing + 1) // 2 + (num_tokens - growing) * window


def take_rows(hidden: Tensor, rows: slice | Tensor) -> Tensor:
    """Take rows of (1, T, hidden) as a batch of their own, (1, len(rows), hidden).

    Slicing the batch would keep the strides of the larger batch, for which torch takes another
    matrix product, which rounds differently. Results must not depend on a row's neighbours.
    """
    return hidden[0, rows].unsqueeze(0)
