"""What a pool of workers is, whether they are processes of this machine or actors of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import FastKVError
from .job import Finished, Job

IN_FLIGHT = 2  # jobs of a worker: one is computed, the next one read
MAX_DEATHS = 2  # of workers: a document is tried no more, and a pool starts no more of them


MORE_MEMORY = "it may need more memory, give fewer --workers and --retry-failed"


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has loaded the model.

    Attributes:
        worker: its number.
        model: as `DocumentWorker.model`.
        on_gpu: whether the model is on a GPU.
        peak_bytes: the most memory that the worker has taken so far; None where unknown.
    """

    worker: int
    model: Mapping[str, Any]
    on_gpu: bool = False
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """A worker has finished a job."""

    worker: int
    finished: Finished


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker has died with all its jobs; one of the same number is started, or others go on."""

    worker: int
    reason: str
    hint: str = MORE_MEMORY


@dataclass(frozen=True, slots=True)
class Refused:
    """No worker can be used, as the model cannot be loaded."""

    error: FastKVError


Event = Ready | Done | Lost | Refused


class Pool(Protocol):
    """Workers by their numbers; each takes jobs once it is ready, until it is lost."""

    ships: bool
    """Whether a job has to carry the document's bytes."""

    def submit(self, worker: int, job: Job) -> None:
        """Give a job to a worker that is ready."""

    def wait(self, timeout_s: float) -> Event | None:
        """The next event; None if there is none in this time."""

    def close(self) -> None:
        """End all workers, whatever they are doing."""
