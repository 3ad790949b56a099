"""gpt-oss as published: safetensors whose experts are in MXFP4, used where they lie, as GGUF is.

The blocks of a matrix and their scales are two tensors, `down_proj_blocks` (E, N, K / 32, 16) and
`down_proj_scales` (E, N, K / 32). Unpacked to 16 bits, the weights would take four times as much.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from ...errors import ModelError
from ...models.gguf_header import PAIRED_MXFP4, TensorInfo
from ...models.local import weight_files
from ...models.safetensors_header import BLOCKS, SCALES, read_tensors
from .gguf_placement import Placement
from .gguf_plan import PlannedTensor

_GROUP, _BLOCK_BYTES = 32, 16  # weights of a block, and their bytes
_KINDS = {"BF16", "F16", "F32"}


def plan_folder(folder: Path, name: str) -> list[PlannedTensor]:
    """The tensors of a folder, each in its place; experts are (E, K, N) in transformers.

    Raises:
        ModelError: when a file is damaged, or stores weights in a format that cannot be read.
    """
    stored: dict[str, TensorInfo] = {}
    for path in weight_files(folder, name):
        stored |= read_tensors(path, name)
    planned = []
    for key, info in stored.items():
        if key.endswith(BLOCKS):
            planned.append(_experts(key.removesuffix(BLOCKS), stored, name))
        elif not key.endswith(SCALES):
            if info.kind not in _KINDS:
                raise ModelError(
                    f"{name} stores {key[:60]} as {info.kind}, which cannot be read",
                    "fetch the model again",
                )
            planned.append(PlannedTensor(key, info, Placement(key)))
    return planned


def needed_bytes(plan: list[PlannedTensor], itemsize: int, *, unpacked: bool) -> int:
    """Bytes that the weights take in memory: all of them, or packed and without experts."""
    if unpacked:
        return itemsize * sum(math.prod(tensor.shape) for tensor in plan)
    return sum(math.prod(tensor.shape) for tensor in plan if len(tensor.shape) == 2)


def _experts(key: str, stored: Mapping[str, TensorInfo], name: str) -> PlannedTensor:
    blocks, scales = stored[key + BLOCKS], stored.get(key + SCALES)
    size, *shape = blocks.shape
    are_blocks = (size, len(shape), blocks.kind) == (_BLOCK_BYTES, 3, "U8")
    if scales is None or not are_blocks or scales.shape != tuple(shape) or scales.kind != "U8":
        raise ModelError(
            f"{name} contradicts itself: {key[:60]} has blocks without fitting scales",
            "fetch the model again",
        )
    groups, num_rows, num_experts = shape
    whole = blocks._replace(shape=(groups * _GROUP, num_rows, num_experts), kind=PAIRED_MXFP4)
    return PlannedTensor(key, whole, Placement(key, transposed=True, axis=2), scales)
