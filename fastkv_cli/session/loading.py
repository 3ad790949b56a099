"""Loads the engine of a session."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config import Attention, DType
from ..prompts.thinking import find_thought_format
from ..system.free_memory import check_memory_to_start
from ..system.heap import reuse_freed_memory
from ..system.isolated import existing_folder
from ..system.quick_start import collector_paused
from .observer import Observer
from .options import DeviceOptions

if TYPE_CHECKING:
    from ..engine.generate import Engine
    from ..engine.model.loader import LoadedModel


@contextmanager
def torch_environment() -> Iterator[None]:
    """Prepare the process for importing torch; import it and load a model inside the context.

    Raises:
        OutOfMemoryError: when `ulimit -v` leaves less memory than torch's libraries take.
    """
    check_memory_to_start()
    reuse_freed_memory()
    # OpenMP's threads spin while they wait for each other; on cores shared with other programs that
    # stalls all of them. Measured on 2 cores: spinning 100 times less costs nothing while both are
    # idle, and makes prefill twice as fast while one is busy.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    try:
        tempfile.gettempdir()
    except FileNotFoundError:  # every disk is full or read-only
        # On import, torch._dynamo creates a folder for compiled code; fastkv compiles nothing.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.sep)
    with existing_folder(), collector_paused():
        yield


def load_engine(model: str, options: DeviceOptions, observer: Observer) -> Engine:
    """Load a model by its name.

    Raises:
        FastKVError: when it cannot be found, downloaded or loaded, or does not fit the memory.
    """
    with torch_environment():
        from ..engine.generate import Engine

        return Engine.load(
            model,
            dtype=options.dtype,
            device=options.device,
            attention=options.attention,
            decode_weights=options.decode_weights,
            prefill_weights=options.prefill_weights,
            prompt_lookup=options.prompt_lookup,
            kv_dtype=options.kv_dtype,
            offline=options.offline,
            on_progress=lambda step: observer.progress(
                step.activity, step.done, step.total, step.unit
            ),
        )


def load_without_weights(
    model: str,
    observer: Observer,
    *,
    dtype: DType = DType.AUTO,
    device: str = "auto",
    attention: Attention = Attention.AUTO,
    offline: bool = False,
) -> LoadedModel:
    """Load a model's tokenizer, and its architecture without weights.

    Raises:
        FastKVError: when it cannot be found, downloaded or loaded.
    """
    with torch_environment():
        from ..engine.model.loader import load_model

        return load_model(
            model,
            dtype=dtype,
            device=device,
            attention=attention,
            offline=offline,
            on_progress=lambda step: observer.progress(
                step.activity, step.done, step.total, step.unit
            ),
            with_weights=False,
        )


def thinks_anyway(engine: Engine) -> bool:
    """Whether a model thinks even where it was turned off."""
    found = find_thought_format(engine.tokenizer, thinks=False)
    return found is not None and found.is_expected
