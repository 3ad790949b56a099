"""Reading in a process of its own: start it, send the document, take messages, end it in time."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from .. import errors
from ..config import ReadOptions
from ..errors import DocumentError, FastKVError
from ..system.isolated import start_module
from .document import LineGaps
from .formats import Format
from .messages import (
    Done,
    Job,
    Message,
    Refused,
    Stopped,
    TextPart,
    TextRead,
    decode,
    encode,
)
from .worker import LENGTH_BYTES

_ELSEWHERE = "convert it in another program, e.g. to plain text"
MEMORY_LIMIT_BYTES = 832 * 2**20  # of the process; this one has the rest of a GiB
_LOOK_S = 0.25  # how often the clock is looked at


def read_apart(
    data: bytes, name: str, options: ReadOptions
) -> tuple[Format, str, tuple[str, ...], LineGaps]:
    """As `formats.format_of` and `formats.read_as`, in a process of its own.

    Returns:
        The format, and what `read_as` gives; gaps only where lines are those of the file.

    Raises:
        DocumentError: as `read_as`, and when it takes too long or too much memory, or crashes.
    """
    parts: list[str] = []
    gaps = LineGaps()
    with ReadingProcess(make_job("", name, options)) as process:
        process.send([data])
        for message in process.messages():
            match message:
                case TextPart():
                    parts.append(message.text)
                    gaps.starts.extend(message.gap_starts)
                    gaps.more.extend(message.gap_more)
                case TextRead():
                    return Format(message.format), "".join(parts), tuple(message.warnings), gaps
                case Refused():
                    raise as_error(message)
                case Stopped():
                    raise DocumentError(f"{name} gave no text ({message.reason})", message.hint)
    raise DocumentError(f"{name} gave no text", _ELSEWHERE)


def make_job(kind: str, name: str, options: ReadOptions) -> Job:
    """What a process is to do with a document."""
    return Job(
        format=kind,
        name=name,
        pages=None if options.pages is None else list(options.pages.spans),
        password=options.password,
        encoding=options.encoding,
        limit_s=options.extract_timeout_s,
        limit_bytes=MEMORY_LIMIT_BYTES,
    )


def as_error(refused: Refused) -> FastKVError:
    """The error that the process told of."""
    error: FastKVError = getattr(errors, refused.error)(refused.message, refused.hint)
    return error


class ReadingProcess:
    """A process that reads one document; it ends with the `with` block, whatever it is doing."""

    def __init__(self, job: Job) -> None:
        """Start it.

        Raises:
            DocumentError: when the system gives no process.
        """
        self._limit_s = job.limit_s
        self._ends_at = self._spare_s = 0.0
        self._timed_out = False
        self._finished = threading.Event()
        try:
            self._process = start_module("fastkv_cli.documents.worker", stdin=subprocess.PIPE)
        except OSError as error:
            raise DocumentError(
                f"no process could be started to read {job.name} ({error.strerror})",
                "end other programs and try again",
            ) from error
        self._clock = threading.Thread(target=self._watch_clock, daemon=True)
        self._write(encode(job))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._finished.set()
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what is unsent goes nowhere
                    stream.close()
        self._process.wait()
        if self._clock.is_alive():
            self._clock.join()

    def send(self, chunks: Iterable[bytes]) -> None:
        """Give it the document's bytes; its time runs from the last of them."""
        for chunk in chunks:
            self._write(len(chunk).to_bytes(LENGTH_BYTES, "big"))
            self._write(chunk)
        self._write(bytes(LENGTH_BYTES), flush=True)
        self._ends_at = time.monotonic() + self._limit_s
        self._clock.start()

    def leave_time(self, seconds: float) -> None:
        """End it so much before its time, for what is to be done with its messages then."""
        self._spare_s = seconds

    def messages(self) -> Iterator[Message]:
        """What it tells, up to `Done`, `Refused` or `Stopped`; `Done` is not told."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = decode(line)
            except ValueError:  # half a line, of a process that broke down
                continue
            if isinstance(message, Done):
                return
            yield message
            if isinstance(message, Refused | Stopped):
                return
        yield self._stopped()

    def _write(self, data: bytes, *, flush: bool = False) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # if it is gone, `messages` says so
            self._process.stdin.write(data)
            if flush:
                self._process.stdin.flush()

    def _watch_clock(self) -> None:
        while not self._finished.wait(_LOOK_S):
            if time.monotonic() > self._ends_at - self._spare_s:
                self._timed_out = True
                self._process.kill()
                return

    def _stopped(self) -> Stopped:
        """Why it told no more."""
        self._process.kill()
        code = self._process.wait()
        over_time = getattr(signal, "SIGXCPU", None)  # of computing, where this one was suspended
        if self._timed_out or (over_time is not None and code == -over_time):
            return Stopped(
                f"stopped after {self._limit_s:g} s", "allow more time with --extract-timeout"
            )
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Stopped(f"its reader broke down, {how}", _ELSEWHERE)
