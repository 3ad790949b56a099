"""Specification of a document's state: everything it depends on, and its tensors."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..version import __version__

FORMAT = "fastkv-state/1"  # changes with every change of the files' contents
SUFFIX = ".safetensors"

# Bytes per element, by safetensors' dtype names.
_ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "I8": 1, "I32": 4}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor in a file.

    Attributes:
        dtype: safetensors' name of the dtype: BF16, F16, F32, I8 or I32.
        shape: its shape; elements are stored in row-major order.
    """

    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.dtype not in _ITEM_BYTES:
            raise ValueError(f"dtype {self.dtype!r} is none of {', '.join(_ITEM_BYTES)}")
        if any(size < 0 for size in self.shape):
            raise ValueError(f"shape {self.shape} has a negative size")

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class StateSpec:
    """The state that a document would have, whether it exists or not.

    Attributes:
        identity: everything the state depends on, such as the text's digest, the model's revision
            and the number format; if any of it differs, it is another state.
        tensors: by name, in the order of the file. Tensors are stored without gaps: where element
            sizes differ, the largest come first, so that all are aligned.
        documents: the documents' names, for display; the state does not depend on them.
        num_tokens: tokens of the documents.
        made_with: versions and files that computed the state. If they have changed, the state is
            outdated and gets replaced; no second one is stored beside it.
    """

    identity: Mapping[str, str | int]
    tensors: Mapping[str, TensorSpec]
    documents: tuple[str, ...]
    num_tokens: int
    made_with: Mapping[str, str] = field(default_factory=lambda: {"fastkv": __version__})

    @property
    def digest(self) -> str:
        """32 hex digits that identify the state and name its file."""
        text = json.dumps({"format": FORMAT, "identity": dict(self.identity)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def title(self) -> str:
        """The documents' names, for a message."""
        return name_documents(self.documents)


def name_documents(documents: tuple[str, ...]) -> str:
    """`a.pdf`, or `a.pdf and 3 more`."""
    if not documents:
        return "a document"
    first, *others = documents
    return f"{first} and {len(others)} more" if others else first
