"""GGUF files of random weights in the geometry of a published model, for large_models.py.

A geometry holds every size that time and memory depend on. The tokenizer is that of the embedded
model, padded to the geometry's vocabulary, so that all programs read the same text. The weights
are written in 16 bits; llama.cpp quantizes them (`quantize_llama.py`), as it does published ones.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from peer_weights import shipped

_EMBEDDING_STD = 0.02
_NORM_STD = 0.05  # around 1
_ATTENTION = 0.2  # of the other matrices' standard deviation, for the output of attention
_ROWS = 4096  # of random numbers drawn at once
_LLAMA3_ORIGINAL, _LLAMA3_LOW, _LLAMA3_HIGH = 8192, 1.0, 4.0
_UNUSED = 5  # llama.cpp's type of tokens that fill a vocabulary up


@dataclass(frozen=True, slots=True)
class Geometry:
    """The sizes of a model, by llama.cpp's names of its architecture and settings.

    Attributes:
        architecture: `llama`, `qwen3`, …
        layers, hidden, inner, heads, kv_heads, head_dim, vocabulary, context: sizes.
        theta: base of the rotary frequencies.
        facts: further metadata, without the architecture's prefix.
        normalized_heads: RMSNorms on the heads of Q and K.
        closing_norms: RMSNorms behind attention and MLP as well.
        llama3_factor: the scaling of Llama 3's rotary frequencies; 0 for none.
        tied: whether the head is the matrix of the embeddings.
    """

    architecture: str
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    theta: float
    facts: dict[str, int | float] = field(default_factory=dict)
    normalized_heads: bool = False
    closing_norms: bool = False
    llama3_factor: float = 0.0
    tied: bool = True

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Names and shapes, as rows by columns, of all tensors with random values."""
        size, kv_size = self.heads * self.head_dim, self.kv_heads * self.head_dim
        layer: dict[str, tuple[int, ...]] = {
            "attn_norm": (self.hidden,),
            "attn_q": (size, self.hidden),
            "attn_k": (kv_size, self.hidden),
            "attn_v": (kv_size, self.hidden),
            "attn_output": (self.hidden, size),
            "ffn_norm": (self.hidden,),
            "ffn_gate": (self.inner, self.hidden),
            "ffn_up": (self.inner, self.hidden),
            "ffn_down": (self.hidden, self.inner),
        }
        if self.normalized_heads:
            layer |= {"attn_q_norm": (self.head_dim,), "attn_k_norm": (self.head_dim,)}
        if self.closing_norms:
            layer |= {"post_attention_norm": (self.hidden,), "post_ffw_norm": (self.hidden,)}
        yield "token_embd.weight", (self.vocabulary, self.hidden)
        yield "output_norm.weight", (self.hidden,)
        if not self.tied:
            yield "output.weight", (self.vocabulary, self.hidden)
        for index in range(self.layers):
            yield from ((f"blk.{index}.{name}.weight", shape) for name, shape in layer.items())


GEOMETRIES = {
    "llama-3.2-1b": Geometry(
        *("llama", 16, 2048, 8192, 32, 8, 64, 128_256, 131_072, 5e5), llama3_factor=32.0
    ),
    "qwen3-4b": Geometry(
        *("qwen3", 36, 2560, 9728, 32, 8, 128, 151_936, 40_960, 1e6), normalized_heads=True
    ),
    "gemma-3-1b": Geometry(
        *("gemma3", 26, 1152, 6912, 4, 1, 256, 262_144, 32_768, 1e6),
        facts={"attention.sliding_window": 512},
        normalized_heads=True,
        closing_norms=True,
    ),
    "granite-3.3-2b": Geometry(
        *("granite", 40, 2048, 8192, 32, 8, 64, 49_159, 131_072, 1e7),
        facts={
            "embedding_scale": 12.0,
            "residual_scale": 0.22,
            "attention.scale": 0.015625,
            "logit_scale": 8.0,
        },
    ),
    "smollm3-3b": Geometry("smollm3", 36, 2048, 11_008, 16, 4, 128, 128_256, 65_536, 5e6),
}
"""The published models that can be imitated, by name."""


