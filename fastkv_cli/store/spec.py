"""What a document's state is: all that it depends on, and the tensors it has."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..version import __version__

FORMAT = "fastkv-state/1"  # another one for every change of what files hold
SUFFIX = ".safetensors"

# Bytes of a number, by the names of safetensors.
_ITEM_BYTES = {"BF16": 2, "F16": 2, "F32": 4, "I8": 1, "I32": 4}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor in a file.

    Attributes:
        dtype: as safetensors names it: BF16, F16, F32, I8 or I32.
        shape: of the tensor; its numbers lie in row-major order.
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
        """What its numbers take."""
        return math.prod(self.shape) * _ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class StateSpec:
    """A document's state, before there is one.

    Attributes:
        identity: all that the state depends on, as the text's digest, the model's revision and the
            number format: states that differ in any of it are different ones.
        tensors: by name, in the order of the file. Tensors lie side by side: where sizes differ,
            those with the widest numbers come first, so that all are aligned.
        documents: their names, for people; the state does not depend on them.
        num_tokens: of the documents.
        made_with: versions and files that its numbers come from: where they are others now, the
            state is outdated, and there will not be a second one beside it.
    """

    identity: Mapping[str, str | int]
    tensors: Mapping[str, TensorSpec]
    documents: tuple[str, ...]
    num_tokens: int
    made_with: Mapping[str, str] = field(default_factory=lambda: {"fastkv": __version__})

    @property
    def digest(self) -> str:
        """32 hex digits that tell the state from all others; its file is named by them."""
        text = json.dumps({"format": FORMAT, "identity": dict(self.identity)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def nbytes(self) -> int:
        """Of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def title(self) -> str:
        """The documents, for a message."""
        return name_documents(self.documents)


def name_documents(documents: tuple[str, ...]) -> str:
    """`a.pdf`, or `a.pdf and 3 more`."""
    if not documents:
        return "a document"
    first, *others = documents
    return f"{first} and {len(others)} more" if others else first
