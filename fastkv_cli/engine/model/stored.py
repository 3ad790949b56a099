"""Checks config.json against the headers of safetensors files before any module is built.

A config.json with 10⁹ layers or a hidden size of 2⁴⁰ costs its author nothing. Headers cannot lie
like that: safetensors refuses those that describe more than their file holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ...errors import ModelError, OutOfMemoryError
from ...models.local import weight_files
from ...models.text_part import text_weights
from ...system.free_memory import available_memory_bytes
from .families import FAMILIES

_FLOATS = {"BF16", "F16", "F32", "F64"}
_AGAIN = "fetch the model again"
_Q4_K_M_BYTES = 0.65  # a weight: 5.2 bits in a file of 1 billion weights, 4.9 in one of 4 billion


class StoredTensor(NamedTuple):
    """A tensor in a file: its safetensors dtype, such as `BF16`, and its shape."""

    dtype: str
    shape: tuple[int, ...]


def read_headers(folder: Path, name: str, *, text_only: bool = False) -> dict[str, StoredTensor]:
    """Read the tensors' names, dtypes and shapes from a model's files, but no values.

    Args:
        folder: the model's.
        name: the model's name, for the message.
        text_only: keep the text part of a model that has others, under the text model's names.

    Raises:
        ModelError: when a file is truncated, or its header is invalid.
    """
    from safetensors import SafetensorError, safe_open

    stored: dict[str, StoredTensor] = {}
    for path in weight_files(folder, name):
        try:
            with safe_open(path, framework="np") as file:
                for key in file.keys():  # noqa: SIM118 (not a dictionary)
                    entry = file.get_slice(key)
                    stored[key] = StoredTensor(entry.get_dtype(), tuple(entry.get_shape()))
        except (OSError, SafetensorError) as error:
            reason = str(error).splitlines()[0][:120]
            raise ModelError(f"cannot read {path.name} of {name} ({reason})", _AGAIN) from error
    return text_weights(stored) if text_only else stored


def check_num_layers(config: Mapping[str, Any], stored: Sized, name: str) -> None:
    """Raise a ModelError unless there are at least as many tensors as layers in config.json.

    To be called first: transformers makes a list with an item for each layer.
    """
    num_layers = config.get("num_hidden_layers")
    if num_layers is not None and num_layers > len(stored):
        raise ModelError(
            f"the config.json of {name} names {num_layers:,} layers, and its files hold "
            f"{len(stored):,} tensors",
            _AGAIN,
        )


def check_shapes(config: Any, stored: Mapping[str, StoredTensor], name: str) -> None:
    """Raise a ModelError unless all matrices and norms exist in the expected shapes.

    Args:
        config: a transformers configuration, or an object with the same attributes.
        stored: the tensors in the files.
        name: the model's name, for the message.
    """
    is_packed = bool(getattr(config, "quantization_config", None))
    # transformers also accepts the body's weights without their prefix
    prefix = "" if "model.embed_tokens.weight" in stored else "model."
    for key, shape in _expected(config, stored):
        wanted = key if key in stored else key.removeprefix(prefix)
        if is_packed and key.endswith("_proj.weight"):
            found = _unpacked(stored, wanted, shape)
        else:
            found = stored.get(wanted)
        if found is None:
            raise ModelError(f"the weights of {name} are incomplete: {key} is missing", _AGAIN)
        if found.shape != shape:
            raise ModelError(
                f"the config.json of {name} does not fit its weights: {key} is of shape "
                f"{_shown(found.shape)}, not {_shown(shape)}",
                _AGAIN,
            )
        if found.dtype not in _FLOATS:
            raise ModelError(
                f"{key} of {name} is stored as {found.dtype}, which is no number format of weights",
                _AGAIN,
            )


def _unpacked(
    stored: Mapping[str, StoredTensor], key: str, shape: tuple[int, ...]
) -> StoredTensor | None:
    """A matrix of this shape, provided that the quantized tensor in its place can hold it.

    transformers knows the packing; with 2 bits, one 32-bit value of the file packs 16 weights, so
    a tensor is accepted from a sixteenth of the shape's size on.
    """
    names = ("weight", "qweight", "weight_packed")
    places = (stored.get(key.removesuffix("weight") + name) for name in names)
    packed = next(filter(None, places), None)
    if packed is None or math.prod(packed.shape) * 16 < math.prod(shape):
        return packed
    return StoredTensor("F32", shape)


def count_bytes(stored: Mapping[str, StoredTensor], dtype: torch.dtype) -> int:
    """Bytes of the weights in memory, in this number format."""
    return sum(math.prod(tensor.shape) for tensor in stored.values()) * dtype.itemsize


def check_room(needed: int, device: torch.device, name: str, num_weights: int) -> None:
    """Raise an OutOfMemoryError when the weights need more bytes than are free.

    The message names what would fit: the same model in fewer bits, or a smaller one.

    Args:
        needed: bytes that the weights take as they are to be loaded.
        device: where they are to be.
        name: the model's name, for the message.
        num_weights: their number.
    """
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_memory_bytes()
    if free is not None and needed > free:
        raise OutOfMemoryError(
            f"the weights of {name} take {_shown_bytes(needed)} of memory on {device}, "
            f"and {_shown_bytes(free)} are free",
            _what_fits(needed, free, device, num_weights),
        )


def _what_fits(needed: int, free: int, device: torch.device, num_weights: int) -> str:
    """What to do instead of loading weights that need more bytes than are free."""
    in_16_bits, in_4_bits = 2 * num_weights, int(_Q4_K_M_BYTES * num_weights)
    other = "--device cpu or " if device.type != "cpu" else ""
    if needed > in_16_bits and in_16_bits <= free:
        return f"take --dtype bfloat16, in which they take {_shown_bytes(in_16_bits)}"
    if device.type != "cpu":  # blocks of GGUF files are unpacked there
        fitting = f"{free / 2e9:,.1f} billion weights"
    elif in_4_bits <= min(free, 0.8 * needed):
        return f"take its GGUF file in 4 bits (Q4_K_M), which takes {_shown_bytes(in_4_bits)}"
    else:
        fitting = f"{free / _Q4_K_M_BYTES / 1e9:,.1f} billion weights in 4 bits (Q4_K_M)"
    return f"take {other}a model of at most {fitting}, or free some memory"


def _shown_bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"


def _expected(
    config: Any, stored: Mapping[str, StoredTensor]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the matrices and norms of a supported model."""
    hidden, vocabulary = config.hidden_size, config.vocab_size
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    head_dim = getattr(config, "head_dim", None) or hidden // heads
    size, kv_size = heads * head_dim, kv_heads * head_dim
    family = FAMILIES[config.model_type]
    layer: dict[str, tuple[int, ...]] = {
        **{norm: (hidden,) for norm in family.norms if norm is not None},
        "self_attn.o_proj": (hidden, size),
    }
    if family.fused_qkv:
        layer |= {"self_attn.qkv_proj": (size + 2 * kv_size, hidden)}
    else:
        layer |= {f"self_attn.{x}_proj": (kv_size, hidden) for x in "kv"}
        layer |= {"self_attn.q_proj": (size * (1 + family.gated_attention), hidden)}
    if family.normalized_heads:
        layer |= {f"self_attn.{x}_norm": (head_dim,) for x in "qk"}
    if family.normalized_projections:
        layer |= {"self_attn.q_norm": (size,), "self_attn.k_norm": (kv_size,)}
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    yield f"model.{family.names.get('norm', 'norm')}.weight", (hidden,)
    if not config.tie_word_embeddings:
        yield "lm_head.weight", (vocabulary, hidden)
    types = getattr(config, "layer_types", None) or ()
    for index in range(config.num_hidden_layers):
        prefix = f"model.layers.{index}."
        kind = types[index] if index < len(types) else ""
        is_recurrent = kind in {"conv", "linear_attention"}
        for key, shape in layer.items():
            if not (is_recurrent and key.startswith("self_attn.")):
                yield f"{prefix}{family.names.get(key, key)}.weight", shape
        yield from _expected_mixer(config, prefix, kind)
        if family.experts and _has_experts(config, index):
            yield from _expected_experts(config, f"{prefix}mlp.", stored)
            continue
        for name, shape in _expected_mlp(config, "mlp.", _inner_size(config)):
            key = name.removesuffix(".weight")
            yield f"{prefix}{family.names.get(key, key)}.weight", shape


