"""Loading the engine the way that the command line does, with a bar."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .config import Attention, DecodeWeights, DType
from .isolated import existing_folder
from .progress import ProgressBars

if TYPE_CHECKING:
    from .engine.generate import Engine


class Wanted(Protocol):
    """Where and how to run a model."""

    @property
    def dtype(self) -> DType:
        """Number format."""
        ...

    @property
    def device(self) -> str:
        """Where to run."""
        ...

    @property
    def attention(self) -> Attention:
        """Kernels to prefill with."""
        ...

    @property
    def decode_weights(self) -> DecodeWeights:
        """What decoding reads its weights from."""
        ...

    @property
    def offline(self) -> bool:
        """Open no socket."""
        ...


@contextmanager
def before_torch() -> Iterator[None]:
    """Set what has to be set before torch is imported; import it and load a model inside."""
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


def load_engine(model: str, wanted: Wanted, bars: ProgressBars) -> Engine:
    """Load a model by its name.

    Raises:
        FastKVError: when it cannot be had or does not fit.
    """
    with before_torch():
        from .engine.generate import Engine

        return Engine.load(
            model,
            dtype=wanted.dtype,
            device=wanted.device,
            attention=wanted.attention,
            decode_weights=wanted.decode_weights,
            offline=wanted.offline,
            on_progress=lambda step: bars.update(step.activity, step.done, step.total, step.unit),
        )