def write_random(path: Path, geometry: Geometry, number_format: str = "F16", seed: int = 1) -> Path:
    """Write a file of random weights.

    Matrices are normal with a standard deviation of 1/√columns and norms are near 1, so that
    hidden states keep their size through any number of layers. The embeddings are smaller: with a
    tied head, large ones would make every token follow itself. So is the output of attention, which
    is much the same for all positions here, and would make one token follow any other.

    Args:
        path: the file, which appears complete or not at all.
        geometry: its sizes.
        number_format: `F16` or `BF16`, of the matrices; norms are float32.
        seed: of the random values.
    """
    import gguf

    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(unfinished, geometry.architecture)
    _add_facts(writer, geometry, gguf.LlamaFileType[f"MOSTLY_{number_format}"])
    _add_tokenizer(writer, geometry.vocabulary)
    kinds = {1: gguf.GGMLQuantizationType.F32, 2: gguf.GGMLQuantizationType[number_format]}
    for name, shape in geometry.tensors():
        kind = kinds[len(shape)]
        width = np.float32 if kind is gguf.GGMLQuantizationType.F32 else np.float16
        size = math.prod(shape) * np.dtype(width).itemsize
        writer.add_tensor_info(name, shape, np.dtype(width), size, raw_dtype=kind)
    if geometry.llama3_factor:
        divisors = _llama3_divisors(geometry)
        writer.add_tensor_info("rope_freqs.weight", divisors.shape, divisors.dtype, divisors.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, shape in geometry.tensors():
        writer.write_tensor_data(_random(name, shape, number_format, seed))
    if geometry.llama3_factor:
        writer.write_tensor_data(divisors)
    writer.close()
    unfinished.replace(path)
    return path


def _add_facts(writer: Any, geometry: Geometry, file_type: int) -> None:
    writer.add_file_type(int(file_type))
    writer.add_block_count(geometry.layers)
    writer.add_context_length(geometry.context)
    writer.add_embedding_length(geometry.hidden)
    writer.add_feed_forward_length(geometry.inner)
    writer.add_head_count(geometry.heads)
    writer.add_head_count_kv(geometry.kv_heads)
    writer.add_key_length(geometry.head_dim)
    writer.add_value_length(geometry.head_dim)
    writer.add_rope_dimension_count(geometry.head_dim)
    writer.add_rope_freq_base(geometry.theta)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(geometry.vocabulary)
    for key, value in geometry.facts.items():
        add = writer.add_uint32 if isinstance(value, int) else writer.add_float32
        add(f"{geometry.architecture}.{key}", value)


def _add_tokenizer(writer: Any, vocabulary: int) -> None:
    """Copy the embedded model's tokenizer, with further tokens that no text contains."""
    for name, value, types in _embedded_tokenizer():
        missing = range(len(value), vocabulary) if isinstance(value, list) else range(0)
        fill: list[Any] = []
        if name == "tokenizer.ggml.tokens":
            fill = [f"[PAD{number}]" for number in missing]
        elif name == "tokenizer.ggml.token_type":
            fill = [_UNUSED] * len(missing)
        sub_type = types[-1] if len(types) > 1 else None
        writer.add_key_value(name, value + fill if fill else value, types[0], sub_type=sub_type)


@cache
def _embedded_tokenizer() -> list[tuple[str, Any, list[Any]]]:
    """Names, values and types of the metadata about the embedded model's tokenizer."""
    import gguf

    fields = gguf.GGUFReader(shipped()).fields.values()
    return [
        (field.name, field.contents(), field.types)
        for field in fields
        if field.name.startswith("tokenizer.")
    ]


def _random(name: str, shape: tuple[int, ...], number_format: str, seed: int) -> np.ndarray:
    """The values of a tensor, the same ones for the same name and seed."""
    rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
    if len(shape) == 1:
        return (1 + _NORM_STD * rng.standard_normal(shape, np.float32)).astype(np.float32)
    std = _EMBEDDING_STD if name == "token_embd.weight" else shape[1] ** -0.5
    if name.endswith("attn_output.weight"):
        std *= _ATTENTION
    values = np.empty(shape, np.float16)
    for start in range(0, shape[0], _ROWS):
        rows = values[start : start + _ROWS]
        drawn = rng.standard_normal(rows.shape, np.float32) * np.float32(std)
        rows[:] = drawn if number_format == "F16" else _bfloat16(drawn)
    return values


def _bfloat16(values: np.ndarray) -> np.ndarray:
    """The bits of the values in bfloat16, as an array of float16, which NumPy has."""
    import gguf
    from gguf.quants import quantize

    bits: np.ndarray = quantize(values, gguf.GGMLQuantizationType.BF16)
    return bits.view(np.float16)


def _llama3_divisors(geometry: Geometry) -> np.ndarray:
    """The divisors of the rotary frequencies of Llama 3.1 and later."""
    exponents = np.arange(0, geometry.head_dim, 2) / geometry.head_dim
    num_periods = _LLAMA3_ORIGINAL * geometry.theta**-exponents / (2 * math.pi)
    smooth = np.clip((num_periods - _LLAMA3_LOW) / (_LLAMA3_HIGH - _LLAMA3_LOW), 0, 1)
    return (1 / ((1 - smooth) / geometry.llama3_factor + smooth)).astype(np.float32)
