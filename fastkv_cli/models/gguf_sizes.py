"""Checks the metadata of a GGUF file against the tensors that it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import ModelError
from .gguf_header import PAIRED_MXFP4, GGUFHeader, Items
from .supported import GGUF_ARCHITECTURES, unsupported

_MAX_SIZE = 2**31 - 1
_TOKENS = "tokenizer.ggml.tokens"
_LISTS = {
    _TOKENS: str,
    "tokenizer.ggml.merges": str,
    "tokenizer.ggml.scores": float,
    "tokenizer.ggml.token_type": int,
}
_TEXTS = (
    "general.name",
    "tokenizer.ggml.model",
    "tokenizer.ggml.pre",
    "tokenizer.chat_template",
    "{}.rope.scaling.type",
)
_SIZES = (
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
)
_OPTIONAL_SIZES = (
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "rope.dimension_count",
    "rope.scaling.original_context_length",
    "vocab_size",
    "attention.sliding_window",
    "expert_count",
    "expert_used_count",
    "expert_feed_forward_length",
    "expert_shared_feed_forward_length",
    "nextn_predict_layers",
    "full_attention_interval",
    "shortconv.l_cache",
    "ssm.conv_kernel",
    "ssm.state_size",
    "ssm.group_count",
    "ssm.time_step_rank",
    "ssm.inner_size",
)
# 0 means that there is none: RoPE that is not scaled, layers without a window or prediction.
_MAY_BE_ZERO = (
    "rope.scaling.original_context_length",
    "attention.sliding_window",
    "nextn_predict_layers",
    "expert_count",
    "expert_used_count",
)
_NUMBERS = (
    "attention.layer_norm_rms_epsilon",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scaling.factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_log_multiplier",
    "attention.temperature_scale",
    "attention.scale",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "final_logit_softcapping",
)
# What a weight can be stored as; the blocks of fewer than 4 bits that need tables are left out.
_READABLE = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"}
_READABLE |= {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"}
# The architectures whose layers are Llama's but for biases and norms on heads, and Phi-3's.
_LIKE_LLAMA = {"llama", "mistral", "mistral3", "qwen2", "qwen3", "granite", "smollm3"}


def check_header(header: GGUFHeader, name: str) -> None:
    """Raise a ModelError unless a GGUF file can be loaded as a model.

    Its family must be supported, its sizes match its tensors, and its tokenizer be complete.

    Args:
        header: the file's header.
        name: the user's name for the model, for messages.
    """
    facts = header.facts
    architecture = facts.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in GGUF_ARCHITECTURES:
        kind = f"a GGUF file of type {str(architecture)[:60]!r}"
        raise unsupported(name, kind, GGUF_ARCHITECTURES, nearest=str(architecture)[:60])
    _check_facts(facts, architecture, name)
    _check_lists(facts, architecture, name)
    _check_tokenizer(facts, name)
    _check_types(header, name)
    _check_shapes(header, architecture, name)


def _check_facts(facts: dict[str, Any], architecture: str, name: str) -> None:
    optional = set(_OPTIONAL_SIZES)
    if f"{architecture}.expert_feed_forward_length" in facts:  # all layers may have experts
        optional.add("feed_forward_length")
    for key in (*_SIZES, *_OPTIONAL_SIZES):
        value = facts.get(f"{architecture}.{key}")
        if key == "attention.head_count_kv" and isinstance(value, Items):
            continue  # a number for each layer
        is_size = _is_size(value)
        is_left_out = value is None or (value == 0 and key in _MAY_BE_ZERO)
        if not is_size and not (key in optional and is_left_out):
            raise _invalid(f"{architecture}.{key}", value, name)
    for key in _NUMBERS:
        value = facts.get(f"{architecture}.{key}")
        is_number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
        if value is not None and (not is_number or (value == 0 and "scaling" not in key)):
            raise _invalid(f"{architecture}.{key}", value, name)
    for key in (each.format(architecture) for each in _TEXTS):
        if not isinstance(facts.get(key), str | None):
            raise _invalid(key, facts[key], name)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_SIZE


def _check_lists(facts: dict[str, Any], architecture: str, name: str) -> None:
    """Check the lists with an item for each layer, or for each kind of position."""
    num_layers = facts[f"{architecture}.block_count"]
    heads = facts.get(f"{architecture}.attention.head_count_kv")
    if isinstance(heads, Items) and (
        len(heads.values) != num_layers
        or not any(heads.values)
        or not all(value == 0 or _is_size(value) for value in heads.values)
    ):
        raise _invalid(f"{architecture}.attention.head_count_kv", heads, name)
    key = f"{architecture}.attention.sliding_window_pattern"
    pattern = facts.get(key)
    if isinstance(pattern, Items):
        if len(pattern.values) != num_layers or pattern.kind not in {bool, int}:
            raise _invalid(key, pattern, name)
    elif pattern is not None and not _is_size(pattern):
        raise _invalid(key, pattern, name)
    key = f"{architecture}.rope.dimension_sections"
    sections = facts.get(key)
    is_list = isinstance(sections, Items) and sections.kind is int and len(sections.values) <= 4
    if sections is not None and not is_list:
        raise _invalid(key, sections, name)


def _check_types(header: GGUFHeader, name: str) -> None:
    for key, tensor in header.tensors.items():
        if tensor.kind not in {*_READABLE, PAIRED_MXFP4}:
            raise ModelError(
                f"{name} stores {key[:60]} as {tensor.kind}, which cannot be read",
                "take a Q4_K_M or Q8_0 file of the same model",
            )


def _check_tokenizer(facts: dict[str, Any], name: str) -> None:
    if _TOKENS not in facts:
        raise ModelError(f"{name} has no tokenizer", "fetch a file with one")
    for key, kind in _LISTS.items():
        if key in facts and not (isinstance(facts[key], Items) and facts[key].kind is kind):
            raise _invalid(key, facts[key], name)
    num_tokens = facts[_TOKENS].size
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        if key in facts and facts[key].size != num_tokens:
            raise ModelError(
                f"{name} has {num_tokens:,} tokens, and {facts[key].size:,} of {key}",
                "fetch it again",
            )
    for key, value in facts.items():
        if key.startswith("tokenizer.ggml.") and key.endswith("_token_id"):
            is_known = isinstance(value, int) and not isinstance(value, bool)
            # 2³² − 1 is llama.cpp's value for no token
            if not is_known or not (0 <= value < num_tokens or value == 2**32 - 1):
                raise _invalid(key, value, name)


def _check_shapes(header: GGUFHeader, architecture: str, name: str) -> None:
    def size(key: str, default: int = 0) -> int:
        return int(header.facts.get(f"{architecture}.{key}") or default)

    stated = header.facts.get(f"{architecture}.attention.head_count_kv")
    num_layers, hidden = size("block_count"), size("embedding_length")
    if num_layers > len(header.shapes):
        raise _invalid(f"{architecture}.block_count", num_layers, name)
    heads = size("attention.head_count")
    one = size("attention.head_count_kv", heads) if not isinstance(stated, Items) else 0
    kv_heads = max(stated.values) if isinstance(stated, Items) else one
    head_dim = size("attention.key_length", hidden // heads)
    is_odd = not head_dim or head_dim % 2
    if heads % kv_heads or is_odd or size("rope.dimension_count", head_dim) > head_dim:
        raise ModelError(
            f"{name} has {heads:,} heads of {head_dim:,} and {kv_heads:,} KV heads, which do not "
            "go together",
            "fetch it again",
        )
    head_dims = heads * head_dim, kv_heads * head_dim
    inner = size("feed_forward_length")
    expected: Iterable[tuple[str, tuple[int, ...]]] = ()
    if architecture in {*_LIKE_LLAMA, "phi3"}:
        expected = _expected(architecture, num_layers, hidden, inner, head_dims)
    else:  # the engine compares their shapes with those of transformers' model
        widths = {
            "inner_size": size("ssm.inner_size"),
            "time_step_rank": size("ssm.time_step_rank"),
        }
        widths |= {"group_count": size("ssm.group_count") * size("ssm.state_size")}
        _check_widths(header, {"attention.head_count": head_dims[0], **widths}, name)
    num_tokens = header.facts[_TOKENS].size
    # transformers makes an embedding of this many rows
    if size("vocab_size", num_tokens) != num_tokens:
        raise _invalid(f"{architecture}.vocab_size", size("vocab_size"), name)
    missing = []
    for key, shape in [("token_embd.weight", (hidden, num_tokens)), *expected]:
        found = header.shapes.get(key)
        if found is None:
            missing.append(key)
        elif found != shape:
            raise ModelError(
                f"{name} contradicts itself: {key} is of shape {found}, not {shape}",
                "fetch it again",
            )
    if missing:
        raise ModelError(
            f"{name} is incomplete: {len(missing)} tensors are missing, as {missing[0]}",
            "fetch the file again, and all parts of it",
        )


def _check_widths(header: GGUFHeader, widths: dict[str, int], name: str) -> None:
    """Raise a ModelError if a part of a layer is wider than any tensor: nothing could hold it."""
    largest = max((max(shape) for shape in header.shapes.values()), default=0)
    for key, width in widths.items():
        if width > largest:
            raise ModelError(
                f"{name} contradicts itself: its {key} makes a width of {width:,}, and its "
                f"largest tensor is {largest:,} wide",
                "fetch it again",
            )


def _expected(
    architecture: str, num_layers: int, hidden: int, inner: int, head_dims: tuple[int, int]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors of all layers, and of the final norm."""
    size, kv_size = head_dims
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (hidden,),
        "ffn_norm": (hidden,),
        "attn_output": (size, hidden),
        "ffn_down": (inner, hidden),
    }
    if architecture == "phi3":
        layer |= {"attn_qkv": (hidden, size + 2 * kv_size), "ffn_up": (hidden, 2 * inner)}
    else:
        layer |= {"attn_q": (hidden, size), "attn_k": (hidden, kv_size)}
        layer |= {"attn_v": (hidden, kv_size)}
        layer |= {"ffn_gate": (hidden, inner), "ffn_up": (hidden, inner)}
    yield "output_norm.weight", (hidden,)
    for index in range(num_layers):
        yield from ((f"blk.{index}.{key}.weight", shape) for key, shape in layer.items())


def _invalid(key: str, value: Any, name: str) -> ModelError:
    if value is None:
        return ModelError(f"{name} does not give its {key}", "fetch it again")
    shown = "a list" if isinstance(value, Items) else repr(value)[:60]
    return ModelError(f"{name} gives {shown} for {key}", "fetch it again")
