"""The supported model families: one entry each, by the `model_type` of their config.json.

Torch is not imported here, so that a command can refuse a model before it loads anything.
`decoder.py` uses the entries when it opens a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple


class NormNames(NamedTuple):
    """Names of the norms in a layer's module; None where a family has no such norm."""

    before_attention: str | None = "input_layernorm"
    after_attention: str | None = None
    before_mlp: str | None = "post_attention_layernorm"
    after_mlp: str | None = None


_LLAMA_NORMS = NormNames()


@dataclass(frozen=True, slots=True)
class Family:
    """A family's names, and where it departs from Llama.

    Attributes:
        label: its common name.
        gguf: llama.cpp's name of the architecture; empty where it has none of its own.
        fused_qkv: one matrix computes Q, K and V (Phi-3).
        fused_gate_up: one matrix computes the MLP's gate and up (Phi-3, GLM-4).
        normalized_heads: an RMSNorm on every head of Q and K before RoPE (Qwen3).
        normalized_projections: an RMSNorm over all heads of Q, and of K, before RoPE (Olmo 3).
        centered_norms: the weights of norms are stored as differences from 1, and are applied in
            float32 (Gemma 3).
        ropes_by_layer_type: window layers and the others have embeddings of their own (Gemma 3).
        scaled_queries: queries are scaled by the logarithm of their position (Ministral 3).
        multipliers: the config has scalars for embeddings, residuals and logits (Granite).
        unrotated_layers: the config lists layers without RoPE (SmolLM3).
        interleaved_rope: RoPE turns neighbouring dimensions, not those of two halves (GLM-4).
        experts: a router chooses a token's MLPs among many, in some or all layers (Qwen3 MoE).
        sinks: one more logit in every head's softmax, of a key without value (gpt-oss).
        single_angles: transformers gives cos and sin of each angle once, not twice (gpt-oss).
        norms: names of the norms in a layer's module.
        gated_attention: the query matrix also gives a gate for the attention's output (Qwen3.5).
        names: Llama's names of modules, within a layer or the model's body, to the family's.
    """

    label: str
    gguf: str = ""
    fused_qkv: bool = False
    fused_gate_up: bool = False
    normalized_heads: bool = False
    normalized_projections: bool = False
    centered_norms: bool = False
    ropes_by_layer_type: bool = False
    scaled_queries: bool = False
    multipliers: bool = False
    unrotated_layers: bool = False
    interleaved_rope: bool = False
    experts: bool = False
    sinks: bool = False
    single_angles: bool = False
    norms: NormNames = _LLAMA_NORMS
    gated_attention: bool = False
    names: Mapping[str, str] = field(default_factory=dict)


_LFM2_NAMES = {
    "norm": "embedding_norm",
    "self_attn.o_proj": "self_attn.out_proj",
    "self_attn.q_norm": "self_attn.q_layernorm",
    "self_attn.k_norm": "self_attn.k_layernorm",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
}

_QWEN_HYBRID = Family(
    "Qwen3.5", gguf="qwen35", normalized_heads=True, gated_attention=True, centered_norms=True
)

FAMILIES: dict[str, Family] = {
    "llama": Family("Llama", gguf="llama"),
    "mistral": Family("Mistral", gguf="mistral"),  # most of its GGUF files say "llama"
    "ministral": Family("Ministral"),
    "ministral3": Family("Ministral 3", gguf="mistral3", scaled_queries=True),
    "qwen2": Family("Qwen2", gguf="qwen2"),
    "qwen3": Family("Qwen3", gguf="qwen3", normalized_heads=True),
    "qwen3_moe": Family("Qwen3 MoE", gguf="qwen3moe", normalized_heads=True, experts=True),
    "phi3": Family("Phi-3", gguf="phi3", fused_qkv=True, fused_gate_up=True),
    "granite": Family("Granite", gguf="granite", multipliers=True),
    "smollm3": Family("SmolLM3", gguf="smollm3", unrotated_layers=True),
    "glm4": Family(
        "GLM-4",
        gguf="glm4",
        fused_gate_up=True,
        interleaved_rope=True,
        norms=NormNames(after_attention="post_self_attn_layernorm", after_mlp="post_mlp_layernorm"),
    ),
    "gemma3_text": Family(
        "Gemma 3",
        gguf="gemma3",
        normalized_heads=True,
        centered_norms=True,
        ropes_by_layer_type=True,
        norms=NormNames(
            after_attention="post_attention_layernorm",
            before_mlp="pre_feedforward_layernorm",
            after_mlp="post_feedforward_layernorm",
        ),
    ),
    "olmo3": Family(
        "Olmo 3",
        gguf="olmo2",  # as Olmo 2, whose layers have no windows
        normalized_projections=True,
        ropes_by_layer_type=True,
        norms=NormNames(
            before_attention=None,
            after_attention="post_attention_layernorm",
            before_mlp=None,
            after_mlp="post_feedforward_layernorm",
        ),
    ),
    "gpt_oss": Family("gpt-oss", gguf="gpt-oss", experts=True, sinks=True, single_angles=True),
    "qwen3_5_text": _QWEN_HYBRID,
    "qwen3_5_moe_text": replace(_QWEN_HYBRID, label="Qwen3.5 MoE", gguf="qwen35moe", experts=True),
    "qwen3_next": replace(_QWEN_HYBRID, label="Qwen3-Next", gguf="qwen3next", experts=True),
    "lfm2": Family(
        "LFM2",
        gguf="lfm2",
        normalized_heads=True,
        norms=NormNames(before_attention="operator_norm", before_mlp="ffn_norm"),
        names=_LFM2_NAMES,
    ),
}
