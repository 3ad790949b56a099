"""The decoder as the engine sees it, and the only place that knows how families differ.

A `Decoder` is a view over a transformers model: it owns nothing, patches nothing, and calls the
model's own modules in the order of their forward pass, so that the prefill loop can decide
between them which tokens go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models import check_model_type
from .methods import Observation, PromptShape


@dataclass(frozen=True, slots=True)
class Family:
    """Where a family departs from Llama.

    Attributes:
        fused_projections: one matrix gives Q, K and V (Phi-3).
        normalized_heads: an RMSNorm on every head of Q and K before RoPE (Qwen3).
        scaled_queries: queries grow with the logarithm of their position (Ministral 3).
    """

    fused_projections: bool = False
    normalized_heads: bool = False
    scaled_queries: bool = False


FAMILIES: dict[str, Family] = {
    "llama": Family(),
    "mistral": Family(),
    "ministral": Family(),
    "ministral3": Family(scaled_queries=True),
    "qwen2": Family(),
    "qwen3": Family(normalized_heads=True),
    "phi3": Family(fused_projections=True),
}


@dataclass(frozen=True, slots=True)
class Rope:
    """Rotary embeddings of some positions: cos and sin (1, T, R), R ≤ D the rotated part.

    The first half of sin is negated, as the rotation needs it.

    `query_scale` (1, 1, T, 1) multiplies the queries in families that ask for it.
    """

    cos: Tensor
    sin: Tensor
    query_scale: Tensor | None = None

    def at(self, rows: Tensor | slice) -> Rope:
        """The embeddings of some rows, (1, len(rows), R)."""
        scale = None if self.query_scale is None else self.query_scale[:, :, rows]
        return Rope(self.cos[:, rows], self.sin[:, rows], scale)

    def rotate(self, heads: Tensor) -> Tensor:
        """Rotate (1, H, T, D); dimensions beyond R pass through."""
        cos, sin = self.cos.unsqueeze(1), self.sin.unsqueeze(1)
        rotary_dim = cos.shape[-1]
        turned, rest = heads[..., :rotary_dim], heads[..., rotary_dim:]
        # the halves of a head change places, the new first one turned round: so sin has its sign
        turned = torch.addcmul(turned * cos, turned.roll(rotary_dim // 2, dims=-1), sin)
        return turned if rest.shape[-1] == 0 else torch.cat((turned, rest), dim=-1)


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """One transformer layer, taken apart at the places where FastKV steps in."""

    index: int
    module: Any
    family: Family
    num_heads: int
    num_kv_heads: int
    head_dim: int
    scaling: float
    sliding_window: int | None

    def normalize(self, hidden: Tensor) -> Tensor:
        """The input of the attention, (1, T, hidden)."""
        return _rms_norm(hidden, self.module.input_layernorm)

    def queries(self, normalized: Tensor, rope: Rope) -> Tensor:
        """Rotated queries, (1, H, T, D)."""
        attention = self.module.self_attn
        heads = self._heads(self._project(normalized, "q", self.num_heads, before=0))
        if self.family.normalized_heads:
            heads = attention.q_norm(heads)
        rotated = rope.rotate(heads.transpose(1, 2))
        return rotated if rope.query_scale is None else rotated * rope.query_scale

    def keys_values(self, normalized: Tensor, rope: Rope) -> tuple[Tensor, Tensor]:
        """Rotated keys, and values, (1, H_kv, T, D) each."""
        before = self.num_heads
        keys = self._heads(self._project(normalized, "k", self.num_kv_heads, before))
        before += self.num_kv_heads
        values = self._heads(self._project(normalized, "v", self.num_kv_heads, before))
        if self.family.normalized_heads:
            keys = self.module.self_attn.k_norm(keys)
        return rope.rotate(keys.transpose(1, 2)), values.transpose(1, 2)

    def project(self, hidden: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
        """What entered the layer, (1, T, hidden), to queries, keys and values."""
        normalized = self.normalize(hidden)
        return self.queries(normalized, rope), *self.keys_values(normalized, rope)

    def finish(self, hidden: Tensor, attended: Tensor) -> Tensor:
        """Output projection, MLP and both residuals.

        Args:
            hidden: (1, T, hidden), what entered the layer.
            attended: (1, H, T, D), what the attention gave.

        Returns:
            (1, T, hidden).
        """
        mixed = attended.transpose(1, 2).reshape(1, hidden.shape[1], -1)
        hidden = hidden + self.module.self_attn.o_proj(mixed)
        normalized = _rms_norm(hidden, self.module.post_attention_layernorm)
        after: Tensor = hidden + self.module.mlp(normalized)
        return after

    def observe(
        self, normalized: Tensor, rope: Rope, positions: Tensor, key: Tensor
    ) -> Observation:
        """What a method may look at; queries are computed only where it asks for them."""

        def queries(rows: slice) -> Tensor:
            return self.queries(normalized[:, rows], rope.at(rows))

        return Observation(key, queries, self.scaling, positions, self.sliding_window)

    def flops(self, num_tokens: int, going_on: Tensor | None) -> int:
        """Floating-point operations: K and V of all tokens, the rest of those that go on.

        Two for each multiplication and addition of a matrix product; the attention is causal, and
        counted without a sliding window.
        """
        hidden_size = int(self.module.input_layernorm.weight.shape[0])
        matrices: int = sum(p.numel() for p in self.module.parameters() if p.dim() == 2)
        kv = 2 * hidden_size * self.num_kv_heads * self.head_dim
        rows, pairs = num_tokens, num_tokens * (num_tokens + 1) // 2
        if going_on is not None:
            rows, pairs = going_on.shape[0], int((going_on + 1).sum())
        attention = 2 * self.num_heads * self.head_dim * pairs
        return 2 * (kv * num_tokens + (matrices - kv) * rows + attention)

    def _project(self, normalized: Tensor, name: str, heads: int, before: int) -> Tensor:
        """(1, T, heads · D); in a fused matrix, `before` heads stand in front of these."""
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
    """A causal language model, opened up."""

    layers: tuple[DecoderLayer, ...]
    dtype: torch.dtype
    device: torch.device
    max_context: int
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

    def rope(self, positions: Tensor) -> Rope:
        """Rotary embeddings of positions (T,) in the text."""
        like = torch.empty((), dtype=self.dtype, device=self.device)
        cos, sin = self._model.model.rotary_emb(like, positions.unsqueeze(0))
        sin[..., : sin.shape[-1] // 2].neg_()
        return Rope(cos, sin, self._query_scale(positions))

    def logits(self, hidden: Tensor) -> Tensor:
        """What each position predicts: normalized (1, T, hidden) → (T, vocabulary), float32."""
        logits: Tensor = self._model.lm_head(hidden)
        return logits[0].float()

    def normalize(self, hidden: Tensor) -> Tensor:
        """The last layer's output as the LM head sees it, (1, T, hidden)."""
        return _rms_norm(hidden, self._model.model.norm)

    def shape(self, num_tokens: int, question: slice | None = None) -> PromptShape:
        """A prompt on this model, in numbers."""
        layer = self.layers[0]
        return PromptShape(
            num_tokens, self.num_layers, layer.num_heads, layer.num_kv_heads, question
        )

    def prefill_flops(self, num_tokens: int) -> int:
        """Floating-point operations of the layers with nothing left out, predicted."""
        last = torch.tensor([num_tokens - 1])
        early = sum(layer.flops(num_tokens, None) for layer in self.layers[:-1])
        return early + self.layers[-1].flops(num_tokens, last)

    def kv_bytes(self, num_tokens: int) -> int:
        """Bytes that K and V of this many tokens take with nothing left out, predicted."""
        per_token = sum(2 * layer.num_kv_heads * layer.head_dim for layer in self.layers)
        return num_tokens * per_token * self.dtype.itemsize

    def _query_scale(self, positions: Tensor) -> Tensor | None:
        if not self._family.scaled_queries:
            return None
        rope = self._model.config.rope_parameters
        steps = torch.floor(positions / rope["original_max_position_embeddings"])
        scale: Tensor = 1 + rope["llama_4_scaling_beta"] * torch.log1p(steps)
        return scale.to(self.dtype).view(1, 1, -1, 1)


def _rms_norm(hidden: Tensor, module: Any) -> Tensor:
    """As every supported family does it, in one call of torch (half the module's time)."""
    weight: Tensor = module.weight
    return functional.rms_norm(hidden, weight.shape, weight, module.variance_epsilon)


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
        )
        for index, module in enumerate(modules.layers)
    )
    weight = modules.embed_tokens.weight
    return Decoder(
        layers, weight.dtype, weight.device, config.max_position_embeddings, model, family
    )


def _sliding_window(config: Any, index: int) -> int | None:
    """The window of a layer: given per layer type, or one for all layers, or none."""
    layer_types = getattr(config, "layer_types", None)
    if layer_types is not None and layer_types[index] != "sliding_attention":
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window
