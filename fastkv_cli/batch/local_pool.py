"""Workers as processes of this machine, which share its cores."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..errors import FastKVError, OutOfMemoryError
from ..system.free_memory import available_memory_bytes
from ..system.isolated import start_module
from .job import Finished, Job, WorkSettings, as_error
from .pool import MAX_DEATHS, MORE_MEMORY, Done, Event, Lost, Ready, Refused

# Beside what a worker has taken to load the model: the cache of a document, and its parser.
_DOCUMENT_BYTES = 2**29
_TIMED_OUT = 1  # the exit code of a worker that was ended at the time limit of a document


@dataclass(frozen=True, slots=True)
class _Ended:
    """A process ended; `was_ready` if it had loaded the model."""

    worker: int
    was_ready: bool


class LocalPool:
    """A number of worker processes; all end with this one."""

    ships = False

    def __init__(
        self,
        settings: WorkSettings,
        num_workers: int,
        *,
        may_be_fewer: bool = False,
        note: Callable[[str], None] = lambda _: None,
        debug: bool = False,
    ) -> None:
        """Start the workers.

        Args:
            settings: of the work.
            num_workers: one or more.
            may_be_fewer: whether the first one loads the model alone, and others are started only
                if it is not on a GPU, and as far as there is memory for what it took.
            note: called with a line for the user when fewer workers are started, or go on.
            debug: whether workers print tracebacks on stderr.

        Raises:
            OutOfMemoryError: when the system cannot start a process.
        """
        self._settings, self._debug = settings.to_json(), debug
        self._note, self._shares_cores = note, "OMP_NUM_THREADS" not in os.environ
        self._environment = {**os.environ}
        if self._shares_cores:
            self._environment["OMP_NUM_THREADS"] = str(_threads(num_workers))
        self._num_later = num_workers - 1 if may_be_fewer else 0
        self._events: queue.SimpleQueue[Event | _Ended] = queue.SimpleQueue()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._num_workers, self._ready = num_workers, set[int]()
        self._num_unready = 0  # workers that died in a row without having loaded the model
        try:
            for worker in range(num_workers - self._num_later):
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
        self._send(worker, [job.key, job.path, *job.signature])

    def wait(self, timeout_s: float) -> Event | None:
        """The next event; None if there is none in this time."""
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(event, Ready):
            self._ready.add(event.worker)
            self._start_others(event)
        if not isinstance(event, _Ended):
            return event
        self._ready.discard(event.worker)
        process = self._processes[event.worker]
        process.kill()
        code = process.wait()
        how, hint = f"signal {-code}" if code < 0 else f"exit code {code}", MORE_MEMORY
        if event.was_ready and code == _TIMED_OUT:
            how, hint = "out of time", "allow more with --document-timeout and --retry-failed"
        self._num_unready = 0 if event.was_ready else self._num_unready + 1
        if self._num_unready > MAX_DEATHS and not self._ready:
            return Refused(
                FastKVError(
                    f"workers end while they load the model ({how})",
                    "see why with --debug, or give fewer --workers",
                )
            )
        self._restart(event.worker)
        return Lost(event.worker, how, hint)

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()

    def _start_others(self, first: Ready) -> None:
        """Start as many workers as there is room for, once the first has loaded the model."""
        wanted, self._num_later = self._num_later, 0
        if not wanted:
            return
        number = 0 if first.on_gpu else min(wanted, _room_for(first.peak_bytes or 0, wanted))
        if number < wanted and not first.on_gpu:
            self._note(f"memory is short: {1 + number} of {1 + wanted} workers are started")
        if number < wanted and self._shares_cores:
            threads = _threads(1 + number)
            self._environment["OMP_NUM_THREADS"] = str(threads)
            self._send(first.worker, threads)
        for worker in range(1, 1 + number):
            try:
                self._start(worker)
            except OutOfMemoryError:
                self._note_fewer()
                return

    def _restart(self, worker: int) -> None:
        """Start a worker again, unless that keeps failing while others are at work."""
        if self._num_unready <= MAX_DEATHS:
            try:
                self._start(worker)
            except OutOfMemoryError:
                if not self._ready:
                    raise
            else:
                return
        del self._processes[worker]
        self._note_fewer()

    def _note_fewer(self) -> None:
        number = len(self._processes)
        self._note(f"memory is short: {number} of {self._num_workers} workers go on")

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
        self._send_line(worker, self._settings)
        threading.Thread(target=self._listen, args=(worker, process), daemon=True).start()

    def _send(self, worker: int, message: object) -> None:
        self._send_line(worker, json.dumps(message))

    def _send_line(self, worker: int, line: str) -> None:
        stream = self._processes[worker].stdin
        assert stream is not None
        with suppress(OSError):  # it ended: the thread that listens reports it
            stream.write(line.encode() + b"\n")
            stream.flush()

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
                    self._events.put(Ready(worker, **message))
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


def _threads(num_workers: int) -> int:
    """The threads of each; those of workers that wait for each other cost more than they bring."""
    return max(num_cores() // num_workers, 1)


def _room_for(num_bytes: int, most: int) -> int:
    """How many more workers there is memory for, if each takes so much to load the model."""
    available = available_memory_bytes()
    return most if available is None else available // (num_bytes + _DOCUMENT_BYTES)
