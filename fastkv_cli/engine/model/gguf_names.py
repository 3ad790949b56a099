"""llama.cpp's names of tensors, and transformers' of the same.

The names are those that llama.cpp's converter writes: https://github.com/ggml-org/llama.cpp,
`gguf-py/gguf/tensor_mapping.py`. Torch is not imported here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_BODY = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_ATTENTION = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
}
_HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_MLP = {
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_FUSED_MLP = {"ffn_up": "mlp.gate_up_proj", "ffn_down": "mlp.down_proj"}  # up holds gate, then up
_MLP_NORM = {"ffn_norm": "post_attention_layernorm"}
_EXPERTS = {
    "ffn_gate_exps": "mlp.experts.gate_up_proj",
    "ffn_up_exps": "mlp.experts.gate_up_proj",
    "ffn_gate_up_exps": "mlp.experts.gate_up_proj",
    "ffn_down_exps": "mlp.experts.down_proj",
}
_SHARED_EXPERT = {
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}
_PROJECTIONS = {
    "attn_qkv": "linear_attn.in_proj_qkv",
    "attn_gate": "linear_attn.in_proj_z",
    "ssm_alpha": "linear_attn.in_proj_a",
    "ssm_beta": "linear_attn.in_proj_b",
}
_DELTA_NET = {
    "ssm_a": "linear_attn.A_log",
    "ssm_conv1d": "linear_attn.conv1d",
    "ssm_dt": "linear_attn.dt_bias",
    "ssm_norm": "linear_attn.norm",
    "ssm_out": "linear_attn.out_proj",
}
_LLAMA = _ATTENTION | _MLP_NORM | _MLP
_QWEN_HYBRID = _ATTENTION | _HEAD_NORMS | _DELTA_NET
_QWEN_HYBRID |= {"post_attention_norm": "post_attention_layernorm"}

# Tensors of a layer by the file's architecture: llama.cpp's stem → transformers' module.
_LAYERS: dict[str, dict[str, str]] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "mistral3": _LLAMA,
    "granite": _LLAMA,
    "smollm3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA | _HEAD_NORMS,
    "phi3": _MLP_NORM
    | _FUSED_MLP
    | {
        "attn_norm": "input_layernorm",
        "attn_qkv": "self_attn.qkv_proj",
        "attn_output": "self_attn.o_proj",
    },
    "glm4": _ATTENTION
    | _MLP_NORM
    | _FUSED_MLP
    | {"post_attention_norm": "post_self_attn_layernorm", "post_ffw_norm": "post_mlp_layernorm"},
    "qwen3moe": _ATTENTION | _HEAD_NORMS | _MLP_NORM | _EXPERTS | {"ffn_gate_inp": "mlp.gate"},
    "gemma3": _ATTENTION
    | _HEAD_NORMS
    | _MLP
    | {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    "olmo2": _ATTENTION
    | _HEAD_NORMS
    | _MLP
    | {
        "post_attention_norm": "post_attention_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
    "gpt-oss": _ATTENTION
    | _EXPERTS
    | {
        "post_attention_norm": "post_attention_layernorm",
        "attn_sinks": "self_attn.sinks",
        "ffn_gate_inp": "mlp.router",
    },
    "lfm2": _ATTENTION
    | {
        "attn_norm": "operator_norm",
        "attn_output": "self_attn.out_proj",
        "attn_q_norm": "self_attn.q_layernorm",
        "attn_k_norm": "self_attn.k_layernorm",
        "ffn_norm": "ffn_norm",
        "ffn_gate": "feed_forward.w1",
        "ffn_up": "feed_forward.w3",
        "ffn_down": "feed_forward.w2",
        "shortconv.conv": "conv.conv",
        "shortconv.in_proj": "conv.in_proj",
        "shortconv.out_proj": "conv.out_proj",
    },
    "qwen35": _QWEN_HYBRID | _MLP | _PROJECTIONS,
    "qwen35moe": _QWEN_HYBRID | _EXPERTS | _SHARED_EXPERT | _PROJECTIONS,
    "qwen3next": _QWEN_HYBRID
    | _EXPERTS
    | _SHARED_EXPERT
    | {
        "attn_qkv": "linear_attn.in_proj_qkvz",
        "attn_gate": "linear_attn.in_proj_qkvz",
        "ssm_in": "linear_attn.in_proj_qkvz",  # files of 2025 have Q, K, V and Z in one
        "ssm_ba": "linear_attn.in_proj_ba",
    },
}
_BODIES = {
    # The norm behind the last layer has either name, depending on the converter's age.
    "lfm2": _BODY
    | {"token_embd_norm": "model.embedding_norm", "output_norm": "model.embedding_norm"},
}
ARCHITECTURES = frozenset(_LAYERS)
"""llama.cpp's names of the architectures whose tensors are known here."""


_BARE = {"linear_attn.A_log", "linear_attn.dt_bias", "self_attn.sinks"}  # parameters, not modules
_NAME = re.compile(
    r"(blk\.(?P<layer>\d{1,6})\.)?(?P<stem>[a-z][\w.]*?)(\.(?P<kind>weight|bias))?", re.ASCII
)


class TensorName(NamedTuple):
    """The parts of a tensor's name, as `blk.3.attn_q.weight`.

    Attributes:
        layer: the block's number; None for tensors outside the layers.
        stem: `attn_q`.
        kind: `weight`, `bias` or empty.
    """

    layer: int | None
    stem: str
    kind: str


def parse_name(name: str) -> TensorName | None:
    """The parts of a tensor's name; None for names that llama.cpp does not give."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    layer = None if match["layer"] is None else int(match["layer"])
    return TensorName(layer, match["stem"], match["kind"] or "")


def parameter_name(name: TensorName, architecture: str) -> str | None:
    """The transformers parameter that a tensor is, or is a part of; None where there is none.

    Args:
        name: the parts of the tensor's name.
        architecture: the file's `general.architecture`, one of `ARCHITECTURES`.
    """
    if name.layer is None:
        module, prefix = _BODIES.get(architecture, _BODY).get(name.stem), ""
    else:
        module, prefix = _LAYERS[architecture].get(name.stem), f"model.layers.{name.layer}."
    if module is None:
        return None
    if module in _BARE or not name.kind:
        return prefix + module
    if module.startswith("mlp.experts."):  # experts are parameters: `down_proj`, `down_proj_bias`
        return prefix + (module if name.kind == "weight" else f"{module}_bias")
    return f"{prefix}{module}.{name.kind}"
