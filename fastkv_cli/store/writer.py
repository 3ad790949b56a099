"""Writing a state tensor by tensor to a temporary file, which is renamed once it is complete.

Nothing is synced to disk: a killed process leaves no state, and a state that a crashed machine
lost in part is detected by its checksums.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from zlib import crc32

from .header import build_header
from .spec import StateSpec

if TYPE_CHECKING:
    from typing_extensions import Buffer

TEMPORARY_SUFFIX = ".tmp"
_BLOCK_BYTES = 2**20  # checksummed and written at a time, while in the processor's cache


class StateWriter:
    """Writes a state; use it as a context manager.

    Leaving the context without `commit` stores nothing. If the file cannot be written, for example
    on a full disk, it warns once and all further calls do nothing.
    """

    def __init__(
        self,
        spec: StateSpec,
        target: Path,
        warn: Callable[[str], None],
        on_commit: Callable[[], None],
    ) -> None:
        """Create the temporary file.

        Args:
            spec: the state's spec.
            target: the final path; its folder exists.
            warn: called with one line that says why nothing is stored.
            on_commit: called when the file is at its final path.

        Raises:
            OSError: when the file cannot be created.
        """
        self._spec, self._target, self._warn, self._on_commit = spec, target, warn, on_commit
        self._created = datetime.now(UTC)
        self._sums: dict[str, int] = {}
        descriptor, name = tempfile.mkstemp(  # only the user can read it
            dir=target.parent, prefix=f".{spec.digest}.", suffix=TEMPORARY_SUFFIX
        )
        self._descriptor: int | None = descriptor
        self._path = Path(name)
        try:
            self._write(memoryview(build_header(spec, self._created, {})))
        except BaseException:
            self._discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the file unless it was committed."""
        self._discard()

    def add(self, name: str, data: Buffer) -> None:
        """Write a tensor.

        Args:
            name: the next tensor's name in the spec.
            data: its elements, row by row, without gaps.

        Raises:
            ValueError: when another tensor is next, or the size differs from the spec.
        """
        if self._descriptor is None:
            return
        names = list(self._spec.tensors)
        expected = names[len(self._sums)] if len(self._sums) < len(names) else None
        if name != expected:
            raise ValueError(f"tensor {name!r} is added where {expected!r} is next")
        view = memoryview(data)
        if view.nbytes != self._spec.tensors[name].nbytes:
            needed = self._spec.tensors[name].nbytes
            raise ValueError(f"tensor {name!r} has {view.nbytes} bytes, not {needed}")
        try:
            self._sums[name] = self._write(view.cast("B")) if view.nbytes else 0
        except OSError as error:
            self._give_up(error)

    def commit(self) -> bool:
        """Move the file to its final path; return whether that succeeded.

        Raises:
            ValueError: when a tensor is missing.
        """
        if self._descriptor is None:
            return False
        missing = [name for name in self._spec.tensors if name not in self._sums]
        if missing:
            raise ValueError(f"tensor {missing[0]!r} was not added")
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            self._write(memoryview(build_header(self._spec, self._created, self._sums)))
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)  # may be the call that reports a full disk
            self._path.replace(self._target)
        except OSError as error:
            self._give_up(error)
            return False
        self._on_commit()
        return True

    def _write(self, data: memoryview) -> int:
        """Write bytes and return their checksum."""
        assert self._descriptor is not None
        checksum = 0
        for start in range(0, len(data), _BLOCK_BYTES):
            block = data[start : start + _BLOCK_BYTES]
            checksum = crc32(block, checksum)
            while block:
                block = block[os.write(self._descriptor, block) :]
        return checksum

    def _give_up(self, error: OSError) -> None:
        self._discard()
        self._warn(
            f"cannot store the state of {self._spec.title} ({error.strerror or error}): "
            "the next question computes it again"
        )

    def _discard(self) -> None:
        """Close and remove the temporary file, if it still exists."""
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(OSError):
            if descriptor is not None:
                os.close(descriptor)
        with contextlib.suppress(OSError):  # moved to its final path, or removed by another process
            self._path.unlink()
