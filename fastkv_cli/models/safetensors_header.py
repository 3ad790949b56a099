"""Reads where a safetensors file holds which tensors, in bounded time and memory.

Format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ModelError
from .checked import check_file
from .gguf_header import TensorInfo

BLOCKS, SCALES = "_blocks", "_scales"
"""Ends of the names of a matrix in MXFP4: gpt-oss's experts."""
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "U8": 1, "I8": 1}
_Entry = TypeVar("_Entry")
_MAX_BYTES = 2**25  # of a header; 405 billion weights have 150 kB


def read_shapes(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors by name.

    Args:
        path: the file.
        name: the user's name for the model, for messages.

    Raises:
        ModelError: when it cannot be read, or its header is damaged.
    """
    return _read(path, name, lambda entry, _: _shape(entry["shape"]))


def read_tensors(path: Path, name: str) -> dict[str, TensorInfo]:
    """The tensors of a file by name; `kind` is safetensors' name of the number format.

    Args:
        path: the file.
        name: the user's name for the model, for messages.

    Raises:
        ModelError: as `read_shapes`, and when tensors lie outside the file.
    """

    def place(entry: Mapping[str, Any], begin: int) -> TensorInfo:
        shape, kind = _shape(entry["shape"]), str(entry["dtype"])
        start, stop = entry["data_offsets"]
        num_bytes = stop - start
        if not 0 <= start <= stop <= path.stat().st_size - begin:
            raise ValueError("a tensor lies outside the file")
        # the caller knows formats that it cannot read
        if kind in _ITEM_BYTES and num_bytes != math.prod(shape) * _ITEM_BYTES[kind]:
            raise ValueError("a tensor has more or fewer bytes than its shape")
        return TensorInfo(shape[::-1], kind, path, begin + start, num_bytes)

    return _read(path, name, place)


def with_unpacked_blocks(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes of matrices in place of those of their blocks and scales in MXFP4."""
    found = {}
    for key, shape in shapes.items():
        if key.endswith(BLOCKS) and len(shape) > 1:
            found[key.removesuffix(BLOCKS)] = (*shape[:-2], shape[-2] * 2 * shape[-1])
        elif f"{key.removesuffix(SCALES)}{BLOCKS}" not in shapes:
            found[key] = shape
    return found


def _read(
    path: Path, name: str, convert: Callable[[Mapping[str, Any], int], _Entry]
) -> dict[str, _Entry]:
    """Read the header; `convert` takes a tensor's entry and where the tensors' bytes begin."""
    check_file(path, name)
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= min(_MAX_BYTES, path.stat().st_size - 8):
                raise ValueError("its header is cut off")
            header: dict[str, Any] = json.loads(file.read(size))
        header.pop("__metadata__", None)
        return {key: convert(entry, 8 + size) for key, entry in header.items()}
    except OSError as error:
        raise ModelError(f"cannot read {path}", error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"the {path.name} of {name} is damaged", "fetch the model again"
        ) from error


def _shape(stated: Any) -> tuple[int, ...]:
    shape = tuple(stated)
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise ValueError("a shape is not of whole numbers")
    return shape
