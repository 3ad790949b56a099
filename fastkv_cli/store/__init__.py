"""Prefix states of documents on disk, from which further questions start."""

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
