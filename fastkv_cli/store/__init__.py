"""The states of documents that were read, on disk: a further question starts from them."""

from __future__ import annotations

from .spec import StateSpec, TensorSpec
from .store import StateEntry, StateStore, default_store_dir
from .writer import StateWriter

__all__ = [
    "StateEntry",
    "StateSpec",
    "StateStore",
    "StateWriter",
    "TensorSpec",
    "default_store_dir",
]
