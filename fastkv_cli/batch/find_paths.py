"""Find the documents of a batch: any number of paths, none of them held in memory."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import BinaryIO

from ..documents.find import fixed_part, is_known_suffix, is_pattern, match_pattern
from ..documents.formats import PDF_SUFFIX, SUFFIXES
from ..documents.search import real_path
from ..documents.source import STDIN, check_source, label
from ..errors import DocumentError, ExitCode, UsageError
from .entry import Entry, State

_MAX_MATCHES = 100_000_000
_CHUNK_BYTES = 2**16
_MAX_PATH_BYTES = 2**16  # more than any system allows
MISSING = (-1, -1)  # the signature of a file that is not there


@dataclass(slots=True)
class Sources:
    """Where documents are looked for.

    Attributes:
        paths: files, folders and patterns.
        lists: files that hold paths, one a line or ended by NUL; "-" is standard input.
        out: the folder of the batch, which is not searched.
        skipped: counts the other files in folders, by suffix.
        meets_out: whether a search or a list led into the folder of the batch.
    """

    paths: Sequence[str]
    lists: Sequence[str]
    out: Path
    skipped: Counter[str] = field(default_factory=Counter)
    meets_out: bool = False
    _folder: tuple[str, bool] = ("", False)  # the last path's, and whether it is in `out`

    def check(self) -> None:
        """Check what was named, before anything else is done.

        Raises:
            DocumentError: when a path does not exist or cannot be read.
            UsageError: when a path is the folder of the results, or in it.
        """
        out = Path(real_path(str(self.out)))
        for path in self.paths:
            if path == STDIN:
                raise UsageError(
                    "a batch reads no document from standard input",
                    "give --from - for a list of paths",
                )
            if path and Path(real_path(path)).is_relative_to(out):
                raise UsageError(
                    f"{label(path)} is in the folder of the results, {self.out}",
                    "give an --out elsewhere",
                )
            if not Path(path).is_dir() and not is_pattern(path):
                check_source(path)

    def find(self) -> Iterator[Entry]:
        """Yield the documents, one after another, and what was left out of folders.

        Raises:
            DocumentError: when a folder holds no document, or a pattern matches none.
            UsageError: when a list cannot be read.
        """
        for path in self.paths:
            number = 0
            for entry in self._matches(path) if is_pattern(path) else self._expand(path):
                number += 1
                yield entry
            if not number:
                raise _no_document(path)
        for file in self.lists:
            for path in _read_list(file):
                if not self._is_result(os.path.abspath(path)):  # noqa: PTH100
                    yield from self._expand(path)

    def _expand(self, path: str) -> Iterator[Entry]:
        """The documents in a folder, or the file itself."""
        whole = os.path.abspath(path)  # noqa: PTH100 (Path.absolute keeps ..)
        if os.path.isdir(whole):  # noqa: PTH112 (Path keeps the parts of every path in memory)
            yield from self._walk(whole, real_path(whole))
        else:
            yield Entry(whole, *signature_of(whole))

    def _matches(self, pattern: str) -> Iterator[Entry]:
        suffix = PurePath(pattern).suffix
        takes_all = bool(suffix) and not is_pattern(suffix)
        root = real_path(str(fixed_part(pattern)))
        for match in match_pattern(pattern, _MAX_MATCHES):
            whole = os.path.abspath(match)  # noqa: PTH100
            if self._is_result(whole):
                continue
            if os.path.isdir(whole) and not os.path.islink(whole):  # noqa: PTH112, PTH114
                # `**` matches the contents of the folder by itself
                yield from iter(()) if "**" in pattern else self._walk(whole, root)
            elif not os.path.isdir(whole):  # noqa: PTH112
                yield from self._file(whole, root, takes_all=takes_all)

    def _is_result(self, path: str) -> bool:
        """Whether an absolute path lies in the folder of the batch."""
        folder = os.path.dirname(path)  # noqa: PTH120 (Path keeps the parts of every path in memory)
        if folder != self._folder[0]:
            is_in_out = Path(real_path(folder)).is_relative_to(real_path(str(self.out)))
            self._folder = folder, is_in_out
        self.meets_out |= self._folder[1]
        return self._folder[1]

    def _walk(self, folder: str, root: str) -> Iterator[Entry]:
        """The files in a folder and below, without hidden ones and links to folders."""
        out, left = real_path(str(self.out)), [folder]
        while left:
            current = left.pop()
            if real_path(current) == out:
                self.meets_out = True
                continue
            try:
                with os.scandir(current) as found:
                    for entry in found:
                        if entry.name.startswith("."):
                            continue
                        if entry.is_dir(follow_symlinks=False):
                            left.append(entry.path)
                        elif not (entry.is_symlink() and os.path.isdir(entry.path)):  # noqa: PTH112
                            yield from self._file(entry.path, root if entry.is_symlink() else "")
            except OSError as error:
                yield _skipped(current, f"the folder cannot be read ({error.strerror})")

    def _file(self, path: str, root: str, *, takes_all: bool = False) -> Iterator[Entry]:
        """A file that was found, not named: skipped if it is no document or leads elsewhere.

        Args:
            path: absolute.
            root: the real path of the folder in which it has to be; empty where it is no link.
            takes_all: whether a file of any suffix is a document.
        """
        suffix = PurePath(path).suffix.lower()
        if not (takes_all or is_known_suffix(suffix)):
            self.skipped[suffix or "without a suffix"] += 1
            return
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:  # a link to nothing, or to itself
            yield _skipped(path, f"it leads to no file ({error.strerror})")
            return
        if root and not Path(real_path(path)).is_relative_to(root):
            yield _skipped(path, "a link that leads out of the folder")
        elif not stat.S_ISREG(status.st_mode):
            yield _skipped(path, "a pipe, a device or a socket")
        else:
            yield Entry(path, status.st_size, status.st_mtime_ns)


def signature_of(path: str) -> tuple[int, int]:
    """Size in bytes and modification time in ns, which change with a file; or `MISSING`."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return MISSING
    return status.st_size, status.st_mtime_ns


