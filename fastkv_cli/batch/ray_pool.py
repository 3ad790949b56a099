"""Workers as actors of a Ray cluster, on this machine or on many."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import DocumentError, FastKVError, UsageError, as_failure
from .document_worker import DocumentWorker
from .job import Finished, Job, WorkSettings, as_error, failed
from .pool import IN_FLIGHT, MAX_DEATHS, Done, Event, Lost, Ready, Refused

_ROOM_S = 30.0  # after so long without any started actor, a note says what is waited for
_MORE = "it may need more memory or time: see --document-timeout, then give --retry-failed"
_LEAVE_S = 0.5  # by then the last result has left a broken actor


class RayWorker:
    """An actor: a document worker that says what it cannot do, and leaves when it is broken."""

    def __init__(self, settings: str, num_threads: int) -> None:
        """Load nothing yet: an error would end the actor, and another be started."""
        os.environ["OMP_NUM_THREADS"] = str(num_threads)
        self._settings = settings
        self._worker: DocumentWorker | None = None
        self._leaves = threading.Semaphore()

    def load(self, started: object) -> dict[str, Any]:  # noqa: ARG002 (makes the call wait)
        """Load the model, unless it is loaded; describes it, or the error."""
        try:
            if self._worker is None:
                self._worker = DocumentWorker(WorkSettings.from_json(self._settings))
        except Exception as error:  # noqa: BLE001 (reported by the driver)
            failure = as_failure(error)
            code = int(failure.exit_code)
            return {"exit_code": code, "message": failure.message, "hint": failure.hint}
        return {"model": self._worker.model}

    def work(self, job: Job) -> Finished:
        """Work on a document."""
        assert self._worker is not None
        if job.data is None and not Path(job.path).exists():
            return failed(
                job,
                DocumentError(
                    f"{job.path} does not exist on {socket.gethostname()}",
                    "share the folder with all nodes, or give --ship",
                ),
            )
        finished = self._worker.work(job)
        if self._worker.is_broken:
            # Only the document that broke it fails: this waits for the end of the process, and the
            # others are worked on by its successor.
            self._leaves.acquire()
            threading.Timer(_LEAVE_S, os._exit, [1]).start()
        return finished


class RayPool:
    """Actors with the model loaded, placed by Ray; they end with this process.

    Ray restarts an actor that dies, wherever there is room. It does not repeat the document that
    the actor was working on: a repeated call waits for its own actor, whose node may be gone, while
    the scheduler gives the document to any other.
    """

    def __init__(
        self,
        settings: WorkSettings,
        address: str,
        *,
        num_workers: int | None,
        num_cpus: float,
        num_gpus: float,
        ships: bool,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Connect to a cluster and start actors.

        Args:
            settings: of the work.
            address: HOST:PORT or ray://…; "auto" is the cluster that this machine belongs to.
            num_workers: how many actors; None for as many as there is room for.
            num_cpus: CPUs of an actor, which computes with as many threads.
            num_gpus: GPUs of an actor.
            ships: whether documents are sent as bytes.
            note: called with a line for the user where the cluster has no room now.

        Raises:
            UsageError: when ray is not installed, or there is no such cluster, or no room in it.
        """
        self.ships = ships
        self._ray = ray = _connect(address)
        resources = ray.cluster_resources()
        room = resources.get("CPU", 0) // num_cpus if num_cpus else float("inf")
        if num_gpus:
            room = min(room, resources.get("GPU", 0) // num_gpus)
        number = num_workers or (1 if room == float("inf") else int(room))
        if number < 1 or room < 1:
            ray.shutdown()
            raise UsageError(
                f"the cluster has no room for a worker of {num_cpus:g} CPUs and {num_gpus:g} GPUs",
                "give smaller --num-cpus or --num-gpus",
            )
        actor = ray.remote(
            num_cpus=num_cpus,
            num_gpus=num_gpus,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=IN_FLIGHT,  # one call computes, the next one reads its document
        )(RayWorker)
        threads = max(int(num_cpus), 1)
        self._actors = {at: actor.remote(settings.to_json(), threads) for at in range(number)}
        self._calls: dict[Any, tuple[int, Job | None]] = {}  # by their references
        self._events: deque[Event] = deque()
        self._num_unready = 0  # actors that died in a row without having loaded the model
        self._note = note
        self._lacks = f"a worker takes {num_cpus:g} CPUs and {num_gpus:g} GPUs: see ray status"
        self._note_at = time.monotonic() + _ROOM_S
        self._started: dict[int, Any] = {}  # by worker: a reference that is ready once it runs
        for worker in self._actors:
            self._load(worker)

    def submit(self, worker: int, job: Job) -> None:
        """Give a job to a worker."""
        self._calls[self._actors[worker].work.remote(job)] = worker, job

    def wait(self, timeout_s: float) -> Event | None:
        """The next event; None if there is none in this time."""
        if not self._events and not self._calls:  # all are idle; ray.wait would not wait
            time.sleep(timeout_s)
        elif not self._events:
            ready, _ = self._ray.wait(list(self._calls), timeout=timeout_s)
            for reference in ready:
                self._receive(reference)
        self._note_no_room()
        return self._events.popleft() if self._events else None

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for actor in self._actors.values():
            with suppress(Exception):  # it is gone, or the cluster is
                self._ray.kill(actor)
        self._ray.shutdown()

    def _load(self, worker: int) -> None:
        # While an actor restarts, calls to it fail every two seconds; the model is loaded once one
        # has been answered, however long that takes.
        actor = self._actors[worker]
        started = actor.__ray_ready__.options(max_task_retries=-1).remote()
        self._started[worker] = started
        self._calls[actor.load.remote(started)] = worker, None

    def _note_no_room(self) -> None:
        """Say once that all actors wait for a place, which others may take for a long time."""
        if time.monotonic() < self._note_at:
            return
        self._note_at = float("inf")
        if not self._ray.wait(list(self._started.values()), timeout=0)[0]:
            self._note(f"waiting for room in the cluster: {self._lacks}")

    def _receive(self, reference: Any) -> None:
        """Turn the end of a call into events."""
        if reference not in self._calls:
            return
        worker, job = self._calls.pop(reference)
        try:
            value = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._lose(worker, error, was_ready=job is not None)
            return
        if job is not None:
            self._events.append(Done(worker, value))
        elif "model" in value:
            self._num_unready = 0
            self._events.append(Ready(worker, value["model"]))
        else:
            self._events.append(Refused(as_error(**value)))

    def _lose(self, worker: int, error: Exception, *, was_ready: bool) -> None:
        """An actor died: keep what it had finished, and load the model in its successor."""
        others = [call for call, (owner, _) in self._calls.items() if owner == worker]
        for call in self._finished(others):
            self._receive(call)
        for call in others:
            self._calls.pop(call, None)
        self._num_unready = 0 if was_ready else self._num_unready + 1
        reason = str(error).partition("\n")[0][:200]
        if self._num_unready > MAX_DEATHS * len(self._actors):
            hint = "see the logs of Ray on its node"
            self._events.append(
                Refused(FastKVError(f"actors end while they load the model ({reason})", hint))
            )
            return
        self._events.append(Lost(worker, type(error).__name__, _MORE))
        self._load(worker)

    def _finished(self, calls: list[Any]) -> Iterable[Any]:
        """Those of some calls whose results are here."""
        if not calls:
            return []
        ready, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        return [call for call in ready if self._has_value(call)]

    def _has_value(self, call: Any) -> bool:
        try:
            self._ray.get(call)
        except self._ray.exceptions.RayError:
            return False
        return True


def _connect(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends none home
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError(
            "--ray needs the package ray", "install it: pip install 'fastkv-cli[ray]'"
        ) from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"there is no Ray cluster at {address} ({str(error).partition('.')[0]})",
            "start one with ray start --head, or give its HOST:PORT",
        ) from error
    # Ray prints messages of its daemons on stdout, which is for results, and has no option that
    # turns them off; its debugger sets this switch for the same reason.
    ray._private.worker._worker_logs_enabled = False
    return ray
