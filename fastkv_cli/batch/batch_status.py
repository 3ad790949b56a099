"""How far a batch is: counted from its index, while runs may be at work on it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from .batch_index import BatchIndex
from .entry import RunRecord, State
from .manifest import open_existing

_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """The state of a batch.

    Attributes:
        done, failed, skipped, left: documents.
        pages: of the documents that are done.
        num_running: runs that are at work now.
        documents_per_hour: their pace, or that of the last run; None where nothing was measured.
        left_s: seconds left at this pace; None where no run is at work, or none has a pace yet.
        model: its name; empty before it is loaded.
        tasks: what is asked of each document, in words.
    """

    done: int
    failed: int
    skipped: int
    left: int
    pages: int
    num_running: int
    documents_per_hour: float | None
    left_s: float | None
    model: str
    tasks: tuple[str, ...]


def read_status(path: Path) -> BatchStatus:
    """The status of the batch in a folder.

    Raises:
        UsageError: when it is no folder of a batch.
        OutputError: when it cannot be read.
    """
    folder, manifest = open_existing(path)
    with BatchIndex(folder.index_path) as index:
        counts, pages, runs = index.count(), index.pages(), index.runs()
    at_work = [run for run in runs if folder.is_alive(run.run)]
    paces = [pace for run in at_work if (pace := _pace(run, time.time())) is not None]
    per_second = sum(paces) if paces else None
    left = counts[State.WAITING]
    left_s = left / per_second if per_second else None
    if not at_work and runs:
        per_second = _pace(runs[-1], runs[-1].updated)
    return BatchStatus(
        done=counts[State.DONE],
        failed=counts[State.FAILED],
        skipped=counts[State.SKIPPED],
        left=left,
        pages=pages,
        num_running=len(at_work),
        documents_per_hour=None if per_second is None else per_second * _HOUR_S,
        left_s=left_s,
        model=str(manifest["model"]["name"]) if manifest["model"] else "",
        tasks=tuple(
            str(task["options"].get("question") or task["options"].get("schema") or task["kind"])
            for task in manifest["tasks"]
        ),
    )


def _pace(run: RunRecord, until: float) -> float | None:
    """Documents a second; None before the first."""
    number, elapsed_s = run.num_done + run.num_failed, until - run.started
    return number / elapsed_s if number and elapsed_s > 0 else None
