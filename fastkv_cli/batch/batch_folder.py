"""The folder of a batch: a result a document, and which runs are at work.

    manifest.json                what all results depend on
    results/3f/3f9a….pdf.json    one a content, named by its SHA-256 and the suffix of its file
    reports/3f/3f9a….pdf.html    the pages of --report
    index.sqlite                 path → content → state
    failures.csv                 what failed in the end
    runs/ID.lock                 locked for as long as a run is at work

256 folders: a million results are 3,900 files in each, which every file system lists quickly.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import Any

from filelock import FileLock, Timeout

from ..documents.find import is_known_suffix
from ..errors import DocumentError, OutputError

_CHUNK_BYTES = 2**20
_PART = ".part"  # the suffix of a file that is being written


class BatchFolder:
    """The files of a batch.

    Attributes:
        path: the folder.
        run: the identifier of this run; empty for a reader.
        has_reports: whether a page belongs to each result.
    """

    def __init__(self, path: Path, run: str = "", *, has_reports: bool = False) -> None:
        self.path = path
        self.run = run
        self.has_reports = has_reports

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def index_path(self) -> Path:
        return self.path / "index.sqlite"

    @property
    def failures_path(self) -> Path:
        return self.path / "failures.csv"

    def result_path(self, key: str) -> Path:
        """Where the result of a content is; the key is its name."""
        return self.path / "results" / key[:2] / f"{key}.json"

    def report_path(self, key: str) -> Path:
        """Where the page of a content is."""
        return self.path / "reports" / key[:2] / f"{key}.html"

    def has_result(self, key: str) -> bool:
        """Whether there is a result: it appears under its name in one step, after its page."""
        has_page = not self.has_reports or self.report_path(key).is_file()
        return has_page and self.result_path(key).is_file()

    def write(self, path: Path, chunks: Iterable[bytes]) -> None:
        """Write a file of the batch, so that it is complete and on the disk, or not there.

        Raises:
            OutputError: when it cannot be written.
        """
        beside = path.parent / f".{path.name}.{self.run}{_PART}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with beside.open("wb") as file:
                    file.writelines(chunks)
                    file.flush()
                    os.fsync(file.fileno())
                beside.replace(path)
                _sync_folder(path.parent)
            except BaseException:
                beside.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise OutputError(
                f"cannot write {path} ({error.strerror})",
                "free some space or check the permissions, then run again: nothing is lost",
            ) from error

    def read_result(self, key: str) -> dict[str, Any] | None:
        """The result of a content; None where it is missing or damaged."""
        try:
            found = json.loads(self.result_path(key).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def remove(self, path: Path) -> None:
        """Remove a file of the batch, if it is there.

        Raises:
            OutputError: when it cannot be removed.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot remove {path} ({error.strerror})", "check the permissions, then run again"
            ) from error

    def remove_parts(self) -> None:
        """Remove the files that killed runs did not complete."""
        for kind in ("results", "reports", "."):
            for path in self.path.joinpath(kind).glob(
                f".*{_PART}" if kind == "." else f"*/.*{_PART}"
            ):
                if not self.is_alive(path.name.removesuffix(_PART).rpartition(".")[2]):
                    with suppress(OSError):
                        path.unlink()

    def is_alive(self, run: str) -> bool:
        """Whether a run is at work: it holds its lock, which the system releases when it ends."""
        if run == self.run:
            return True
        lock = FileLock(self.lock_path(run), timeout=0)
        try:
            if not Path(lock.lock_file).exists():
                return False
            lock.acquire()
        except Timeout:
            return True
        except OSError:
            return False
        lock.release()
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
        return False

    def lock_path(self, run: str) -> Path:
        """The file that a run locks for as long as it is at work."""
        return self.path / "runs" / f"{run}.lock"


@contextmanager
def open_to_run(path: Path, *, has_reports: bool = False) -> Iterator[BatchFolder]:
    """Open a folder for a run, and make it where it is missing.

    Raises:
        OutputError: when files cannot be written there.
    """
    folder = BatchFolder(path, uuid.uuid4().hex[:12], has_reports=has_reports)
    lock = FileLock(folder.lock_path(folder.run), timeout=0)
    try:
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise OutputError(
            f"cannot write to {path} ({error.strerror})", "name another folder"
        ) from error
    try:
        yield folder
    finally:
        lock.release()
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)


def content_key(path: str, data: bytes | None = None) -> str:
    """The name of a content: its SHA-256 as 64 hex digits, and the suffix of a document's file.

    The suffix counts, as it tells Markdown from plain text, and a PDF that is none from a text.

    Args:
        path: the file.
        data: its bytes, where they are here already.

    Raises:
        DocumentError: when it cannot be read.
    """
    suffix = PurePath(path).suffix.lower()
    digest = hashlib.sha256()
    try:
        if data is not None:
            digest.update(data)
        else:
            with Path(path).open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
    except OSError as error:
        raise DocumentError(
            f"{path} cannot be read ({error.strerror})", "check the path"
        ) from error
    return digest.hexdigest() + (suffix if is_known_suffix(suffix) else "")


def _sync_folder(folder: Path) -> None:
    """Have a new name in a folder survive a crash of the machine, where the system can."""
    with suppress(OSError):  # Windows opens no folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
