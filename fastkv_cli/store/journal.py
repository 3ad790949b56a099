"""Results on disk, as they come, so that a run that was stopped goes on where it was."""

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
_SUM = "sum"  # the name of the field that tells a damaged line


class Journal:
    """Results by their keys, one JSON line each, in a file of their own for each set of settings.

    Use as a context manager: two runs with the same settings do not write at once. What documents
    say may stand in results, so files and folder are for their owner's eyes only. Nothing is forced
    to disk: a process that is killed loses no result, a machine that goes down may lose the last.

    Attributes:
        path: the file; it is there once there is a result.
        results: what the file holds, by key.
        num_damaged: lines that cannot be read, or that are not what was written.
    """

    def __init__(self, kind: str, settings: Mapping[str, Any]) -> None:
        """Find the journal of a run with these settings, which JSON must be able to hold.

        Args:
            kind: of the run: a folder for each.
            settings: all that its results depend on.
        """
        text = json.dumps(settings, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = cache_dir() / kind / f"{digest}.jsonl"
        self._lock = FileLock(f"{self.path}.lock", timeout=0, mode=0o600)
        self.results: dict[str, dict[str, Any]] = {}
        self.num_damaged = 0

    def __enter__(self) -> Self:
        """Read what is there.

        Raises:
            UsageError: when a run with the same settings is at work.
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
        """Let go of the file; it stays until `finish`."""
        with suppress(OSError):  # Windows removes nothing that is open
            if not self.path.exists():
                Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def add(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep a result, at once.

        Raises:
            OutputError: when it cannot be written.
        """
        entry = {"key": key, **result}
        line = json.dumps(entry | {_SUM: _checksum(entry)}, ensure_ascii=False)
        try:
            # What was cut short stays a line of its own. `json.loads` takes surrogates as well.
            _append(self.path, f"\n{line}\n".encode("utf-8", "surrogatepass"))
        except OSError as error:
            raise self._cannot_write(error) from error
        self.results[key] = dict(result)

    def finish(self) -> None:
        """The run is over and its results are elsewhere."""
        self.path.unlink(missing_ok=True)

    def prune(self, max_age_s: float) -> None:
        """Remove the files of this kind that nobody wrote to for so many seconds.

        A date so far in the future is a wrong clock's, and would keep a file for ever.
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
                self.num_damaged += 1  # cut short when the run was killed, or not ours
                continue
            del entry["key"]
            self.results[key] = entry

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path} ({error.strerror})", _HINT)


def _checksum(entry: Mapping[str, Any]) -> int:
    return crc32(json.dumps(entry, sort_keys=True).encode())


def _append(path: Path, data: bytes) -> None:
    """One write where the system takes it in one, so that nothing comes in between."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)
