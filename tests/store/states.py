"""Small states for the tests, and how they are written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastkv_cli.store import StateSpec, StateStore, TensorSpec

LIMIT = 10**9
TENSORS = {
    "hidden": TensorSpec("F32", (5, 8)),
    "key.0": TensorSpec("BF16", (2, 5, 4)),
    "value.0": TensorSpec("BF16", (2, 5, 4)),
    "scale.0": TensorSpec("I8", (3,)),
}


def make_spec(text: str = "a", **changes: Any) -> StateSpec:
    """The state of a text."""
    settings: dict[str, Any] = {
        "identity": {"text": text, "model": "tiny", "layer": 3},
        "tensors": TENSORS,
        "documents": (f"{text}.txt",),
        "num_tokens": 5,
    }
    return StateSpec(**settings | changes)


def make_data(spec: StateSpec, seed: int = 0) -> dict[str, bytes]:
    """Numbers for its tensors, the same for the same state and seed."""
    start = seed + int(spec.digest[:4], 16)
    return {
        name: bytes((start + 31 * at + at // 7) % 251 for at in range(tensor.nbytes))
        for name, tensor in spec.tensors.items()
    }


def write(store: StateStore, spec: StateSpec, used_s_ago: float = 0) -> Path:
    """Keep a state; it was last used so many seconds ago."""
    writer = store.record(spec)
    assert writer is not None
    with writer:
        for name, data in make_data(spec).items():
            writer.add(name, data)
        writer.commit()
    path = store.folder / f"{spec.digest}.safetensors"
    when = path.stat().st_mtime - used_s_ago
    os.utime(path, (when, when))
    return path
