"""Run a parser process: start it, send the document, receive messages, kill it when late."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from .. import errors
from ..config import OcrMode, ReadOptions
from ..errors import DocumentError, FastKVError
from ..system.isolated import start_module
from .document import LineGaps
from .formats import Format
from .messages import (
    Done,
    Job,
    MemberPart,
    Message,
    Refused,
    Stopped,
    TextPart,
    TextRead,
    decode,
    encode,
)
from .omissions import Note, decode_notes
from .worker import LENGTH_BYTES

_ELSEWHERE = "convert it in another program, e.g. to plain text"
MEMORY_LIMIT_BYTES = 832 * 2**20  # of the parser process; this process has the rest of a GiB
_POLL_S = 0.25  # interval of checking the clock


def read_in_process(
    data: bytes, name: str, options: ReadOptions
) -> tuple[Format, str, tuple[Note, ...], LineGaps]:
    """Like `formats.format_of` and `formats.read_as`, in a separate process.

    Returns:
        The format, and the results of `read_as`; gaps only if line numbers are those of the file.

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
                    return Format(message.format), "".join(parts), decode_notes(message.notes), gaps
                case Refused():
                    raise as_error(message)
                case Stopped():
                    raise DocumentError(f"{name} gave no text ({message.reason})", message.hint)
    raise DocumentError(f"{name} gave no text", _ELSEWHERE)


def read_member(data: bytes, name: str, member: str, options: ReadOptions) -> bytes:
    """Unpack one file of an archive, in a separate process.

    Args:
        data: The archive.
        name: Its name in messages.
        member: The file in it.
        options: The time limit.

    Raises:
        DocumentError: when there is no such file, or it is too large, encrypted or damaged.
    """
    parts: list[bytes] = []
    with ReadingProcess(replace(make_job("", name, options), member=member)) as process:
        process.send([data])
        for message in process.messages():
            match message:
                case MemberPart():
                    parts.append(b64decode(message.data))
                case Refused():
                    raise as_error(message)
                case Stopped():
                    raise DocumentError(
                        f"{member} was not unpacked from {name} ({message.reason})",
                        "unpack it first, and name the file",
                    )
    return b"".join(parts)


def make_job(kind: str, name: str, options: ReadOptions, ocr: str = OcrMode.OFF) -> Job:
    """The job of reading a document with these options; `ocr` as in `Job`."""
    return Job(
        format=kind,
        name=name,
        pages=None if options.pages is None else list(options.pages.spans),
        password=options.password,
        encoding=options.encoding,
        limit_s=options.extract_timeout_s,
        limit_bytes=MEMORY_LIMIT_BYTES,
        ocr=ocr,
        attachments=options.attachments,
    )


def as_error(refused: Refused) -> FastKVError:
    """The error that was raised in the process."""
    error: FastKVError = getattr(errors, refused.error)(refused.message, refused.hint)
    return error


class ReadingProcess:
    """A process that reads one document; it is killed at the end of the `with` block."""

    def __init__(self, job: Job) -> None:
        """Start the process.

        Raises:
            DocumentError: when the system cannot start one.
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
                with contextlib.suppress(OSError):  # unsent data is discarded
                    stream.close()
        self._process.wait()
        if self._clock.is_alive():
            self._clock.join()

    def send(self, chunks: Iterable[bytes]) -> None:
        """Send the document's bytes; the time limit starts after the last."""
        for chunk in chunks:
            self._write(len(chunk).to_bytes(LENGTH_BYTES, "big"))
            self._write(chunk)
        self._write(bytes(LENGTH_BYTES), flush=True)
        self._ends_at = time.monotonic() + self._limit_s
        self._clock.start()

    def kill(self) -> None:
        """End the process; its messages end with a `Stopped`."""
        self._process.kill()

    def restart_clock(self) -> None:
        """Begin the time limit again, for the next page."""
        self._ends_at = time.monotonic() + self._limit_s

    def reserve_time(self, seconds: float) -> None:
        """Kill the process this much earlier, to leave time for processing its messages."""
        self._spare_s = seconds

    def messages(self) -> Iterator[Message]:
        """Yield its messages up to `Refused` or `Stopped`, or before `Done`."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                message = decode(line)
            except ValueError:  # half a line, from a process that crashed
                continue
            if isinstance(message, Done):
                return
            yield message
            if isinstance(message, Refused | Stopped):
                return
        yield self._stopped()

    def _write(self, data: bytes, *, flush: bool = False) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # if the process is gone, `messages` reports it
            self._process.stdin.write(data)
            if flush:
                self._process.stdin.flush()

    def _watch_clock(self) -> None:
        while not self._finished.wait(_POLL_S):
            if time.monotonic() > self._ends_at - self._spare_s:
                self._timed_out = True
                self._process.kill()
                return

    def _stopped(self) -> Stopped:
        """Why the process ended without a final message."""
        self._process.kill()
        code = self._process.wait()
        over_time = getattr(signal, "SIGXCPU", None)  # CPU limit, hit if this process was suspended
        if self._timed_out or (over_time is not None and code == -over_time):
            return Stopped(
                f"stopped after {self._limit_s:g} s", "allow more time with --extract-timeout"
            )
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Stopped(f"its parser crashed, {how}", _ELSEWHERE)
