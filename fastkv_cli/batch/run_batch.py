"""Run a batch: find the documents, start workers, work, and list what failed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from ..config import StoreMode
from ..documents.search import MAX_SUFFIXES_SHOWN
from ..errors import DocumentError, OutputError, UsageError
from ..session.options import SessionOptions
from ..settings import find_in_files
from .batch_folder import BatchFolder, open_to_run
from .batch_index import BatchIndex
from .batch_observer import SILENT_BATCH, BatchObserver
from .batch_options import BatchOptions
from .batch_task import BatchTask
from .entry import Entry, State
from .export import csv_line
from .find_paths import Sources
from .job import WorkSettings
from .local_pool import LocalPool, choose_workers
from .manifest import begin_manifest, check_manifest, describe_settings
from .pool import Pool
from .scheduler import Scheduler

STORE_BELOW = 1000  # documents: states of more would only push each other out
_FOUND_EVERY = 1000  # how often the number found is reported


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """The documents of a folder: how many there are in each state."""

    done: int
    failed: int
    skipped: int
    waiting: int

    @property
    def total(self) -> int:
        """All documents but the skipped ones."""
        return self.done + self.failed + self.waiting


def run_batch(
    paths: Sequence[str],
    tasks: tuple[BatchTask, ...],
    options: SessionOptions,
    batch: BatchOptions,
    observer: BatchObserver = SILENT_BATCH,
    *,
    debug: bool = False,
) -> BatchCounts:
    """Work on all documents, and on those that an earlier run into the same folder left.

    Args:
        paths: files, folders and patterns.
        tasks: done on each document.
        options: of the sessions.
        batch: the folder, the workers and their limits.
        observer: receives progress, results and failures.
        debug: whether workers print tracebacks on stderr.

    Raises:
        UsageError: when an option is wrong, or the folder holds results of other settings.
        DocumentError: when a path that was named does not exist, or there is no document.
        OutputError: when a result cannot be written.
        FastKVError: when the model cannot be loaded.
    """
    options.check_all()
    out = Path(os.path.abspath(batch.check_batch()))  # noqa: PTH100 (Path.absolute keeps ..)
    sources = Sources(paths, batch.from_file or (), out)
    sources.check()
    _check_folder(out)
    settings = describe_settings(tasks, options)
    check_manifest(BatchFolder(out), settings)
    with (
        open_to_run(out, has_reports=batch.report) as folder,
        BatchIndex(folder.index_path, run=folder.run) as index,
    ):
        begin_manifest(folder, settings, [each.run for each in index.runs()])
        _prepare(folder, index, sources, observer, retries=batch.retry_failed)
        counts = count(index)
        if not counts.total:
            raise DocumentError("there is no document", "name files, folders or patterns")
        with _listing_failures(folder, index):
            if counts.waiting:
                work = WorkSettings(
                    tasks,
                    _choose_store(options, counts.waiting, observer),
                    options.store_mode is not StoreMode.OFF,
                    batch.report,
                    batch.document_timeout,
                    batch.worker_bytes,
                )
                pool = _open_pool(work, batch, counts.waiting, observer, debug=debug)
                with closing(pool):
                    Scheduler(folder, index, pool, settings, observer).run()
        return count(index)


def count(index: BatchIndex) -> BatchCounts:
    """Count the documents of an index."""
    return BatchCounts(**{state.value: number for state, number in index.count().items()})


def _prepare(
    folder: BatchFolder,
    index: BatchIndex,
    sources: Sources,
    observer: BatchObserver,
    *,
    retries: bool,
) -> None:
    """Bring the index up to date: with the files, and with the results that are there."""
    folder.remove_parts()
    if lost := index.forget_results(folder.has_result):
        what = "results have no page, or are" if folder.has_reports else "results are"
        observer.note(f"{lost:,} {what} no longer there: they are computed again")
    if retries:
        index.retry_failed()

    def counted() -> Iterator[Entry]:
        for number, entry in enumerate(sources.find()):
            if number % _FOUND_EVERY == 0:
                observer.finding(number)
            yield entry

    index.add(counted())
    if sources.meets_out:
        observer.note(f"{sources.out} is not searched: it holds the results")
    if sources.skipped:
        suffixes = [suffix for suffix, _ in sources.skipped.most_common(MAX_SUFFIXES_SHOWN)]
        observer.note(f"{sources.skipped.total():,} other files skipped: {', '.join(suffixes)}")


def _check_folder(out: Path) -> None:
    """Raise if the folder holds anything else: results are not mixed with a user's files."""
    try:
        names = {path.name for path in out.iterdir()} if out.exists() else set()
    except OSError as error:
        raise OutputError(f"cannot use {out} ({error.strerror})", "name a folder") from error
    if names and not names & {"manifest.json", "index.sqlite", "runs"}:
        raise UsageError(f"{out} holds other files", "name a new or an empty folder with --out")


def _choose_store(
    options: SessionOptions, num_documents: int, observer: BatchObserver
) -> SessionOptions:
    """Store no document states where there are many documents, unless the user chose."""
    chose = options.store is not None or options.no_store or "FASTKV_STORE" in os.environ
    if num_documents <= STORE_BELOW or chose or find_in_files("store") is not None:
        return options
    observer.note(
        f"no document states are stored for more than {STORE_BELOW:,} documents: see --store"
    )
    return replace(options, store=StoreMode.OFF)


def _open_pool(
    work: WorkSettings,
    batch: BatchOptions,
    num_documents: int,
    observer: BatchObserver,
    *,
    debug: bool,
) -> Pool:
    if batch.ray is not None:
        from .ray_pool import RayPool

        cpus, gpus = batch.placement
        return RayPool(
            work,
            batch.ray,
            num_workers=batch.num_workers,
            num_cpus=cpus,
            num_gpus=gpus,
            ships=batch.ship,
            note=observer.note,
        )
    return LocalPool(
        work,
        batch.num_workers or choose_workers(num_documents),
        may_be_fewer=batch.num_workers is None,
        note=observer.note,
        debug=debug,
    )


@contextmanager
def _listing_failures(folder: BatchFolder, index: BatchIndex) -> Iterator[None]:
    """List what failed once a `with` block has ended, whose own error comes first."""
    try:
        yield
    except BaseException:
        with suppress(OutputError):
            _write_failures(folder, index)
        raise
    _write_failures(folder, index)


def _write_failures(folder: BatchFolder, index: BatchIndex) -> None:
    """List what failed, or remove the list of an earlier run."""
    entries = index.entries(State.FAILED)
    first = next(entries, None)
    if first is None:
        folder.remove(folder.failures_path)
        return
    rows = ((entry.path, entry.exit_code, entry.message) for entry in chain([first], entries))
    lines = map(csv_line, chain([("path", "exit_code", "message")], rows))
    folder.write(folder.failures_path, (line.encode("utf-8", "replace") for line in lines))
