"""Loading the engine of a session."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..config import DType
from ..system.free_memory import check_memory_to_start
from ..system.isolated import existing_folder
from .observer import Observer
from .options import DeviceOptions

if TYPE_CHECKING:
    from ..engine.generate import Engine
    from ..engine.model.loader import LoadedModel


@contextmanager
def before_torch() -> Iterator[None]:
    """Set what has to be set before torch is imported; import it and load a model inside.

    Raises:
        OutOfMemoryError: when the process may not have as much memory as torch's libraries take.
    """
    check_memory_to_start()
    # Threads of OpenMP spin while they wait for each other; on cores that others use too, that
    # stops everything. Measured on 2 cores: spinning 100 times less costs nothing when they are
    # idle and makes prefill twice as fast when one is busy.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    try:
        tempfile.gettempdir()
    except FileNotFoundError:  # every disk is full or read-only
        # torch._dynamo makes a folder for compiled code when it is imported; nothing is compiled.
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.sep)
    with existing_folder():
        yield


def load_engine(model: str, options: DeviceOptions, observer: Observer) -> Engine:
    """Load a model by its name.

    Raises:
        FastKVError: when it cannot be had or does not fit.
    """
    with before_torch():
        from ..engine.generate import Engine

        return Engine.load(
            model,
            dtype=options.dtype,
            device=options.device,
            attention=options.attention,
            decode_weights=options.decode_weights,
            offline=options.offline,
            on_progress=lambda step: observer.progress(
                step.activity, step.done, step.total, step.unit
            ),
        )


def load_outline(
    model: str,
    observer: Observer,
    *,
    dtype: DType = DType.AUTO,
    device: str = "auto",
    offline: bool = False,
) -> LoadedModel:
    """The tokenizer of a model, and the model without its weights.

    Raises:
        FastKVError: when it cannot be had.
    """
    with before_torch():
        from ..engine.model.loader import load_model

        return load_model(
            model,
            dtype=dtype,
            device=device,
            offline=offline,
            on_progress=lambda step: observer.progress(
                step.activity, step.done, step.total, step.unit
            ),
            with_weights=False,
        )
