"""The store of document states: a folder of files, of which the least recently used are evicted.

There are no locks: files appear and disappear as a whole, and files that vanish during an operation
are skipped.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from errno import EEXIST
from pathlib import Path
from stat import S_ISREG

from ..config import cache_dir
from ..sizes import format_size
from ..system.trust import why_untrusted
from .check import check_state, open_state
from .header import StateHeader, StateProblem, build_header
from .spec import SUFFIX, StateSpec, name_documents
from .writer import TEMPORARY_SUFFIX, StateWriter

_STATE = re.compile(rf"[0-9a-f]{{32}}{re.escape(SUFFIX)}")
_TEMPORARY = re.compile(rf"\.[0-9a-f]{{32}}\.\w+{re.escape(TEMPORARY_SUFFIX)}")
_STALE_S = 3600  # a temporary file not written to for this long belongs to a dead process
_MARGIN = 0.05  # share of a state, or the bytes below if more, that must stay free on the disk
_MARGIN_BYTES = 100_000_000


def default_store_dir() -> Path:
    """The folder in which states are stored."""
    return cache_dir() / "states"


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A file in the store.

    Attributes:
        path: the file.
        file_bytes: its size.
        last_used: time of last use, in seconds since 1970.
        header: its header; None if that cannot be read.
    """

    path: Path
    file_bytes: int
    last_used: float
    header: StateHeader | None

    @property
    def digest(self) -> str:
        """32 hex digits, the name of the file."""
        return self.path.stem

    @property
    def key(self) -> str:
        """12 hex digits, by which users select it."""
        return self.digest[:12]

    @property
    def documents(self) -> tuple[str, ...]:
        """The documents' names; empty if the header cannot be read."""
        return self.header.documents if self.header else ()

    @property
    def title(self) -> str:
        """The documents' names, for a message."""
        return name_documents(self.documents)