def _expected_mixer(config: Any, prefix: str, kind: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What mixes tokens in a layer, other than the attention's matrices and norms."""
    if kind == "conv":
        yield from _convolution(f"{prefix}conv", config.hidden_size, config.conv_L_cache)
    elif kind == "linear_attention":
        yield from _delta_net(f"{prefix}linear_attn", config)
    elif FAMILIES[config.model_type].sinks:
        yield f"{prefix}self_attn.sinks", (config.num_attention_heads,)


def _has_experts(config: Any, index: int) -> bool:
    is_sparse = (index + 1) % getattr(config, "decoder_sparse_step", 1) == 0
    return is_sparse and index not in getattr(config, "mlp_only_layers", ())


def _expected_mlp(config: Any, prefix: str, inner: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden = config.hidden_size
    if FAMILIES[config.model_type].fused_gate_up:
        yield f"{prefix}gate_up_proj.weight", (2 * inner, hidden)
    else:
        yield f"{prefix}gate_proj.weight", (inner, hidden)
        yield f"{prefix}up_proj.weight", (inner, hidden)
    yield f"{prefix}down_proj.weight", (hidden, inner)


def _expected_experts(
    config: Any, prefix: str, stored: Mapping[str, StoredTensor]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Router and experts, which files hold one by one or all in one tensor."""
    hidden, count = config.hidden_size, config.num_experts
    if config.model_type == "gpt_oss":
        inner = config.intermediate_size
        yield f"{prefix}router.weight", (count, hidden)
        yield f"{prefix}router.bias", (count,)
        yield f"{prefix}experts.gate_up_proj", (count, hidden, 2 * inner)
        yield f"{prefix}experts.gate_up_proj_bias", (count, 2 * inner)
        yield f"{prefix}experts.down_proj", (count, inner, hidden)
        yield f"{prefix}experts.down_proj_bias", (count, hidden)
        return
    inner = config.moe_intermediate_size
    yield f"{prefix}gate.weight", (count, hidden)
    if shared := getattr(config, "shared_expert_intermediate_size", 0):
        yield f"{prefix}shared_expert_gate.weight", (1, hidden)
        yield from _expected_mlp(config, f"{prefix}shared_expert.", shared)
    if f"{prefix}experts.gate_up_proj" in stored:
        yield f"{prefix}experts.gate_up_proj", (count, 2 * inner, hidden)
        yield f"{prefix}experts.down_proj", (count, hidden, inner)
    else:
        for expert in range(count):
            yield from _expected_mlp(config, f"{prefix}experts.{expert}.", inner)


def _inner_size(config: Any) -> int:
    """Size of a token's activations inside the MLP."""
    inner = int(config.intermediate_size)
    if config.model_type != "lfm2" or not config.block_auto_adjust_ff_dim:
        return inner
    inner = int(2 * inner / 3)
    if config.block_ffn_dim_multiplier is not None:
        multiple = config.block_multiple_of
        inner = -(-int(config.block_ffn_dim_multiplier * inner) // multiple) * multiple
    return inner


def _convolution(name: str, hidden: int, size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a short convolution over `size` tokens."""
    yield f"{name}.in_proj.weight", (3 * hidden, hidden)
    yield f"{name}.conv.weight", (hidden, 1, size)
    yield f"{name}.out_proj.weight", (hidden, hidden)


def _delta_net(name: str, config: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a gated DeltaNet."""
    hidden, heads = config.hidden_size, config.linear_num_value_heads
    values = heads * config.linear_value_head_dim
    channels = 2 * config.linear_num_key_heads * config.linear_key_head_dim + values
    yield f"{name}.conv1d.weight", (channels, 1, config.linear_conv_kernel_dim)
    if config.model_type == "qwen3_next":  # pairs of the others in one
        yield f"{name}.in_proj_qkvz.weight", (channels + values, hidden)
        yield f"{name}.in_proj_ba.weight", (2 * heads, hidden)
    else:
        yield f"{name}.in_proj_qkv.weight", (channels, hidden)
        yield f"{name}.in_proj_z.weight", (values, hidden)
        yield from ((f"{name}.in_proj_{x}.weight", (heads, hidden)) for x in "ab")
    yield f"{name}.out_proj.weight", (hidden, values)


def _shown(shape: Sequence[int]) -> str:
    return "×".join(f"{size:,}" for size in shape)
