"""Checks the metadata of a GGUF file against the tensors that it holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ..errors import ModelError
from .gguf_header import GGUFHeader, Items
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
)
_NUMBERS = ("attention.layer_norm_rms_epsilon", "rope.freq_base", "rope.scaling.factor")


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
        raise unsupported(name, kind, GGUF_ARCHITECTURES)
    _check_facts(facts, architecture, name)
    _check_tokenizer(facts, name)
    _check_shapes(header, architecture, name)


def _check_facts(facts: dict[str, Any], architecture: str, name: str) -> None:
    for key in (*_SIZES, *_OPTIONAL_SIZES):
        value = facts.get(f"{architecture}.{key}")
        is_size = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_SIZE
        # some converters write 0 if RoPE is not scaled
        is_left_out = value is None or (value == 0 and "original" in key)
        if not is_size and not (key in _OPTIONAL_SIZES and is_left_out):
            raise _invalid(f"{architecture}.{key}", value, name)
    for key in _NUMBERS:
        value = facts.get(f"{architecture}.{key}")
        is_number = isinstance(value, int | float) and math.isfinite(value) and value >= 0
        if value is not None and (not is_number or (value == 0 and "scaling" not in key)):
            raise _invalid(f"{architecture}.{key}", value, name)
    for key in (each.format(architecture) for each in _TEXTS):
        if not isinstance(facts.get(key), str | None):
            raise _invalid(key, facts[key], name)


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

    num_layers, hidden = size("block_count"), size("embedding_length")
    if num_layers > len(header.shapes):
        raise _invalid(f"{architecture}.block_count", num_layers, name)
    heads = size("attention.head_count")
    kv_heads = size("attention.head_count_kv", heads)
    head_dim = size("attention.key_length", hidden // heads)
    if heads % kv_heads or not head_dim or size("rope.dimension_count", head_dim) > head_dim:
        raise ModelError(
            f"{name} has {heads:,} heads of {head_dim:,} and {kv_heads:,} KV heads, which do not "
            "go together",
            "fetch it again",
        )
    head_dims = heads * head_dim, kv_heads * head_dim
    expected = _expected(architecture, num_layers, hidden, size("feed_forward_length"), head_dims)
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
