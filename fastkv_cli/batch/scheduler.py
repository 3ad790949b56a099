"""Hands the documents of a batch to workers, and keeps what comes back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..documents.source import check_source, label
from ..errors import DocumentError, ExitCode
from .batch_folder import BatchFolder, content_key
from .batch_index import BatchIndex
from .batch_observer import BatchObserver
from .entry import Claim, Entry, State
from .find_paths import MISSING, signature_of
from .job import Finished, Job
from .manifest import settle_model
from .pool import IN_FLIGHT, MAX_DEATHS, Done, Lost, Pool, Ready, Refused

_PAGE = 200  # documents looked up at a time
_POLL_S = 1.0  # how often documents of another run are looked at again


class Scheduler:
    """Works off the documents that are left in an index, with any pool of workers.

    A document that was on a worker when that died is tried once more, alone on a worker: if that
    dies as well, the document is the reason, and fails.
    """

    def __init__(
        self,
        folder: BatchFolder,
        index: BatchIndex,
        pool: Pool,
        settings: Mapping[str, Any],
        observer: BatchObserver,
    ) -> None:
        """Take over the work.

        Args:
            folder: takes the results.
            index: has the documents.
            pool: the workers.
            settings: as of `describe_settings`.
            observer: receives progress, results and failures.
        """
        self._folder, self._index, self._pool = folder, index, pool
        self._settings, self._observer = settings, observer
        self._jobs: dict[int, list[Job]] = {}  # of each worker that is ready
        self._deaths: dict[str, int] = {}  # by key
        self._again: deque[Job] = deque()
        self._page: deque[Entry] = deque()
        self._after, self._num_held, self._is_exhausted = "", 0, False
        self._next_pass_at, self._said_held = 0.0, False
        counts = index.count()
        self._total = sum(counts.values()) - counts[State.SKIPPED]
        self._num_settled = counts[State.DONE] + counts[State.FAILED]
        self._num_failed, self._num_pages = counts[State.FAILED], index.pages()

    def run(self) -> None:
        """Work until no document is left.

        Raises:
            FastKVError: when the model cannot be loaded, or a result cannot be written.
        """
        self._show()
        while True:
            self._fill()
            if self._is_exhausted and not self._again and not any(self._jobs.values()):
                return
            event = self._pool.wait(_POLL_S)
            match event:
                case Ready(worker=worker, model=model):
                    settle_model(self._folder, self._settings, model)
                    self._jobs[worker] = []
                case Done(worker, finished):
                    self._keep(worker, finished)
                case Lost(worker, reason, hint):
                    self._lose(worker, reason, hint)
                case Refused(error):
                    raise error
                case None:
                    pass

    def _fill(self) -> None:
        """Give jobs to all workers that have room."""
        for worker, jobs in sorted(self._jobs.items(), key=lambda item: len(item[1])):
            while len(jobs) < IN_FLIGHT and not any(job.key in self._deaths for job in jobs):
                if self._again and not jobs:
                    job: Job | None = self._again.popleft()
                else:
                    job = None if self._again and jobs else self._next()
                if job is None:
                    break
                jobs.append(job)
                self._pool.submit(worker, job)

    def _next(self) -> Job | None:
        """The next document that this run may work on; None if there is none now."""
        if self._is_exhausted or time.monotonic() < self._next_pass_at:
            return None
        for _ in range(_PAGE):  # then the workers are listened to
            if not self._page:
                self._page.extend(self._index.waiting(self._after, _PAGE))
            if not self._page:
                self._end_pass()
                return None
            entry = self._page.popleft()
            self._after = entry.path
            job = self._claim(entry)
            if job is not None:
                return job
        return None

    def _end_pass(self) -> None:
        """All documents were looked at; those that are held are looked at again."""
        self._after, self._is_exhausted = "", self._num_held == 0
        self._next_pass_at = time.monotonic() + _POLL_S
        if self._num_held and not any(self._jobs.values()) and not self._said_held:
            self._said_held = True
            self._observer.note(f"waiting for {self._num_held:,} documents of another run")
        self._num_held = 0

    def _claim(self, entry: Entry) -> Job | None:
        """Claim a document; None if its content is not this run's to work on."""
        data: bytes | None = None
        try:
            check_source(entry.path)
            signature = signature_of(entry.path)
            if self._pool.ships:
                data = _read(entry.path)
            is_known = entry.key and signature == entry.signature != MISSING and data is None
            key = entry.key if is_known else content_key(entry.path, data)
        except DocumentError as error:
            self._index.fail(entry.path, int(error.exit_code), str(error))
            self._fail(entry.path, error.exit_code, str(error))
            return None
        claimed = replace(entry, key=key, size=signature[0], mtime_ns=signature[1])
        what, number = self._index.claim(
            claimed, is_alive=self._folder.is_alive, has_result=self._folder.has_result
        )
        if what is Claim.OURS:
            return Job(key, entry.path, signature, data)
        if what is Claim.HELD:
            self._num_held += 1
        else:
            self._settle(number)
            self._show()
        return None

    def _keep(self, worker: int, finished: Finished) -> None:
        """Write what came back, then note it in the index."""
        job = self._take(worker, finished.key)
        if finished.exit_code:
            self._fail_job(job, finished.exit_code, finished.message)
            return
        if finished.report:
            self._folder.write(self._folder.report_path(job.key), [finished.report.encode()])
        result = f"{finished.result}\n"
        self._folder.write(self._folder.result_path(job.key), [result.encode()])
        number = self._index.finish(job.key, State.DONE, pages=finished.pages)
        self._settle(number)
        self._num_pages += (finished.pages or 0) * number
        self._observer.result(result)
        self._show()

    def _lose(self, worker: int, reason: str, hint: str) -> None:
        """A worker died: try its documents again, each alone, or fail them."""
        for job in self._jobs.pop(worker, []):
            deaths = self._deaths[job.key] = self._deaths.get(job.key, 0) + 1
            if deaths < MAX_DEATHS:
                self._again.append(job)
                continue
            message = f"{label(job.path)} ended its worker {deaths} times ({reason}): {hint}"
            self._fail_job(job, ExitCode.FAILURE, message)

    def _take(self, worker: int, key: str) -> Job:
        jobs = self._jobs[worker]
        job = next(job for job in jobs if job.key == key)
        jobs.remove(job)
        self._deaths.pop(key, None)
        return job

    def _fail_job(self, job: Job, exit_code: int, message: str) -> None:
        number = self._index.finish(job.key, State.FAILED, exit_code, message)
        self._fail(job.path, exit_code, message, number)

    def _fail(self, path: str, exit_code: int, message: str, number: int = 1) -> None:
        """Report a document that failed, and count all that have its content."""
        self._settle(number)
        self._num_failed += number
        self._observer.failed(path, exit_code, message)
        self._show()

    def _settle(self, number: int) -> None:
        self._num_settled += number
        if number > 1:  # copies may be on the page; those that are left are looked up again
            self._page.clear()

    def _show(self) -> None:
        done = min(self._num_settled, self._total)
        self._observer.progress(done, self._total, self._num_failed, self._num_pages)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DocumentError(
            f"{label(path)} cannot be read ({error.strerror})", "check the path"
        ) from error
