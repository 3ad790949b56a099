"""A process that checks broken inputs one by one, and is replaced when it breaks.

A broken input may crash the process that reads it, hang it, or fill the memory. That must not end
the fuzz run, so run and checks are separate processes. If a worker dies, gives no result in time
or holds too much memory, its input has failed, and the next input gets a new worker.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TextIO

from fastkv_cli.system.isolated import end_with_parent

_PACKAGE = Path(__file__).resolve().parents[1] / "fastkv_cli"
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>\S+)')
_START_S = 300.0  # importing torch, on a busy machine
_ADDRESS_SPACE = 4  # times the memory limit: not all that is reserved is used


@dataclass(frozen=True, slots=True)
class Job:
    """An input on disk: how it was made, and the random seed of its check."""

    path: str
    recipe: str
    seed: str
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The class of a result, and what is wrong with it.

    Attributes:
        outcome: the class, for the counts.
        seconds: duration of the check.
        failure: one line; empty if nothing is wrong.
        group: shared by failures with the same cause.
        resident_mib: memory of the worker after the check.
        children_mib: peak memory of any of its child processes.
    """

    outcome: str
    seconds: float = 0.0
    failure: str = ""
    group: str = ""
    resident_mib: int = 0
    children_mib: int = 0


Check = Callable[[Job], Result]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one check: seconds by the wall clock, and growth of the worker in MiB."""

    seconds: float
    mib: int


class Worker:
    """Checks inputs in a separate process."""

    def __init__(self, make_check: Callable[[], Check], limits: Limits, log: Path) -> None:
        """Set up; the process starts with the first check.

        Args:
            make_check: called in the process; what it imports and builds serves all its inputs.
            limits: of each check.
            log: a file for the stderr of the process.
        """
        self._make_check, self._limits, self._log = make_check, limits, log
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def check(self, job: Job) -> Result:
        """Check an input, twice if it took too long: the machine may have been suspended."""
        result = self._check(job)
        return self._check(job) if result.group.startswith("time") else result

    def stderr(self) -> str:
        """The stderr of the process during its last check."""
        return self._log.read_text("utf-8", "replace")

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()  # the process ends by itself, unless it is busy
        if self._process is not None:
            self._process.join(0.5)
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def _check(self, job: Job) -> Result:
        pipe = self._pipe or self._start()
        started = time.perf_counter()
        self._log.write_bytes(b"")
        try:
            pipe.send(job)
            if pipe.poll(self._limits.seconds):
                result: Result = pipe.recv()
                if result.group == "memory":
                    self.close()
                return result
            seconds = time.perf_counter() - started
            where = self._place()
            self.close()
            failure = f"no result in {self._limits.seconds:g} s, at {where}"
            return Result("no result in time", seconds, failure, f"time, at {where}")
        except (EOFError, OSError):
            seconds = time.perf_counter() - started
            return Result("died", seconds, *self._bury())

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self._make_check, self._limits, str(self._log))
        self._process = context.Process(target=_serve, args=arguments)
        self._process.start()
        theirs.close()
        self._pipe = ours
        try:
            ready = ours.poll(_START_S) and ours.recv()
        except EOFError:
            ready = False
        if not ready:
            raise RuntimeError(f"the worker does not start: {self.stderr()}")
        return ours

    def _bury(self) -> tuple[str, str]:
        """How the process ended: the failure, and its group."""
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        where, said = self._place(), self.stderr().strip().splitlines()
        self.close()
        first = " ".join(said[0].split())[:200] if said else "it said nothing"
        return f"died, {how} ({first}), at {where}", f"died, {how}, at {where}"

    def _place(self) -> str:
        """Where the process is or was, from the stack written by its fault handler."""
        stacks = re.split(r"^(?=(?:Current t|T)hread )", self.stderr(), flags=re.M)
        current = [stack for stack in stacks if stack.startswith("Current")]
        frames = [
            (match["file"], match["function"])
            for match in _FRAME.finditer((current or stacks)[-1])  # the last is the main thread
        ]
        return name_place(frames)


def name_place(frames: list[tuple[str, str]]) -> str:
    """The innermost function, and the innermost of the package.

    Args:
        frames: file and function, the innermost first.
    """
    if not frames:
        return "an unknown place"
    names = [f"{_short(file)}:{function}" for file, function in frames[:1]]
    ours = [frame for frame in frames if Path(frame[0]).is_relative_to(_PACKAGE)]
    names += [f"{_short(file)}:{function}" for file, function in ours[:1]]
    return ", called by ".join(dict.fromkeys(names))


def describe(error: BaseException) -> tuple[str, str]:
    """An unexpected exception as a failure in one line, and its group."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    where = name_place([(frame.filename, frame.name) for frame in frames])
    kind = type(error).__name__
    return f"{kind}: {' '.join(str(error).split())[:200]!a}, at {where}", f"{kind}, at {where}"


def check_line(line: str) -> str:
    """What is wrong with a line shown to users; empty if nothing is."""
    if not line.strip():
        return "an empty line"
    return "" if line.isprintable() else f"a line that is not printable: {line!a}"


def _short(file: str) -> str:
    return "/".join(Path(file).parts[-2:])


def _serve(
    pipe: Connection, make_check: Callable[[], Check], limits: Limits, log_path: str
) -> None:
    """The worker's side: check inputs until the pipe closes."""
    end_with_parent()
    with Path(log_path).open("w", encoding="utf-8") as log, Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os.set_inheritable(2, True)
        faulthandler.enable(log)
        check = make_check()
        first_mib = peak_mib()
        _limit_address_space(limits.mib * _ADDRESS_SPACE)
        pipe.send(True)
        with contextlib.suppress(EOFError):
            while True:
                pipe.send(_check_one(check, pipe.recv(), limits, first_mib, log))


def _check_one(check: Check, job: Job, limits: Limits, first_mib: int, log: TextIO) -> Result:
    # The stack is logged just before the run gives the worker up.
    faulthandler.dump_traceback_later(0.9 * limits.seconds, file=log)
    started = time.perf_counter()
    try:
        result = check(job)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (Rust's panics are no Exception)
        traceback.print_exc()
        result = Result("another exception", 0.0, *describe(error))
    faulthandler.cancel_dump_traceback_later()
    grown = peak_mib() - first_mib
    if grown > limits.mib and not result.failure:
        failure = f"it grew by {grown:,} MiB"
        result = replace(result, outcome="too much memory", failure=failure, group="memory")
    return replace(
        result,
        seconds=time.perf_counter() - started,
        resident_mib=resident_mib(),
        children_mib=_rusage_mib(resource.RUSAGE_CHILDREN),
    )


def _limit_address_space(more_mib: int) -> None:
    """Limit the growth of the address space, if the system supports that."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + more_mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def resident_mib() -> int:
    """Resident memory of this process in MiB; 0 if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * resource.getpagesize() // 2**20


def peak_mib() -> int:
    """Peak memory of this process in MiB; Linux's rusage starts at the memory of the parent."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return _rusage_mib(resource.RUSAGE_SELF)
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) // 1024 if found else _rusage_mib(resource.RUSAGE_SELF)


def _rusage_mib(who: int) -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit // 2**20