class StateStore:
    """The states in a folder."""

    def __init__(
        self, folder: Path, limit_bytes: int, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        """Set up the store; nothing is read or created yet.

        Args:
            folder: the folder of the files; created when the first state is stored.
            limit_bytes: the most bytes of all files together.
            warn: called with one line for each problem that does not end the run.
        """
        self.folder, self.limit_bytes, self._warn = folder, limit_bytes, warn
        self._distrusts = False

    def find(self, spec: StateSpec) -> Path | None:
        """Find the intact file of a state, and mark it as used now; None if there is none.

        A damaged or outdated file is removed with a warning.
        """
        path = self._path(spec.digest)
        if not self.is_trusted():
            return None
        try:
            check_state(path, spec)
            with contextlib.suppress(OSError):  # the folder may be read-only
                os.utime(path)
        except FileNotFoundError:
            return None
        except (StateProblem, OSError) as problem:
            self._drop(path, spec, problem)
            return None
        return path

    def holds(self, spec: StateSpec) -> bool:
        """Whether there is a file of a state; it is neither read nor marked as used."""
        return self.is_trusted() and _is_file(self._path(spec.digest))

    def record(self, spec: StateSpec) -> StateWriter | None:
        """Start to write a state; None, with a warning, if it cannot be stored."""
        target = self._path(spec.digest)
        needed = len(build_header(spec, datetime.now(UTC), {})) + spec.nbytes
        what = f"the state of {spec.title}, {format_size(needed)}"
        if needed > self.limit_bytes:
            limit = format_size(self.limit_bytes)
            self._warn(f"{what}, is above the limit of {limit}: not stored (FASTKV_STORE_LIMIT)")
            return None
        try:
            # With a umask of 0 it would be open to all users, and so not trusted.
            self.folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if not self.is_trusted():
                return None
            if os.path.lexists(target) and not _is_file(target):
                raise FileExistsError(EEXIST, f"{target.name} is no file")  # must not be replaced
            free = shutil.disk_usage(self.folder).free
            if free < needed + max(_MARGIN_BYTES, int(_MARGIN * needed)):
                self._warn(f"{what}, does not fit the disk, {format_size(free)} free: not stored")
                return None
            return StateWriter(spec, target, self._warn, lambda: self._make_room(spec.digest))
        except OSError as error:
            why = error.strerror or error
            self._warn(f"cannot store the state of {spec.title} in {self.folder} ({why})")
            return None

    def entries(self) -> list[StateEntry]:
        """All states, the most recently used first, including damaged ones."""
        return sorted(self._entries(), key=lambda entry: (-entry.last_used, entry.digest))

    @property
    def total_bytes(self) -> int:
        """Bytes of all states."""
        return sum(status.st_size for _, status in self._files())

    def remove(self, digests: Iterable[str]) -> list[StateEntry]:
        """Remove states, and files left by dead processes; return the removed states."""
        self._remove_stale()
        chosen = set(digests)
        return [entry for entry in self.entries() if entry.digest in chosen and _remove(entry.path)]

    def prune(self, limit_bytes: int, older_than_s: float | None = None) -> list[StateEntry]:
        """Remove states, the least recently used first; return the removed ones.

        Args:
            limit_bytes: the most bytes of the remaining states.
            older_than_s: also remove all states not used for this many seconds; None removes none
                for their age.
        """
        self._remove_stale()
        return list(self._prune(limit_bytes, older_than_s, keep=None))

    def verify(self) -> list[tuple[StateEntry | Path, str]]:
        """Check everything in the folder: each state with its problem, empty if it is intact.

        Anything that is not a state by name or type is returned as a path, with that problem.
        """
        found: list[tuple[StateEntry | Path, str]] = []
        for entry in self.entries():
            problem = ""
            try:
                check_state(entry.path)
            except FileNotFoundError:
                continue
            except (StateProblem, OSError) as error:
                problem = _describe(error)
            found.append((entry, problem))
        return found + [(path, "is no document state of fastkv") for path in self._foreign_files()]

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}{SUFFIX}"

    def is_trusted(self) -> bool:
        """Whether only the user can write to the folder; warns once if others can."""
        folders = (self.folder.parent, self.folder)
        why = next((f"{each} {why}" for each in folders if (why := why_untrusted(each))), "")
        if why and not self._distrusts:
            self._warn(
                f"{why}: no state is read from it or stored there; "
                "set FASTKV_HOME to a folder of your own"
            )
        self._distrusts = bool(why)
        return not why

    def _drop(self, path: Path, spec: StateSpec, problem: Exception) -> None:
        """Remove a file, with a warning about its problem."""
        is_removed = _is_file(path) and _remove(path)
        what = "it is removed and" if is_removed else f"remove {path} by hand; it is"
        self._warn(f"the stored state of {spec.title} {_describe(problem)}: {what} computed again")

    def _make_room(self, keep: str) -> None:
        """Evict states down to the limit, after one was written."""
        self._remove_stale()
        for _ in self._prune(self.limit_bytes, None, keep=keep):
            pass

    def _prune(
        self, limit_bytes: int, older_than_s: float | None, keep: str | None
    ) -> Iterator[StateEntry]:
        files = sorted(self._files(), key=lambda file: (file[1].st_mtime, file[0]))
        total = sum(status.st_size for _, status in files)
        oldest = None if older_than_s is None else time.time() - older_than_s
        for path, status in files:
            is_old = oldest is not None and status.st_mtime < oldest
            if path.stem == keep or (total <= limit_bytes and not is_old):
                continue
            entry = _read_entry(path, status)
            if _remove(path):
                total -= status.st_size
                if entry is not None:
                    yield entry

    def _entries(self) -> Iterator[StateEntry]:
        for path, status in self._files():
            entry = _read_entry(path, status)
            if entry is not None:
                yield entry

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The files whose names are those of states."""
        return self._matching(_STATE)

    def _foreign_files(self) -> list[Path]:
        """Everything in the folder that is neither a state nor a state being written."""
        return sorted(path for path, status in self._listed() if not _is_ours(path, status))

    def _remove_stale(self) -> None:
        now = time.time()
        for path, status in self._matching(_TEMPORARY):
            if abs(now - status.st_mtime) > _STALE_S:  # also in the future, by a wrong clock
                _remove(path)

    def _matching(self, pattern: re.Pattern[str]) -> Iterator[tuple[Path, os.stat_result]]:
        """Regular files whose names match; no folders or links."""
        for path, status in self._listed():
            if S_ISREG(status.st_mode) and pattern.fullmatch(path.name):
                yield path, status

    def _listed(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Everything in the folder, without files that vanish meanwhile."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    yield path, path.lstat()


def _is_ours(path: Path, status: os.stat_result) -> bool:
    names = (_STATE, _TEMPORARY)
    return S_ISREG(status.st_mode) and any(name.fullmatch(path.name) for name in names)


def _read_entry(path: Path, status: os.stat_result) -> StateEntry | None:
    """Read the entry of a file; None if the file has vanished meanwhile."""
    header = None
    try:
        file, header = open_state(path)
        file.close()
    except FileNotFoundError:
        return None
    except (StateProblem, OSError):
        pass
    return StateEntry(path, status.st_size, status.st_mtime, header)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _remove(path: Path) -> bool:
    """Remove a file; return whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _describe(problem: Exception) -> str:
    if isinstance(problem, OSError):
        return f"cannot be read ({problem.strerror or problem})"
    return str(problem)
