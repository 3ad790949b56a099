"""Output files: written whole or not at all; pipes, devices and descriptors are written to."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterable, Iterator
from errno import EACCES
from itertools import chain
from pathlib import Path

from ..errors import OutputError

_DESCRIPTORS = Path("/dev/fd")  # on Linux a link to /proc/self/fd
_MAX_LINKS = 40  # as many as Linux follows


class ExistsError(OutputError):
    """The output file exists, and `--force` is not given."""


def check_writable(path: Path, *, force: bool) -> None:
    """Check that a file can be written, before any work starts.

    Raises:
        OutputError: when it cannot, or when it exists already and `force` is not given.
    """
    try:
        descriptor = find_descriptor(path)
        if descriptor is not None:
            os.write(descriptor, b"")  # fails where it is closed, or open for reading only
            return
        target = _follow(path)
        if target.is_dir():
            raise OutputError(f"cannot write {path}", "it is a folder; give a file")
        if _exists(target):
            if not force and target.is_file():
                raise ExistsError(f"{path} exists already", "give --force to replace it")
            if not os.access(target, os.W_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))
        elif not target.parent.is_dir():
            raise OutputError(f"cannot write {path}", f"make the folder {target.parent} first")
        if not target.exists() or target.is_file():
            _probe(target.parent)
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error


def write_file(path: Path, *data: bytes, chunks: Iterable[bytes] = ()) -> None:
    """Write a file, whole or not at all: the data, or chunks that are made as they are written.

    A descriptor of this process (/dev/stdout, /dev/fd/3, `>(command)` in a shell), a device or a
    named pipe cannot be replaced: it is written to.

    Raises:
        OutputError: when it cannot be written.
    """
    try:
        descriptor = find_descriptor(path)
        target = path if descriptor is not None else _follow(path)
        if descriptor is not None:
            for chunk in chain(data, chunks):
                _write_all(descriptor, chunk)
        elif target.exists() and not target.is_file():
            with target.open("wb") as file:
                file.writelines(chain(data, chunks))
        else:
            with _signals_wait():
                _replace(target, chain(data, chunks))
    except (OSError, ValueError) as error:
        raise _cannot_write(path, error) from error


def find_descriptor(path: Path) -> int | None:
    """The descriptor of this process that a path names, directly or through links.

    Opening such a path again would truncate a file that a shell appends to; replacing the file it
    leads to would leave the shell writing to the old one.

    Raises:
        OSError: when a link cannot be read.
        ValueError: when the path holds a character that no path can, as a NUL.
    """
    folder = os.path.realpath(_DESCRIPTORS)
    for _ in range(_MAX_LINKS):
        if path.name.isdecimal() and os.path.realpath(path.parent) == folder:
            return int(path.name) if len(path.name) < 10 else None
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _follow(path: Path) -> Path:
    """Resolve a link to a file, so that the file is replaced and not the link.

    A link to a pipe or a device is returned as it is: other processes' in /proc lead to no path.
    """
    if not path.is_symlink() or (path.exists() and not path.is_file()):
        return path
    try:
        return path.resolve()
    except RuntimeError as error:  # Python 3.11 and 3.12, for links in a circle
        raise OutputError(f"cannot write {path}", "its links lead nowhere") from error


def _exists(path: Path) -> bool:
    """Whether the path exists; `Path.exists` is False also for an unusable name.

    Raises:
        OSError: when the name is unusable, as one that is too long.
        ValueError: when the path holds a character that no path can, as a NUL.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _probe(folder: Path) -> None:
    """Write a byte to a file in a folder: a full disk still creates files, but rejects the byte."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".fastkv-")
    try:
        os.write(descriptor, b"\n")
    finally:
        os.close(descriptor)
        Path(name).unlink()


def _replace(path: Path, chunks: Iterable[bytes]) -> None:
    """Write a temporary file beside the path, then rename it."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".fastkv-")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(chunks)
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~umask)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Delay SIGTERM and SIGHUP, which end the process at once, until a file is replaced."""
    arrived: list[int] = []
    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ending = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ending:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)
        for number in arrived:
            signal.raise_signal(number)


def _cannot_write(path: Path, error: OSError | ValueError) -> OutputError:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    return OutputError(f"cannot write {path} ({reason})", "name another file")
