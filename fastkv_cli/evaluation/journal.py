"""What was measured so far, on disk, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from ..config import cache_dir
from ..errors import OutputError, UsageError


class Journal:
    """Results by their keys, one JSON line each, in a file of their own for each set of settings.

    Use as a context manager: two runs with the same settings do not write at once.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Find the journal of a run with these settings, which JSON must be able to hold."""
        text = json.dumps(settings, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        self.path = cache_dir() / "evaluations" / f"{digest}.jsonl"
        self._lock = FileLock(f"{self.path}.lock", timeout=0)
        self.results: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        """Read what is there.

        Raises:
            UsageError: when a run with the same settings is at work.
            OutputError: when the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise UsageError("the same evaluation is running already", "wait for it") from None
        except OSError as error:
            raise self._cannot_write(error) from error
        if self.path.exists():
            for line in self.path.read_bytes().split(b"\n"):
                try:
                    entry = json.loads(line)
                except ValueError:  # the line that was being written when the run was killed
                    continue
                self.results[entry.pop("key")] = entry
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the file; it stays until `finish`."""
        self._lock.release()

    def add(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep a result, at once.

        Raises:
            OutputError: when it cannot be written.
        """
        self.results[key] = dict(result)
        line = json.dumps({"key": key, **result}, ensure_ascii=False)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")  # a line cut short before it stays a line of its own
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self) -> None:
        """The run is over and its results are elsewhere."""
        self.path.unlink(missing_ok=True)

    def _cannot_write(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path} ({error.strerror})", "free some space")
