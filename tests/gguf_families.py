"""Tiny random models of every family as GGUF files, with the changes of llama.cpp's converter.

What is done here to names, rows and values is written after `conversion/` of llama.cpp, not after
what fastkv undoes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf_files import add_tokenizer

HEADS_DERIVED = {"granite", "lfm2", "olmo2", "phi3"}  # their configurations have no head_dim
MIXTURE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
DELTA_NET = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
    "layer_types": ["linear_attention", "linear_attention", "linear_attention", "full_attention"],
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
# By the file's architecture: transformers' model_type, and what its tiny model adds to the others'.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"attention_bias": True}),
    "mistral3": (
        "ministral3",
        {
            "rope_parameters": YARN
            | {"mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}
        },
    ),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 32}),
    "phi3": ("phi3", {}),
    "granite": (
        "granite",
        {
            "attention_multiplier": 0.05,
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
            "logits_scaling": 8.0,
            "tie_word_embeddings": True,
        },
    ),
    "smollm3": ("smollm3", {"no_rope_layer_interval": 4, "use_sliding_window": False}),
    "glm4": ("glm4", {"attention_bias": True}),
    "qwen3moe": ("qwen3_moe", MIXTURE | {"decoder_sparse_step": 1, "norm_topk_prob": True}),
    "gemma3": (
        "gemma3_text",
        {"sliding_window": 24, "num_hidden_layers": 7, "query_pre_attn_scalar": 16},
    ),
    "olmo2": ("olmo3", {"sliding_window": 24}),
    "gpt-oss": (
        "gpt_oss",
        {
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": 24,
            "rope_parameters": YARN | {"truncate": False},
        },
    ),
    "lfm2": (
        "lfm2",
        {
            "layer_types": ["conv", "full_attention", "conv", "full_attention"],
            "block_auto_adjust_ff_dim": False,
            "conv_L_cache": 3,
        },
    ),
    "qwen35": (
        "qwen3_5_text",
        DELTA_NET
        | {
            "head_dim": 32,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.25,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
        },
    ),
    "qwen35moe": (
        "qwen3_5_moe_text",
        DELTA_NET
        | MIXTURE
        | {
            "shared_expert_intermediate_size": 48,
            "head_dim": 32,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.25,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
        },
    ),
    "qwen3next": (
        "qwen3_next",
        DELTA_NET
        | MIXTURE
        | {"shared_expert_intermediate_size": 48, "decoder_sparse_step": 1, "head_dim": 32},
    ),
}


def make_model(architecture: str, vocab_size: int = 384) -> Any:
    """A tiny random transformers model in float32, on the CPU: hidden 64, 4 layers, 4 and 2 heads."""
    import torch
    import transformers

    model_type, settings = FAMILIES[architecture]
    common = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
    }
    if architecture == "qwen35moe":
        del common["intermediate_size"]  # all its layers have experts
    if architecture in HEADS_DERIVED:
        del common["head_dim"]
    config = transformers.AutoConfig.for_model(model_type, **(common | settings))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(architecture.encode()))
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if key.endswith(("bias", "sinks")):  # of zeros, as norms of ones
                    weight.normal_(0, 0.2)
                elif "norm" in key:
                    weight.uniform_(0.5, 1.5)
    return model.eval()


def write_family(
    path: Path, architecture: str, model: Any, tokenizer_folder: Path, tensors_per_part: int = 0
) -> Path:
    """Write a model of `make_model` as a GGUF file in float32, or as several."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=tensors_per_part)
    add_settings(writer, model.config, architecture)
    add_tokenizer(writer, tokenizer_folder)
    for name, values in converted(model, architecture):
        writer.add_tensor(name, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_settings(writer: Any, config: Any, architecture: str) -> None:
    """Add the settings of a config as llama.cpp's converter does."""
    kv_heads: Any = config.num_key_value_heads
    layers = getattr(config, "layer_types", None) or []
    if architecture == "lfm2":
        kv_heads = [0 if kind == "conv" else kv_heads for kind in layers]
        writer.add_shortconv_l_cache(config.conv_L_cache)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    if architecture != "qwen35moe":  # whose layers all have experts
        writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(getattr(config, "rms_norm_eps", None) or config.norm_eps)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if architecture not in {"granite", "phi3", "lfm2"}:
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    add_rope(writer, config, architecture, head_dim)
    if architecture == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if architecture in {"gemma3", "olmo2", "gpt-oss"}:
        writer.add_sliding_window(config.sliding_window)
    if architecture == "olmo2":
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in layers])
    if architecture in {"qwen3moe", "qwen3next", "qwen35moe", "gpt-oss"}:
        sizes = (
            config.intermediate_size if architecture == "gpt-oss" else config.moe_intermediate_size
        )
        writer.add_expert_count(getattr(config, "num_experts", None) or config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(sizes)
    if architecture in {"qwen35", "qwen35moe", "qwen3next"}:
        add_delta_net(writer, config)
    if architecture in {"qwen3next", "qwen35moe"}:
        writer.add_expert_shared_feed_forward_length(config.shared_expert_intermediate_size)


def add_rope(writer: Any, config: Any, architecture: str, head_dim: int) -> None:
    """Add the settings of the rotary embeddings."""
    import gguf

    rope = config.rope_parameters
    rope = rope.get("full_attention", rope)
    writer.add_rope_freq_base(rope["rope_theta"])
    if architecture not in {"qwen2", "qwen3", "qwen3moe", "gemma3", "olmo2", "gpt-oss", "lfm2"}:
        writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1)))
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    if architecture == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        writer.add_sliding_window(config.sliding_window or 0)
    if "mrope_section" in rope:
        writer.add_rope_dimension_sections([*rope["mrope_section"], 0])
    if architecture == "mistral3":
        writer.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
        writer.add_attn_temperature_scale(rope["llama_4_scaling_beta"])


