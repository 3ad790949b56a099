"""Writing a state: tensor by tensor into a file beside its place, which it takes when it is whole.

Nothing is forced to disk: a process that is killed leaves no state behind, and one that a machine
loses when it goes down is found by its checksums.
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
_BLOCK_BYTES = 2**20  # summed and written at a time, while the processor's cache has it


class StateWriter:
    """A state that is being written; use as a context manager.

    Leaving without `commit` leaves nothing behind. Where the file cannot be written, a full disk
    for one, that is told once and all further calls do nothing.
    """

    def __init__(
        self,
        spec: StateSpec,
        place: Path,
        warn: Callable[[str], None],
        on_commit: Callable[[], None],
    ) -> None:
        """Make the temporary file.

        Args:
            spec: of the state.
            place: where the file belongs; its folder is there.
            warn: told, in a line, why nothing is kept.
            on_commit: called when the file is in its place.

        Raises:
            OSError: when it cannot be made.
        """
        self._spec, self._place, self._warn, self._on_commit = spec, place, warn, on_commit
        self._created = datetime.now(UTC)
        self._sums: dict[str, int] = {}
        descriptor, name = tempfile.mkstemp(  # for the user alone
            dir=place.parent, prefix=f".{spec.digest}.", suffix=TEMPORARY_SUFFIX
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
        """Remove what was not committed."""
        self._discard()

    def add(self, name: str, data: Buffer) -> None:
        """Write a tensor.

        Args:
            name: the next one of the spec.
            data: its numbers, row by row, without gaps.

        Raises:
            ValueError: when it is not this tensor's turn, or the size is not that of the spec.
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
        """Put the file in its place; whether it is there.

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
            os.close(descriptor)  # may be the call that tells of a full disk
            self._path.replace(self._place)
        except OSError as error:
            self._give_up(error)
            return False
        self._on_commit()
        return True

    def _write(self, data: memoryview) -> int:
        """Write bytes; gives their checksum."""
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
            f"cannot keep the state of {self._spec.title} ({error.strerror or error}): "
            "a further question reads it again"
        )

    def _discard(self) -> None:
        """Close and remove the temporary file, where there still is one."""
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(OSError):
            if descriptor is not None:
                os.close(descriptor)
        with contextlib.suppress(OSError):  # gone to its place, or removed by somebody else
            self._path.unlink()
