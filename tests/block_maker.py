"""Random blocks of GGUF's types: any levels, with scales of an ordinary size."""

from __future__ import annotations

import gguf
import numpy as np
import torch
from torch import Tensor

# Bytes at which the types have numbers in float16
_HALVES = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "MXFP4": (),
}
_NUMBERS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
QUANTIZED = tuple(_HALVES)


def make_blocks(
    kind: str, num_rows: int, num_columns: int, *, size: float = 1.0, seed: int = 0
) -> Tensor:
    """Rows of blocks, (rows, row bytes) uint8; `size` is that of the largest weights, roughly."""
    random = np.random.default_rng((len(kind), num_rows, seed))
    if kind in _NUMBERS:
        numbers = random.normal(0, size / 3, (num_rows, num_columns))
        return torch.from_numpy(numbers).to(_NUMBERS[kind]).view(torch.uint8)
    weights, num_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    shape = (num_rows * num_columns // weights, num_bytes)
    blocks = random.integers(0, 256, shape, dtype=np.uint8)
    for start in _HALVES[kind]:
        halves = random.uniform(0.5, 1, shape[0]).astype(np.float16)
        blocks[:, start : start + 2] = halves.view(np.uint8).reshape(-1, 2)
    if kind == "MXFP4":
        blocks[:, 0] = random.integers(124, 128, shape[0])  # exponents
    raw = torch.from_numpy(blocks.reshape(num_rows, -1))
    factor = size / float(np.abs(gguf.quants.dequantize(raw.numpy(), _type(kind))).max())
    return _scaled(kind, raw, shape, factor)


def _scaled(kind: str, raw: Tensor, shape: tuple[int, int], factor: float) -> Tensor:
    blocks = raw.numpy().reshape(shape).copy()
    for start in _HALVES[kind]:
        halves = blocks[:, start : start + 2].copy().view(np.float16) * np.float16(factor)
        blocks[:, start : start + 2] = halves.view(np.uint8)
    if kind == "MXFP4":
        blocks[:, 0] = blocks[:, 0].astype(int) + int(np.floor(np.log2(factor)))
    return torch.from_numpy(blocks.reshape(raw.shape))


def _type(kind: str) -> gguf.GGMLQuantizationType:
    return gguf.GGMLQuantizationType[kind]
