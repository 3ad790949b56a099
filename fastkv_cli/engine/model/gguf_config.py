"""The config.json of a GGUF file: llama.cpp's settings under transformers' names.

What the file does not state is as in llama.cpp (`src/llama-model.cpp`): windows, see
`sliding_layers`, and SmolLM3's layers without RoPE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...errors import ModelError
from ...models.gguf_header import GGUFHeader, Items, TensorInfo
from ...models.sliding_layers import sliding_in_gguf
from .gguf_rope import read_factors, rope_scaling

_Facts = Mapping[str, Any]
_Config = dict[str, Any]


class _File(NamedTuple):
    """What a family's settings are derived from; `config` has those that all families share."""

    tensors: Mapping[str, TensorInfo]
    facts: _Facts
    config: _Config


_COMMON = {
    "max_position_embeddings": "context_length",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
}
_GRANITE = {
    "attention_multiplier": "attention.scale",
    "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale",
    "logits_scaling": "logit_scale",
}
_EXPERTS = {
    "num_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
}
_DELTA_NET = {
    "linear_conv_kernel_dim": "ssm.conv_kernel",
    "linear_key_head_dim": "ssm.state_size",
    "linear_num_key_heads": "ssm.group_count",
    "linear_num_value_heads": "ssm.time_step_rank",
}
_TOKENS = {
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
}
_NO_TOKEN = 2**32 - 1  # llama.cpp's -1
_GEMMA_27B = 62  # layers; its query scale is not that of its head size


def model_config(header: GGUFHeader, name: str) -> _Config:
    """The settings of a file's model, as transformers' configurations take them.

    Args:
        header: the header of the model's files, checked.
        name: the user's name for the model, for messages.

    Raises:
        ModelError: when the file states no setting that its family needs, or one that is not
            supported.
    """
    architecture = header.facts["general.architecture"]
    prefix = f"{architecture}."
    facts = {
        key.removeprefix(prefix): value
        for key, value in header.facts.items()
        if key.startswith(prefix)
    }
    try:
        config = _common(header, facts)
        config |= _FAMILIES[architecture](_File(header.tensors, facts, config))
        config["rope_parameters"] = _rope(header, facts, config, name)
    except KeyError as error:
        raise ModelError(
            f"{name} does not give its {prefix}{error.args[0]}", "fetch it again"
        ) from error
    config.pop("rope_theta")
    return config


def _common(header: GGUFHeader, facts: _Facts) -> _Config:
    config = {ours: facts[theirs] for ours, theirs in _COMMON.items() if theirs in facts}
    config.setdefault("num_key_value_heads", config["num_attention_heads"])
    config["num_hidden_layers"] = facts["block_count"] - facts.get("nextn_predict_layers", 0)
    config["head_dim"] = (
        facts.get("attention.key_length") or config["hidden_size"] // config["num_attention_heads"]
    )
    config["vocab_size"] = header.tensors["token_embd.weight"].shape[1]
    config["tie_word_embeddings"] = "output.weight" not in header.tensors
    config["rope_theta"] = facts.get("rope.freq_base", 10000.0)
    for ours, theirs in _TOKENS.items():
        token = header.facts.get(theirs, _NO_TOKEN)
        config[ours] = None if token == _NO_TOKEN else token
    return config


def _llama(file: _File) -> _Config:
    # Old files give the size of a head only so.
    head_dim = file.facts.get("rope.dimension_count", file.config["head_dim"])
    settings = {"model_type": "llama", "hidden_act": "silu"}
    return (
        _with_biases(file)
        | settings
        | {"head_dim": file.facts.get("attention.key_length", head_dim)}
    )


def _with_biases(file: _File) -> _Config:
    return {
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_gate.bias" in file.tensors,
    }


def _plain(model_type: str) -> Callable[[_File], _Config]:
    return lambda _: {"model_type": model_type, "hidden_act": "silu", "sliding_window": None}


def _phi3(file: _File) -> _Config:
    file.config.pop("head_dim")  # Phi-3's configuration derives it
    original = file.facts.get("rope.scaling.original_context_length")
    return {
        "model_type": "phi3",
        "sliding_window": file.facts.get("attention.sliding_window") or None,
        "original_max_position_embeddings": original or file.config["max_position_embeddings"],
    }


def _granite(file: _File) -> _Config:
    scalars = {
        ours: file.facts[theirs] for ours, theirs in _GRANITE.items() if theirs in file.facts
    }
    return _with_biases(file) | {"model_type": "granite"} | scalars


def _smollm3(file: _File) -> _Config:
    every = {"no_rope_layer_interval": 4, "use_sliding_window": False, "sliding_window": None}
    return _with_biases(file) | {"model_type": "smollm3"} | every


def _glm4(file: _File) -> _Config:
    return {
        "model_type": "glm4",
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
    }


