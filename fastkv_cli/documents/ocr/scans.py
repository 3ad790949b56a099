"""OCR of a document's pages: kept results first, the others by processes beside each other."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata
from typing import NamedTuple, Protocol

from ...config import OcrMode, ReadOptions
from ...system.free_memory import available_memory_bytes
from ..messages import Job, PageFailed, PageRead, Refused, Stopped
from ..process import ReadingProcess, as_error, make_job
from . import SPARSE

# Address space, of which 0.6 GiB are used: libraries and the stacks of threads reserve the rest.
MEMORY_LIMIT_BYTES = 2 * 2**30
_MEMORY_BYTES = 2**30  # that has to be free for each process
_MAX_PROCESSES = 8
_LAYOUT = 2  # changes with every change of what the same page gives


class ScannedPage(NamedTuple):
    """The recognized text of a page, cleaned, and its confidence from 0 to 1."""

    text: str
    confidence: float


class ScanObserver(Protocol):
    """Keeps recognized pages for the next run, and is told the progress."""

    def find(self, key: str) -> ScannedPage | None:
        """The page that was kept under a key; None if there is none."""

    def keep(self, key: str, page: ScannedPage) -> None:
        """Keep a page under a key of 32 hex digits."""

    def progress(self, done: int, total: int) -> None:
        """So many pages are recognized, of those that have to be."""


class _NoObserver:
    def find(self, key: str) -> ScannedPage | None:  # noqa: ARG002
        return None

    def keep(self, key: str, page: ScannedPage) -> None: ...

    def progress(self, done: int, total: int) -> None: ...


NO_OBSERVER: ScanObserver = _NoObserver()


@dataclass(frozen=True, slots=True)
class Scans:
    """What to recognize.

    Attributes:
        format: of the document, as in `Job`.
        name: the document's name in messages.
        data: the whole file; called once, and only if a page has to be recognized.
        pages: those with a digest, by number.
        options: the resolution, the password and the time limit of a page.
    """

    format: str
    name: str
    data: Callable[[], bytes]
    pages: Mapping[int, PageRead]
    options: ReadOptions

    def key_of(self, number: int) -> str:
        """What a page's result depends on, as 32 hex digits."""
        parts = (self.pages[number].digest, str(self.options.ocr_dpi), str(_LAYOUT), _version())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]

    def merge(self, number: int, page: ScannedPage) -> PageRead:
        """A page with its recognized text, or as it was if that is no better."""
        before = self.pages[number]
        visible = sum(map(len, page.text.split()))
        is_sparse = self.options.ocr is OcrMode.AUTO and 0 < before.visible < SPARSE
        if (not visible and before.text) or (is_sparse and visible <= before.visible):
            return replace(before, digest="")
        return PageRead(
            number,
            page.text,
            visible=visible,
            label=before.label,
            omissions=before.omissions,
            confidence=page.confidence if visible else None,
        )


def recognize(
    scans: Scans, observer: ScanObserver = NO_OBSERVER
) -> Iterator[PageRead | PageFailed]:
    """Recognize pages, in any order; those that fail keep what they had.

    Raises:
        DocumentError: when no process can be started.
    """
    waiting = []
    for number in scans.pages:
        kept = observer.find(scans.key_of(number))
        if kept is None:
            waiting.append(number)
        else:
            yield scans.merge(number, kept)
    if not waiting:
        return
    observer.progress(0, len(waiting))
    for num_done, message in enumerate(_Readers(scans, waiting).results(), start=1):
        observer.progress(num_done, len(waiting))
        if isinstance(message, PageRead):
            page = ScannedPage(message.text, message.confidence or 0.0)
            observer.keep(scans.key_of(message.number), page)
            yield replace(scans.merge(message.number, page), hidden=message.hidden)
        else:
            yield message


class _Readers:
    """Processes that recognize a share of the pages each, at the same time."""

    def __init__(self, scans: Scans, numbers: Sequence[int]) -> None:
        self._scans, self._numbers = scans, numbers
        self._num_processes, self._num_threads = _plan(len(numbers))
        self._results: queue.Queue[PageRead | PageFailed | BaseException | None] = queue.Queue()
        self._running: set[ReadingProcess] = set()
        self._is_ended = False

    def results(self) -> Iterator[PageRead | PageFailed]:
        """One result for each page, as they come."""
        data = self._scans.data()
        threads = [
            threading.Thread(
                target=self._work, args=[data, self._numbers[first :: self._num_processes]]
            )
            for first in range(self._num_processes)
        ]
        for thread in threads:
            thread.start()
        num_running = self._num_processes
        try:
            while num_running:
                result = self._results.get()
                if isinstance(result, BaseException):
                    raise result
                if result is None:
                    num_running -= 1
                else:
                    yield result
        finally:  # after Ctrl-C, too
            self._is_ended = True
            for process in list(self._running):
                process.kill()
            for thread in threads:
                thread.join()

    def _work(self, data: bytes, share: Sequence[int]) -> None:
        try:
            for result in self._read(data, share):
                self._results.put(result)
        except BaseException as error:  # noqa: BLE001 (raised again where the results are taken)
            self._results.put(error)
        self._results.put(None)

    def _read(self, data: bytes, share: Sequence[int]) -> Iterator[PageRead | PageFailed]:
        """The results of a share; after a page that stops its process the others go on."""
        left = list(share)
        while left and not self._is_ended:
            with ReadingProcess(_job(self._scans, left, self._num_threads)) as process:
                self._running.add(process)
                if self._is_ended:
                    process.kill()
                process.send([data])
                for message in process.messages():
                    if isinstance(message, PageRead | PageFailed):
                        process.restart_clock()
                        left.remove(message.number)
                        yield message
                    elif isinstance(message, Stopped):
                        yield PageFailed(left.pop(0), message.reason)
                    elif isinstance(message, Refused):
                        raise as_error(message)
                self._running.discard(process)


def _plan(num_pages: int) -> tuple[int, int]:
    """How many processes recognize so many pages, and the threads of each."""
    has_affinity = hasattr(os, "sched_getaffinity")
    num_cores = (len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count()) or 1
    free = available_memory_bytes()
    room = _MAX_PROCESSES if free is None else free // _MEMORY_BYTES
    num_processes = max(1, min(num_cores, num_pages, room, _MAX_PROCESSES))
    return num_processes, max(1, num_cores // num_processes)


def _job(scans: Scans, numbers: Sequence[int], num_threads: int) -> Job:
    sparse = [
        number
        for number in numbers
        if scans.options.ocr is OcrMode.AUTO and 0 < scans.pages[number].visible < SPARSE
    ]
    return replace(
        make_job(scans.format, scans.name, scans.options),
        pages=[(number, number) for number in numbers],
        recognizes=True,
        dpi=scans.options.ocr_dpi,
        num_threads=num_threads,
        sparse=sparse,
        limit_bytes=MEMORY_LIMIT_BYTES,
    )


@cache
def _version() -> str:
    return metadata.version("rapidocr")
