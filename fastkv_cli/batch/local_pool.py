"""Workers as processes of this machine, which share its cores."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import FastKVError, OutOfMemoryError
from ..system.isolated import start_module
from .job import Finished, Job, WorkSettings, as_error
from .pool import MAX_DEATHS, Done, Event, Lost, Ready, Refused


@dataclass(frozen=True, slots=True)
class _Ended:
    """A process ended; `was_ready` if it had loaded the model."""

    worker: int
    was_ready: bool


class LocalPool:
    """A number of worker processes; all end with this one."""

    ships = False

    def __init__(self, settings: WorkSettings, num_workers: int, *, debug: bool = False) -> None:
        """Start the workers.

        Args:
            settings: of the work.
            num_workers: one or more.
            debug: whether workers print tracebacks on stderr.

        Raises:
            OutOfMemoryError: when the system cannot start a process.
        """
        self._settings, self._debug = settings.to_json(), debug
        self._environment = {**os.environ}
        # Threads of workers that wait for each other cost more than they bring.
        threads = max(num_cores() // num_workers, 1)
        self._environment.setdefault("OMP_NUM_THREADS", str(threads))
        self._events: queue.SimpleQueue[Event | _Ended] = queue.SimpleQueue()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._num_unready = 0  # workers that died without having loaded the model
        try:
            for worker in range(num_workers):
                self._start(worker)
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> dict[int, int]:
        """The process of each worker."""
        return {worker: process.pid for worker, process in self._processes.items()}

    def submit(self, worker: int, job: Job) -> None:
        """Give a job to a worker; if it has just died, that is the next event."""
        line = json.dumps([job.key, job.path, *job.signature]).encode() + b"\n"
        stream = self._processes[worker].stdin
        assert stream is not None
        with suppress(OSError):
            stream.write(line)
            stream.flush()

    def wait(self, timeout_s: float) -> Event | None:
        """The next event; None if there is none in this time."""
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if not isinstance(event, _Ended):
            return event
        process = self._processes[event.worker]
        process.kill()
        code = process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._num_unready = 0 if event.was_ready else self._num_unready + 1
        if self._num_unready > MAX_DEATHS:
            return Refused(
                FastKVError(
                    f"workers end while they load the model ({how})",
                    "see why with --debug, or give fewer --workers",
                )
            )
        self._start(event.worker)
        return Lost(event.worker, how)

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def _start(self, worker: int) -> None:
        try:
            process = start_module(
                "fastkv_cli.batch.worker_process",
                stdin=subprocess.PIPE,
                stderr=None if self._debug else subprocess.DEVNULL,
                environment=self._environment,
            )
        except OSError as error:
            raise OutOfMemoryError(
                f"no worker could be started ({error.strerror})", "give fewer --workers"
            ) from error
        self._processes[worker] = process
        assert process.stdin is not None
        with suppress(OSError):  # it ended: the thread below reports it
            process.stdin.write(self._settings.encode() + b"\n")
            process.stdin.flush()
        threading.Thread(target=self._listen, args=(worker, process), daemon=True).start()

    def _listen(self, worker: int, process: subprocess.Popen[bytes]) -> None:
        """Turn the messages of a worker into events, until it ends."""
        assert process.stdout is not None
        was_ready = False
        for line in process.stdout:
            try:
                message: dict[str, Any] = json.loads(line)
            except ValueError:  # half a line, from a worker that was killed
                continue
            match message.pop("kind"):
                case "ready":
                    was_ready = True
                    self._events.put(Ready(worker, message["model"]))
                case "refused":
                    self._events.put(Refused(as_error(**message)))
                    return
                case _:
                    self._events.put(Done(worker, Finished(**message)))
        self._events.put(_Ended(worker, was_ready))


def num_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_workers(num_documents: int) -> int:
    """How many workers are fastest here, of processes that share the cores."""
    return max(min(num_cores(), num_documents), 1)