def _qwen3_moe(file: _File) -> _Config:
    file.config.setdefault("intermediate_size", file.facts["expert_feed_forward_length"])
    return {
        "model_type": "qwen3_moe",
        **{ours: file.facts[theirs] for ours, theirs in _EXPERTS.items()},
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


def _gemma3(file: _File) -> _Config:
    layers, heads = file.config["num_hidden_layers"], file.config["num_attention_heads"]
    window = file.facts.get("attention.sliding_window")
    scale = file.config["hidden_size"] // heads if layers == _GEMMA_27B else file.config["head_dim"]
    return {
        "model_type": "gemma3_text",
        "sliding_window": window or file.config["max_position_embeddings"],
        "layer_types": _layer_types("gemma3", file),
        "query_pre_attn_scalar": scale,
        "final_logit_softcapping": file.facts.get("final_logit_softcapping"),
        "attention_bias": False,
    }


def _olmo(file: _File) -> _Config:
    """Olmo 3 says "olmo2" and has a window; Olmo 2 has none."""
    file.config.pop("head_dim")  # it has no such setting
    window = file.facts.get("attention.sliding_window")
    if not window:
        return {"model_type": "olmo2"}
    file.facts["attention.sliding_window_pattern"]  # no default
    return {
        "model_type": "olmo3",
        "sliding_window": window,
        "layer_types": _layer_types("olmo2", file),
    }


def _layer_types(architecture: str, file: _File) -> list[str]:
    are_sliding = sliding_in_gguf(architecture, file.facts, file.config["num_hidden_layers"])
    return ["sliding_attention" if each else "full_attention" for each in are_sliding]


def _gpt_oss(file: _File) -> _Config:
    return {
        "model_type": "gpt_oss",
        "intermediate_size": file.facts["expert_feed_forward_length"],
        "num_local_experts": file.facts["expert_count"],
        "num_experts_per_tok": file.facts["expert_used_count"],
        "sliding_window": file.facts["attention.sliding_window"],
        "layer_types": _layer_types("gpt-oss", file),
    }


def _lfm2(file: _File) -> _Config:
    heads = file.facts["attention.head_count_kv"]
    per_layer = heads.values if isinstance(heads, Items) else (heads,) * file.facts["block_count"]
    file.config.pop("head_dim")  # it has no such setting
    return {
        "model_type": "lfm2",
        "num_key_value_heads": max(per_layer),
        "layer_types": ["full_attention" if each else "conv" for each in per_layer],
        "norm_eps": file.config.pop("rms_norm_eps"),
        "block_auto_adjust_ff_dim": False,  # the file's size is the adjusted one
        "conv_L_cache": file.facts["shortconv.l_cache"],
        "conv_bias": "blk.0.shortconv.conv.bias" in file.tensors,
    }


def _delta_net(file: _File) -> _Config:
    interval = file.facts.get("full_attention_interval", 4)
    layers = range(1, file.config["num_hidden_layers"] + 1)
    return {
        **{ours: file.facts[theirs] for ours, theirs in _DELTA_NET.items()},
        "linear_value_head_dim": file.facts["ssm.inner_size"] // file.facts["ssm.time_step_rank"],
        "layer_types": [
            "linear_attention" if number % interval else "full_attention" for number in layers
        ],
    }


def _qwen35(file: _File) -> _Config:
    return _delta_net(file) | {"model_type": "qwen3_5_text"}


def _shared_expert(file: _File) -> _Config:
    return {"shared_expert_intermediate_size": file.facts["expert_shared_feed_forward_length"]}


def _qwen35_moe(file: _File) -> _Config:
    file.config.pop("intermediate_size", None)  # all its layers have experts
    mixture = {ours: file.facts[theirs] for ours, theirs in _EXPERTS.items()}
    return _delta_net(file) | mixture | _shared_expert(file) | {"model_type": "qwen3_5_moe_text"}


def _qwen3_next(file: _File) -> _Config:
    return _delta_net(file) | _qwen3_moe(file) | _shared_expert(file) | {"model_type": "qwen3_next"}


_FAMILIES: dict[str, Callable[[_File], _Config]] = {
    "llama": _llama,
    "mistral": _plain("mistral"),
    "mistral3": _plain("ministral3"),
    "qwen2": _plain("qwen2"),
    "qwen3": _plain("qwen3"),
    "phi3": _phi3,
    "granite": _granite,
    "smollm3": _smollm3,
    "glm4": _glm4,
    "qwen3moe": _qwen3_moe,
    "gemma3": _gemma3,
    "olmo2": _olmo,
    "gpt-oss": _gpt_oss,
    "lfm2": _lfm2,
    "qwen35": _qwen35,
    "qwen35moe": _qwen35_moe,
    "qwen3next": _qwen3_next,
}
# rotary on a part of each head
_PARTIAL = {"phi3", "glm4", "qwen3_5_text", "qwen3_5_moe_text", "qwen3_next"}


def _rope(header: GGUFHeader, facts: _Facts, config: _Config, name: str) -> _Config:
    """The RoPE parameters; by kind of layer for models with windows."""
    model_type = config["model_type"]
    theta = config["rope_theta"]
    rope = {"rope_type": "default", "rope_theta": theta}
    rope |= rope_scaling(facts, read_factors(header.tensors, name), config, name)
    if model_type in _PARTIAL:
        heads = config["num_attention_heads"]
        head_dim = config.get("head_dim") or config["hidden_size"] // heads
        rope["partial_rotary_factor"] = facts.get("rope.dimension_count", head_dim) / head_dim
    if model_type == "gpt_oss":
        rope["truncate"] = False  # its files do not say it
    if model_type == "ministral3":
        multiplier = facts.get("rope.scaling.yarn_log_multiplier", 1.0)
        rope |= {"mscale": multiplier, "mscale_all_dim": multiplier}
        rope["llama_4_scaling_beta"] = facts["attention.temperature_scale"]
    if sections := facts.get("rope.dimension_sections"):
        rope["mrope_section"] = [size for size in sections.values if size]
        rope["mrope_interleaved"] = True
    if model_type in {"gemma3_text", "olmo3"}:
        local = facts.get("rope.freq_base_swa", 10000.0 if model_type == "gemma3_text" else theta)
        windows = {"rope_type": "default", "rope_theta": local}
        return {"full_attention": rope, "sliding_attention": windows}
    return rope