def _no_document(path: str) -> DocumentError:
    if is_pattern(path):
        return DocumentError(
            f"{label(path)} does not exist, and as a pattern it matches no document",
            "check the path and the spelling",
        )
    return DocumentError(
        f"{label(path)} holds no document",
        f"documents in folders end in {', '.join([PDF_SUFFIX, *SUFFIXES])}",
    )


def _skipped(path: str, why: str) -> Entry:
    return Entry(path, *MISSING, State.SKIPPED, "", ExitCode.INPUT, why)


def _read_list(file: str) -> Iterator[str]:
    """The paths in a list, in pieces: one a line, or ended by NUL if the first ends so.

    Raises:
        UsageError: when it cannot be read.
    """
    import sys

    try:
        if file == STDIN:
            if sys.stdin is None or sys.stdin.isatty():
                raise UsageError("--from - reads standard input, which is no pipe", "pipe paths in")
            yield from _split(sys.stdin.buffer, file)
        else:
            with Path(file).open("rb") as opened:
                yield from _split(opened, file)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise UsageError(f"--from {file} cannot be read ({reason})", "check the path") from error


def _split(stream: BinaryIO, file: str) -> Iterator[str]:
    rest, separator = b"", b""
    while chunk := stream.read(_CHUNK_BYTES):
        rest += chunk
        if not separator:
            separator = b"\0" if b"\0" in rest else b"\n"
        *names, rest = rest.split(separator)
        yield from _decode(names, separator)
        if len(rest) > _MAX_PATH_BYTES:
            raise UsageError(
                f"--from {file} holds no paths", "write one a line, or end each by NUL"
            )
    yield from _decode([rest], separator)


def _decode(names: list[bytes], separator: bytes) -> Iterator[str]:
    for name in names:
        path = name.rstrip(b"\r") if separator == b"\n" else name
        if path:
            yield os.fsdecode(path)
