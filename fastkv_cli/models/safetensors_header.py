"""Reads the tensors' shapes from a safetensors file, in bounded time and memory.

Format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ModelError
from .checked import check_file

_MAX_BYTES = 2**25  # of a header; 405 billion weights have 150 kB


def read_shapes(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors by name.

    Args:
        path: the file.
        name: the user's name for the model, for messages.

    Raises:
        ModelError: when it cannot be read, or its header is damaged.
    """
    check_file(path, name)
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if not 2 <= size <= min(_MAX_BYTES, path.stat().st_size - 8):
                raise ValueError("its header is cut off")
            header: dict[str, Any] = json.loads(file.read(size))
        header.pop("__metadata__", None)
        return {key: _shape(entry["shape"]) for key, entry in header.items()}
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