def add_delta_net(writer: Any, config: Any) -> None:
    """Add the settings of the linear attention of Qwen3.5 and Qwen3-Next."""
    writer.add_ssm_conv_kernel(config.linear_conv_kernel_dim)
    writer.add_ssm_state_size(config.linear_key_head_dim)
    writer.add_ssm_group_count(config.linear_num_key_heads)
    writer.add_ssm_time_step_rank(config.linear_num_value_heads)
    writer.add_ssm_inner_size(config.linear_value_head_dim * config.linear_num_value_heads)
    writer.add_full_attention_interval(4)


def converted(model: Any, architecture: str) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors as llama.cpp's converter writes them: names and values."""
    import gguf

    config = model.config
    arch = {name: each for each, name in gguf.MODEL_ARCH_NAMES.items()}[architecture]
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for parameter, weight in split_experts(model, architecture):
        if parameter == "lm_head.weight" and config.tie_word_embeddings:
            continue
        key = parameter.replace(".dt_bias", ".dt_proj.bias")
        stem, _, suffix = key.rpartition(".")
        if suffix not in {"weight", "bias"}:
            stem, suffix = key, ""
        values = changed(weight, key, architecture, config)
        if key.endswith("in_proj_qkvz.weight"):
            yield from split_qkvz(values, key, config)
            continue
        name = names.get_name(stem)
        assert name is not None, key
        suffix = "weight" if stem.endswith("sinks") else suffix
        yield f"{name}.{suffix}" if suffix else name, values


def split_experts(model: Any, architecture: str) -> Iterator[tuple[str, np.ndarray]]:
    """The parameters, with those of experts divided into gate, up and down."""
    for key, weight in model.state_dict().items():
        values = weight.float().numpy()
        if ".mlp.experts." not in key:
            yield key, values
            continue
        base = key.removesuffix("_bias")
        suffix = "bias" if key.endswith("_bias") else "weight"
        is_oss = architecture == "gpt-oss"
        if is_oss and suffix == "weight":
            values = values.swapaxes(-1, -2)
        if "gate_up_proj" not in base:
            yield f"{base}.{suffix}", values
            continue
        axis = 1
        half = values.shape[axis] // 2
        gate, up = (
            (values[:, ::2], values[:, 1::2]) if is_oss else (values[:, :half], values[:, half:])
        )
        yield f"{base.replace('gate_up_proj', 'gate_proj')}.{suffix}", gate
        yield f"{base.replace('gate_up_proj', 'up_proj')}.{suffix}", up


def changed(values: Any, key: str, architecture: str, config: Any) -> Any:
    """One tensor's values as llama.cpp wants them."""
    if architecture in {"llama", "mistral3", "granite", "smollm3"}:
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        if num := heads.get(key.split(".")[-2]):
            halves = values.reshape(num, 2, values.shape[0] // num // 2, *values.shape[1:])
            return halves.swapaxes(1, 2).reshape(values.shape)
    is_norm = key.endswith("norm.weight") and not key.endswith("linear_attn.norm.weight")
    if is_norm and architecture in {"gemma3", "qwen35", "qwen35moe", "qwen3next"}:
        return values + 1
    if "linear_attn." in key and architecture in {"qwen35", "qwen35moe"}:
        values = tiled(values, key, config)
    if key.endswith("A_log"):
        return np.negative(np.exp(values))
    if "conv1d" in key or "conv.conv" in key:
        return values.squeeze(1)
    if key.endswith("shared_expert_gate.weight"):
        return values.squeeze(0)
    return values


def tiled(values: np.ndarray, key: str, config: Any) -> np.ndarray:
    """Value heads in turn over the key heads."""
    key_heads, heads = config.linear_num_key_heads, config.linear_num_value_heads
    value_dim = config.linear_value_head_dim

    def reorder(rows: np.ndarray, dim: int) -> np.ndarray:
        split = rows.reshape(key_heads, heads // key_heads, dim, *rows.shape[1:])
        return split.swapaxes(0, 1).reshape(rows.shape)

    if ".in_proj_qkv." in key or ".conv1d." in key:
        first = 2 * key_heads * config.linear_key_head_dim
        return np.concatenate([values[:first], reorder(values[first:], value_dim)])
    if ".in_proj_z." in key:
        return reorder(values, value_dim)
    if ".out_proj." in key:
        return reorder(values.T, value_dim).T
    if ".norm." in key:
        return values
    return reorder(values, 1)


def split_qkvz(values: np.ndarray, key: str, config: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Qwen3-Next's matrix of Q, K, V and Z in two."""
    layer = key.split(".")[2]
    key_heads = config.linear_num_key_heads
    size = config.linear_num_value_heads // key_heads * config.linear_value_head_dim
    cuts = np.cumsum([config.linear_key_head_dim, config.linear_key_head_dim, size])
    heads = values.reshape(key_heads, -1, values.shape[1])
    query, keys, value, gate = (
        part.reshape(-1, values.shape[1]) for part in np.split(heads, cuts, axis=1)
    )
    yield f"blk.{layer}.attn_qkv.weight", np.concatenate([query, keys, value])
    yield f"blk.{layer}.attn_gate.weight", gate
