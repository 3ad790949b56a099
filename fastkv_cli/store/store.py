"""The states of documents that were read: a folder of files, the least recently used going first.

Nobody locks anything: files come and go whole, and whatever vanishes meanwhile is passed over.
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
_STALE_S = 3600  # a temporary file that nobody wrote to for so long is a dead process's
_MARGIN = 0.05  # of a state, or this many bytes, that have to stay free on the disk
_MARGIN_BYTES = 100_000_000


def default_store_dir() -> Path:
    """Where states are kept."""
    return cache_dir() / "states"


@dataclass(frozen=True, slots=True)
class StateEntry:
    """A file in the store.

    Attributes:
        path: of the file.
        file_bytes: its size.
        last_used: in seconds since 1970.
        header: what it says of itself; None where that cannot be read.
    """

    path: Path
    file_bytes: int
    last_used: float
    header: StateHeader | None

    @property
    def digest(self) -> str:
        """32 hex digits, by which it is named."""
        return self.path.stem

    @property
    def key(self) -> str:
        """12 hex digits, which people tell it from others by."""
        return self.digest[:12]

    @property
    def documents(self) -> tuple[str, ...]:
        """Their names, where the header can be read."""
        return self.header.documents if self.header else ()

    @property
    def title(self) -> str:
        """The documents, for a message."""
        return name_documents(self.documents)


class StateStore:
    """The states in a folder."""

    def __init__(
        self, folder: Path, limit_bytes: int, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        """Nothing is read or made yet.

        Args:
            folder: of the files; it is made when there is something to keep.
            limit_bytes: the most that all files together may take.
            warn: told, in a line, of what is wrong and does not end the run.
        """
        self.folder, self.limit_bytes, self._warn = folder, limit_bytes, warn
        self._distrusts = False

    def find(self, spec: StateSpec) -> Path | None:
        """The file of a state, if there is a sound one; it counts as used now.

        What is not sound is told, and removed.
        """
        path = self._path(spec.digest)
        if not self.is_trusted():
            return None
        try:
            check_state(path, spec)
            with contextlib.suppress(OSError):  # a folder that is only read
                os.utime(path)
        except FileNotFoundError:
            return None
        except (StateProblem, OSError) as problem:
            self._drop(path, spec, problem)
            return None
        return path

    def record(self, spec: StateSpec) -> StateWriter | None:
        """Begin to write a state; None, and a warning, where it cannot be kept."""
        place = self._path(spec.digest)
        needed = len(build_header(spec, datetime.now(UTC), {})) + spec.nbytes
        what = f"the state of {spec.title}, {format_size(needed)}"
        if needed > self.limit_bytes:
            limit = format_size(self.limit_bytes)
            self._warn(f"{what}, is above the limit of {limit}: not kept (FASTKV_STORE_LIMIT)")
            return None
        try:
            # With a umask of 0 it would be open to all users, and so not trusted.
            self.folder.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if not self.is_trusted():
                return None
            if os.path.lexists(place) and not _is_file(place):
                raise FileExistsError(EEXIST, f"{place.name} is no file")  # and not ours to replace
            free = shutil.disk_usage(self.folder).free
            if free < needed + max(_MARGIN_BYTES, int(_MARGIN * needed)):
                self._warn(f"{what}, does not fit the disk, {format_size(free)} free: not kept")
                return None
            return StateWriter(spec, place, self._warn, lambda: self._make_room(spec.digest))
        except OSError as error:
            why = error.strerror or error
            self._warn(f"cannot keep the state of {spec.title} in {self.folder} ({why})")
            return None

    def entries(self) -> list[StateEntry]:
        """All states, the most recently used first; those that are damaged too."""
        return sorted(self._entries(), key=lambda entry: (-entry.last_used, entry.digest))

    @property
    def total_bytes(self) -> int:
        """What all states take."""
        return sum(status.st_size for _, status in self._files())

    def remove(self, digests: Iterable[str]) -> list[StateEntry]:
        """Remove states, and what dead processes left; gives the states that are gone."""
        self._remove_stale()
        chosen = set(digests)
        return [entry for entry in self.entries() if entry.digest in chosen and _remove(entry.path)]

    def prune(self, limit_bytes: int, older_than_s: float | None = None) -> list[StateEntry]:
        """Remove states, the least recently used first; gives those that are gone.

        Args:
            limit_bytes: the most that the others may take.
            older_than_s: whatever was not used for so many seconds goes as well; None is no bound.
        """
        self._remove_stale()
        return list(self._prune(limit_bytes, older_than_s, keep=None))

    def verify(self) -> list[tuple[StateEntry | Path, str]]:
        """Check all that is in the folder: each with what is wrong with it, or nothing.

        What is no state by its name or kind comes as a path, with what it is.
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
        return found + [(path, "is no document state of fastkv") for path in self._strangers()]

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}{SUFFIX}"

    def is_trusted(self) -> bool:
        """Whether nobody else can write to the folder; told once where somebody can."""
        folders = (self.folder.parent, self.folder)
        why = next((f"{each} {why}" for each in folders if (why := why_untrusted(each))), "")
        if why and not self._distrusts:
            self._warn(
                f"{why}: no state is taken from it or kept there; "
                "set FASTKV_HOME to a folder of your own"
            )
        self._distrusts = bool(why)
        return not why

    def _drop(self, path: Path, spec: StateSpec, problem: Exception) -> None:
        """Tell what is wrong with a file, and remove it."""
        is_removed = _is_file(path) and _remove(path)
        what = "it is removed and" if is_removed else f"remove {path} by hand;"
        self._warn(
            f"the kept state of {spec.title} {_describe(problem)}: {what} the text is read again"
        )

    def _make_room(self, keep: str) -> None:
        """Keep to the limit, after a state was written."""
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
        """The files that are named as states are."""
        return self._matching(_STATE)

    def _strangers(self) -> list[Path]:
        """What is in the folder and is no state, not even one that is being written."""
        return sorted(path for path, status in self._listed() if not _is_ours(path, status))

    def _remove_stale(self) -> None:
        now = time.time()
        for path, status in self._matching(_TEMPORARY):
            if abs(now - status.st_mtime) > _STALE_S:  # or a wrong clock's, of the future
                _remove(path)

    def _matching(self, pattern: re.Pattern[str]) -> Iterator[tuple[Path, os.stat_result]]:
        """Files by the pattern of their names; no folders and no links."""
        for path, status in self._listed():
            if S_ISREG(status.st_mode) and pattern.fullmatch(path.name):
                yield path, status

    def _listed(self) -> Iterator[tuple[Path, os.stat_result]]:
        """All that is in the folder, less what vanishes meanwhile."""
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    yield path, path.lstat()


def _is_ours(path: Path, status: os.stat_result) -> bool:
    names = (_STATE, _TEMPORARY)
    return S_ISREG(status.st_mode) and any(name.fullmatch(path.name) for name in names)


def _read_entry(path: Path, status: os.stat_result) -> StateEntry | None:
    """What a file says of itself; None when it has gone meanwhile."""
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
    """Remove a file; whether it is gone."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _describe(problem: Exception) -> str:
    if isinstance(problem, OSError):
        return f"cannot be read ({problem.strerror or problem})"
    return str(problem)
