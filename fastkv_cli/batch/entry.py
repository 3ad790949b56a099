"""What the index of a batch holds: documents with their states, and runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """The state of a document."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class Claim(StrEnum):
    """What came of claiming a document."""

    OURS = "ours"
    HELD = "held"  # the same content is being worked on, here or by another run
    SETTLED = "settled"  # nothing is left to do for it


@dataclass(frozen=True, slots=True)
class Entry:
    """A document of the index.

    Attributes:
        path: absolute.
        size, mtime_ns: of the file when it was found; -1 where it was missing.
        state: done, failed, skipped or waiting.
        key: of its content, as in `BatchFolder.result_path`; empty before it was read.
        exit_code, message: why it failed or was skipped; None and empty otherwise.
    """

    path: str
    size: int
    mtime_ns: int
    state: State = State.WAITING
    key: str = ""
    exit_code: int | None = None
    message: str = ""

    @property
    def signature(self) -> tuple[int, int]:
        """Changes with the file."""
        return self.size, self.mtime_ns


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run: when it started and last finished a document, in seconds since 1970, and how many."""

    run: str
    started: float
    updated: float
    num_done: int
    num_failed: int
