"""What goes to a worker and comes back: settings, jobs and their ends, as JSON values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from ..errors import ExitCode, FastKVError
from ..session.options import SessionOptions
from .batch_task import BatchTask

SCHEMA = "fastkv-batch/1"  # of a result


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """How every document is worked on.

    Attributes:
        tasks: done on each document, in order.
        options: of the sessions.
        keeps_scans: whether to keep the text of recognized pages on disk, and use kept ones.
        makes_reports: whether to make a page of each document, too.
        document_timeout_s: the most seconds of computing for one document.
        worker_bytes: the most memory that a worker may allocate; 0 for no limit.
    """

    tasks: tuple[BatchTask, ...]
    options: SessionOptions
    keeps_scans: bool
    makes_reports: bool
    document_timeout_s: float
    worker_bytes: int

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """As `to_json` gave it."""
        found = json.loads(text)
        found["tasks"] = tuple(BatchTask(**task) for task in found["tasks"])
        found["options"] = SessionOptions(**found["options"])
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Job:
    """A document to work on.

    Attributes:
        key: of its content.
        path: absolute.
        signature: of the file when its content was hashed.
        data: its bytes, for workers that cannot see the file; None for all others.
    """

    key: str
    path: str
    signature: tuple[int, int]
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a job.

    Attributes:
        key: of the document's content.
        result: the JSON object of the results, on one line; empty if it failed.
        report: the page; empty if none was wanted.
        pages: of the document; None if it has none.
        exit_code, message: why it failed; 0 and empty if it did not.
    """

    key: str
    result: str = ""
    report: str = ""
    pages: int | None = None
    exit_code: int = 0
    message: str = ""


def failed(job: Job, error: FastKVError) -> Finished:
    """The end of a job that failed."""
    return Finished(job.key, exit_code=int(error.exit_code), message=str(error))


def render_failed(path: str, exit_code: int | None, message: str) -> dict[str, Any]:
    """A document that failed, as a JSON object."""
    return {"schema": SCHEMA, "path": path, "error": message, "exit_code": exit_code}


def render_result(job: Job, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The results of a document, as a JSON object."""
    sha256 = job.key.partition(".")[0]
    return {"schema": SCHEMA, "path": job.path, "sha256": sha256, "results": list(results)}


def as_error(exit_code: int, message: str, hint: str) -> FastKVError:
    """An error that was raised in a worker."""
    error = FastKVError(message, hint)
    error.exit_code = ExitCode(exit_code)
    return error
