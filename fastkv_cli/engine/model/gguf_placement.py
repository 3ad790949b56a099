"""What llama.cpp's converter did to each tensor, and how its rows come back to their places.

It reorders the rows of some matrices; on a quantized one that moves whole rows of blocks, so
nothing has to be unpacked to undo it. The changes are those of its converter:
https://github.com/ggml-org/llama.cpp, `conversion/`. Torch is not imported here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ModelError
from .gguf_names import TensorName, parameter_name, parse_name
from .gguf_orders import Order, halves, qkvz_rows, value_heads

Values = npt.NDArray[Any]


class Stored(StrEnum):
    """How a file states a parameter's values."""

    PLAIN = "plain"
    PLUS_ONE = "plus one"  # 1 + w: what a norm that multiplies by 1 + w really multiplies by
    MINUS_EXP = "minus exp"  # -exp(A_log)


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """A tensor's place in a model.

    Attributes:
        parameter: the transformers parameter, as `model.layers.0.self_attn.q_proj.weight`.
        stored: how the values are stated.
        rows: (N,) the tensor's rows in the parameter's order; None if it is the same.
        columns: (K,) the same of columns. It crosses blocks: unpack them, or permute the input.
        part: where the tensor's rows lie in the parameter, on `axis`; None if it is all of it.
        axis: the parameter's axis of output features: 1 for stacked experts (E, N, K).
        transposed: the parameter is (…, K, N) where the tensor is (…, N, K).
    """

    parameter: str
    stored: Stored = Stored.PLAIN
    rows: Order | None = None
    columns: Order | None = None
    part: slice | Order | None = None
    axis: int = 0
    transposed: bool = False

    @property
    def is_renamed_only(self) -> bool:
        """Whether the tensor is the parameter as it stands."""
        is_moved = self.rows is not None or self.columns is not None or self.part is not None
        return not is_moved and not self.transposed and self.stored is Stored.PLAIN

    def place(self, values: Values, parameter: Values) -> None:
        """Write a tensor's values, in the file's order and shape, into the parameter's array."""
        if self.stored is Stored.PLUS_ONE:
            values = values - 1
        elif self.stored is Stored.MINUS_EXP:
            values = np.log(-values)
        if self.rows is not None:
            values = values[self.rows]
        if self.columns is not None:
            values = values[:, self.columns]
        if self.transposed:
            values = values.swapaxes(-1, -2)
        index: tuple[Any, ...] = (slice(None),) * self.axis
        index += (slice(None) if self.part is None else self.part,)
        parameter[index] = values.reshape(parameter[index].shape)


# llama.cpp rotates neighbouring pairs in these, transformers the halves of a head.
_NEIGHBOURS = {"llama", "mistral3", "granite", "smollm3"}
_PLUS_ONE = {"gemma3", "qwen35", "qwen35moe", "qwen3next"}
# Without a parameter: the config states what they say (RoPE factors), or nothing needs them.
_UNUSED = re.compile(
    r"rope_(freqs|factors_long|factors_short)\.weight|blk\.\d{1,6}\.attn_rot_embd(\..*)?"
)


def placement(name: str, architecture: str, config: Mapping[str, Any]) -> Placement | None:
    """The place of a tensor in the model; None for tensors that no parameter needs.

    Args:
        name: the tensor's name in the file.
        architecture: the file's `general.architecture`, one of `ARCHITECTURES`.
        config: the model's config.json.

    Raises:
        ModelError: when the model has no place for the tensor: without it, it would compute
            something else.
    """
    if _UNUSED.fullmatch(name):
        return None
    parts = parse_name(name)
    # Layers behind the last predict several tokens at once (MTP), for speculative decoding.
    if parts and parts.layer is not None and parts.layer >= config["num_hidden_layers"]:
        return None
    parameter = parts and parameter_name(parts, architecture)
    if parts is None or parameter is None:
        raise ModelError(
            f"the GGUF file holds a tensor {name[:60]!r}, for which models of type "
            f"{architecture} have no place",
            "take the safetensors of the same model, by its Hugging Face id",
        )
    place = Placement(parameter, _stored(parts.stem, architecture))
    if parts.stem.endswith("_exps"):
        return _expert(place, parts, architecture, config)
    return _reordered(place, parts.stem, architecture, config)


def _stored(stem: str, architecture: str) -> Stored:
    if stem == "ssm_a":
        return Stored.MINUS_EXP
    is_norm = stem.endswith("norm") and stem != "ssm_norm"  # which multiplies by w itself
    return Stored.PLUS_ONE if architecture in _PLUS_ONE and is_norm else Stored.PLAIN


def _expert(
    place: Placement, name: TensorName, architecture: str, config: Mapping[str, Any]
) -> Placement:
    """Stacked experts: transformers keeps gate and up in one parameter, gpt-oss alternately."""
    if architecture == "gpt-oss":
        is_weight = name.kind == "weight"
        whole = replace(place, transposed=is_weight, axis=2 if is_weight else 1)
        first = {"ffn_gate_exps": 0, "ffn_up_exps": 1}.get(name.stem)
        return whole if first is None else replace(whole, part=slice(first, None, 2))
    size = config["moe_intermediate_size"]
    part = {"ffn_gate_exps": slice(0, size), "ffn_up_exps": slice(size, None)}.get(name.stem)
    return replace(place, axis=1, part=part)


def _reordered(
    place: Placement, stem: str, architecture: str, config: Mapping[str, Any]
) -> Placement:
    if architecture in _NEIGHBOURS and stem in {"attn_q", "attn_k"}:
        key = "num_attention_heads" if stem == "attn_q" else "num_key_value_heads"
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        return replace(place, rows=halves(config[key], head_dim))
    if architecture in {"qwen35", "qwen35moe"}:
        return _qwen35(place, stem, config)
    if architecture == "qwen3next" and stem in {"attn_qkv", "attn_gate"}:
        rows = qkvz_rows(*_linear_sizes(config))
        return replace(place, part=rows[0 if stem == "attn_qkv" else 1])
    return place


def _qwen35(place: Placement, stem: str, config: Mapping[str, Any]) -> Placement:
    """Value heads lie one behind another by key head in transformers, in turn in the file."""
    key_heads, num_values, key_dim, value_dim = _linear_sizes(config)
    if num_values == key_heads:
        return place
    if stem in {"ssm_a", "ssm_dt", "ssm_alpha", "ssm_beta"}:
        return replace(place, rows=value_heads(key_heads, num_values, 1, 0))
    order = value_heads(key_heads, num_values, value_dim, 0)
    if stem == "attn_gate":
        return replace(place, rows=order)
    if stem == "ssm_out":
        return replace(place, columns=order)
    if stem in {"attn_qkv", "ssm_conv1d"}:
        num_first = 2 * key_heads * key_dim  # Q and K, in the same order in both
        return replace(place, rows=value_heads(key_heads, num_values, value_dim, num_first))
    return place


def _linear_sizes(config: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """Key heads, value heads, key head size and value head size of a gated DeltaNet."""
    return (
        config["linear_num_key_heads"],
        config["linear_num_value_heads"],
        config["linear_key_head_dim"],
        config["linear_value_head_dim"],
    )
