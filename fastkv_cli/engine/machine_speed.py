"""How fast this machine computes a model's layers, measured once and cached on disk."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..config import cache_dir
from ..system.kept_text import keep_text

_SCHEMA = "fastkv-speed/5"
_MAX_AGE_S = 7 * 24 * 3600.0
# Where other programs took a part of this thread's time, the speed is soon another one.
_UNDISTURBED, _MAX_BUSY_AGE_S = 0.85, 600.0


@dataclass(frozen=True, slots=True)
class PrefillSpeed:
    """Seconds that prefill takes in a layer, in one number format of the weights.

    Attributes:
        layer_s: once for each prompt, however short.
        kv_row_s: for each token whose K and V are computed.
        row_s: for each token that passes the rest of the layer, without attention; of a recurrent
            layer, for all of it.
        pair_s: for each pair of a query and a key, over all heads.
        score_s: for each pair of a query and a key that tokens are scored by.
        ready_s: once for each prompt, until the matrices can be multiplied with: blocks of a GGUF
            file are unpacked, weights in 8 bits made.
    """

    layer_s: float
    kv_row_s: float
    row_s: float
    pair_s: float
    score_s: float
    ready_s: float


@dataclass(frozen=True, slots=True)
class LayerSpeed:
    """Seconds that a layer of one kind takes.

    Attributes:
        prefill: with the model's own weights.
        int8: with weights in 8 bits; None where they are not used.
        quantize_s: to make weights in 8 bits for the first time in a process.
        decode_s: for a decoded token, with a short cache.
        entry_s: for each further entry of the cache.
    """

    prefill: PrefillSpeed
    int8: PrefillSpeed | None
    quantize_s: float
    decode_s: float
    entry_s: float


@dataclass(frozen=True, slots=True)
class MachineSpeed:
    """Measured seconds of a model's steps on this machine.

    Attributes:
        layers: of each kind of layers, in the order of `sample_layers.kinds`.
        head_s: the LM head, for one token.
        token_s: a decoded token outside the layers and the LM head.
        start_s: once in a process: the first prompt's products take longer.
        decode_start_s: the same of the first decoded tokens.
    """

    layers: tuple[LayerSpeed, ...]
    head_s: float
    token_s: float
    start_s: float
    decode_start_s: float

    def __post_init__(self) -> None:
        figures = _figures(asdict(self))
        if not all(isinstance(each, float) and 0 <= each < math.inf for each in figures):
            raise ValueError("a time is no finite number")

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Self:
        """Rebuild from the dictionaries of `asdict`.

        Raises:
            ValueError, KeyError or TypeError: when it is damaged.
        """
        layers = tuple(
            LayerSpeed(
                **{
                    **layer,
                    "prefill": PrefillSpeed(**layer["prefill"]),
                    "int8": None if layer["int8"] is None else PrefillSpeed(**layer["int8"]),
                }
            )
            for layer in stored["layers"]
        )
        return cls(**{**stored, "layers": layers})


def cached_speed(key: Mapping[str, object], measure: Callable[[], MachineSpeed]) -> MachineSpeed:
    """The speed from the cache, else measured.

    Args:
        key: all that it depends on: the machine and the model's sizes and formats.
        measure: measures it.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / "speed" / f"{digest}.json"
    found = _read(path, key)
    if found is None:
        started, started_cpu = time.perf_counter(), time.thread_time()
        found = measure()
        used = (time.thread_time() - started_cpu) / (time.perf_counter() - started)
        _write(path, key, found, is_busy=used < _UNDISTURBED)
    return found


def _figures(stored: object) -> list[object]:
    """All numbers in nested dictionaries and lists."""
    if isinstance(stored, dict):
        stored = list(stored.values())
    if isinstance(stored, list | tuple):
        return [figure for each in stored for figure in _figures(each)]
    return [] if stored is None else [stored]


def _read(path: Path, key: Mapping[str, object]) -> MachineSpeed | None:
    """The cached speed; None if there is none, or it is too old, of another machine, or damaged."""
    try:
        cached = json.loads(path.read_text(encoding="utf-8"))
        age_s = time.time() - float(cached["measured_at"])
        max_age_s = _MAX_BUSY_AGE_S if cached["is_busy"] else _MAX_AGE_S
        if cached["schema"] != _SCHEMA or cached["key"] != key or not 0 <= age_s < max_age_s:
            return None
        return MachineSpeed.of_json(cached["speed"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _write(path: Path, key: Mapping[str, object], speed: MachineSpeed, *, is_busy: bool) -> None:
    cached = {
        "schema": _SCHEMA,
        "key": key,
        "measured_at": time.time(),
        "is_busy": is_busy,
        "speed": asdict(speed),
    }
    keep_text(path, json.dumps(cached, indent=1))
