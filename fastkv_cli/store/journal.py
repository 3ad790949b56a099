"""Journal of a run's results on disk, so that an interrupted run can resume."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zlib import crc32

from filelock import FileLock, Timeout

from ..config import cache_dir
from ..errors import OutputError, UsageError
from ..system.trust import check_trusted

_HINT = "free some space, or set FASTKV_HOME to a folder of your own"
_SUM = "sum"  # the field with the checksum of a line


class Journal:
    """Results by key, one JSON line each, in one file for each set of settings.

    Use it as a context manager: a lock keeps two runs with the same settings from writing at once.
    Results may quote documents, so only their owner can read files and folder. Writes are not
    synced to disk: a killed process loses no result, a crashed machine may lose the last ones.

    Attributes:
        path: the file; it exists once there is a result.
        results: the results in the file, by key.
        num_damaged: lines that cannot be parsed, or whose checksum is wrong.
    """

    def __init__(self, kind: str, settings: Mapping[str, Any]) -> None:
        """Locate the journal of a run with these settings, which must be JSON-serializable.

        Args:
            kind: kind of the run; each has its own folder.
            settings: everything that the results depend on.
        """
        text = json.dumps(settings, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = cache_dir() / kind / f"{digest}.jsonl"
        self._lock = FileLock(f"{self.path}.lock", timeout=0, mode=0o600)
        self.results: dict[str, dict[str, Any]] = {}
        self.num_damaged = 0

    def __enter__(self) -> Self:
        """Lock the journal and read the existing results.

        Raises:
            UsageError: when another run with the same settings is in progress.
            OutputError: when the folder cannot be used.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_trusted(self.path.parent)
            self._lock.acquire()
        except Timeout:
            raise UsageError("the same run is running already", "wait for it") from None
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            self._read()
        except OSError as error:
            self._lock.release()
            raise self._cannot_write(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock; the file is kept until `finish`."""
        with suppress(OSError):  # Windows cannot remove an open file
            if not self.path.exists():
                Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def add(self, key: str, result: Mapping[str, Any]) -> None:
        """Write a result to the file immediately.

        Raises:
            OutputError: when it cannot be written.
        """
        entry = {"key": key, **result}
        line = json.dumps(entry | {_SUM: _checksum(entry)}, ensure_ascii=False)
        try:
            # The leading newline ends a line that was cut short. `json.loads` accepts surrogates.
            _append(self.path, f"\n{line}\n".encode("utf-8", "surrogatepass"))
        except OSError as error:
            raise self._cannot_write(error) from error
        self.results[key] = dict(result)

    def finish(self) -> None:
        """Remove the file: the run is complete and its results are stored elsewhere."""
        self.path.unlink(missing_ok=True)

    def prune(self, max_age_s: float) -> None:
        """Remove the files of this kind that were not written to for `max_age_s` seconds.

        So are files dated as far in the future, by a wrong clock, which would be kept forever.
        """
        now = time.time()
        with suppress(OSError):
            for path in self.path.parent.iterdir():
                is_ours = path.name.endswith((".jsonl", ".lock"))
                if is_ours and abs(now - path.lstat().st_mtime) > max_age_s:
                    path.unlink()

    def _read(self) -> None:
        if not self.path.exists():
            return
        for line in self.path.read_bytes().split(b"\n"):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                checksum, key = entry.pop(_SUM), entry["key"]
                if checksum != _checksum(entry):
                    raise ValueError("not what was written")
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self.num_damaged += 1  # cut short when the run was killed, or not written by fastkv
                continue
            del entry["key"]
            self.results[key] = entry

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path} ({error.strerror})", _HINT)


def _checksum(entry: Mapping[str, Any]) -> int:
    return crc32(json.dumps(entry, sort_keys=True).encode())


def _append(path: Path, data: bytes) -> None:
    """Append in a single write, where the system takes it whole, so that lines do not mix."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
