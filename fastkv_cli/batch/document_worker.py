"""Works on documents with one loaded model; the next document is read while one is computed."""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..documents import Document, load_document
from ..errors import DocumentError, FastKVError, OutOfMemoryError, as_failure
from ..output.render.report_json import describe_weights
from ..output.render.to_json import to_json
from ..session.loading import load_engine
from ..session.observer import SILENT, Observer
from ..session.reading import KeptScans
from ..session.session import Session
from ..store.ocr_pages import OcrPageStore
from .find_paths import signature_of
from .job import Finished, Job, WorkSettings, failed, render_result

if TYPE_CHECKING:
    from ..engine.generate import Engine
    from ..session.answer import Answer

# A document that does not notice its time limit, as inside one long call of a library, is given
# this many seconds more; then the process is ended.
_GRACE_S = 30.0


class DocumentWorker:
    """A loaded model that works on documents, one at a time.

    Attributes:
        is_broken: whether memory or the engine failed: this process should be replaced.
    """

    def __init__(self, settings: WorkSettings) -> None:
        """Load the model.

        Raises:
            FastKVError: when it cannot be loaded.
        """
        self._settings = settings
        self.is_broken = False
        # One thread computes for as long as the process lives: OpenMP has a team of threads for
        # every thread that calls it.
        self._computing = ThreadPoolExecutor(1)
        if settings.worker_bytes:
            _limit_memory(settings.worker_bytes)
        options = settings.options
        self._engine: Engine = self._computing.submit(
            load_engine, options.model, options, SILENT
        ).result()

    @property
    def model(self) -> dict[str, Any]:
        """The loaded model, as far as results depend on it."""
        from ..engine.tuning import loaded_content

        loaded = self._engine.loaded
        return {
            "name": loaded.name,
            "content": loaded_content(loaded) or loaded.revision,
            "dtype": loaded.dtype_name,
            "decode_weights": describe_weights(self._engine.decode_weights).partition(" (")[0],
        }

    @property
    def on_gpu(self) -> bool:
        """Whether the model is on a GPU."""
        return self._engine.decoder.device.type != "cpu"

    @property
    def peak_bytes(self) -> int | None:
        """The most memory that the model has taken so far; None where unknown."""
        from ..engine.measure import peak_memory_bytes

        return peak_memory_bytes(self._engine.decoder.device)

    def set_threads(self, number: int) -> None:
        """Compute with so many threads."""
        from ..engine.model.hardware import set_threads

        self._computing.submit(set_threads, number)

    def work(self, job: Job) -> Finished:
        """Read a document and do the tasks; a failure is part of what it returns.

        Two threads may call it: one reads its document while that of the other is computed.
        """
        try:
            document = self._read(job)
            return self._computing.submit(self._compute, job, document).result()
        except Exception as error:  # noqa: BLE001 (the other documents are still worked on)
            failure = as_failure(error)
            is_expected = isinstance(error, FastKVError)
            is_memory = isinstance(failure, OutOfMemoryError)
            self.is_broken |= not is_expected or is_memory
            if is_memory and self._settings.worker_bytes:
                failure = OutOfMemoryError(failure.message, "allow more with --worker-memory")
            return failed(job, failure)

    def _read(self, job: Job) -> Document:
        settings, warnings = self._settings, list[str]()
        document = load_document(
            job.path,
            settings.options.read,
            data=job.data,
            scan_observer=KeptScans(
                _Clock(settings.document_timeout_s),  # each page has a limit of its own, too
                OcrPageStore(warnings.append) if settings.keeps_scans else None,
            ),
        )
        if job.data is None and signature_of(job.path) != job.signature:
            raise DocumentError(f"{job.path} was changed while it was read", "run again")
        return replace(document, warnings=(*document.warnings, *warnings))

    def _compute(self, job: Job, document: Document) -> Finished:
        settings = self._settings
        options = settings.options
        answers: list[Answer] = []
        with _time_limit(settings.document_timeout_s) as observer:
            session = Session(
                [document],
                options,
                observer,
                engine=self._engine,
                resume=True,  # of a long text whose worker was ended
                asks_again=len(settings.tasks) > 1 or settings.tasks[0].kind == "fill",
                maps=settings.makes_reports,
            )
            with session:
                for task in settings.tasks:
                    answers.append(task.run(session))
                    session.drop_parts()
        result = render_result(job, [answer.to_dict() for answer in answers])
        report = _render_report(answers) if settings.makes_reports else ""
        return Finished(job.key, to_json(result, indent=None), report, document.num_pages)


def _render_report(answers: list[Answer]) -> str:
    from ..session.answer import render_answer_page

    if len(answers) == 1:
        return answers[0].to_html()
    return render_answer_page([(answer.report.question, answer) for answer in answers])


class _Clock(Observer):
    """Ends the work on a document at its time limit, when it next reports progress."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._ends_at = time.monotonic() + limit_s

    def check(self) -> None:
        """Raise a DocumentError if the time is over."""
        if time.monotonic() > self._ends_at:
            raise DocumentError(
                f"stopped after {self._limit_s:g} s of computing",
                "allow more time with --document-timeout",
            )

    def progress(self, *_: object, **__: object) -> None:
        self.check()

    def piece(self, *_: object) -> None:
        self.check()

    def thought(self, *_: object) -> None:
        self.check()


@contextmanager
def _time_limit(limit_s: float) -> Iterator[Observer]:
    """Limit the time of a `with` block: by its observer, and by ending the process a little later.

    The second needs no interpreter, which a library may block.
    """
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(limit_s + _GRACE_S, exit=True, file=nowhere)
        try:
            yield _Clock(limit_s)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _limit_memory(num_bytes: int) -> None:
    """Let this process allocate at most so much; mapped files do not count."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    lower = num_bytes if most == resource.RLIM_INFINITY else min(num_bytes, most)
    with suppress(OSError, ValueError):  # macOS
        resource.setrlimit(resource.RLIMIT_DATA, (lower, most))
