"""Models that fastkv itself stored in its cache folder, and may remove."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..config import EMBEDDED_MODEL, cache_dir
from ..errors import OutputError
from .embedded import GGUF_NAME


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A folder or file in the cache.

    Attributes:
        name: to remove it by.
        path: where it is.
        num_bytes: on disk.
    """

    name: str
    path: Path
    num_bytes: int


def stored_models() -> list[StoredModel]:
    """What fastkv stored: the embedded model as downloaded, and prepared GGUF files."""
    return [StoredModel(name, path, _bytes_of(path)) for name, path in _stored()]


def stored_names() -> list[str]:
    """The names alone, for completion."""
    return list(dict.fromkeys(name for name, _ in _stored()))


def remove_stored(stored: StoredModel) -> None:
    """Remove it; of a link, the link.

    Raises:
        OutputError: when it cannot be removed.
    """
    try:
        if stored.path.is_dir() and not stored.path.is_symlink():
            shutil.rmtree(stored.path)
        else:
            stored.path.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot remove {error.filename or stored.path} ({error.strerror or error})",
            "check its permissions",
        ) from error


def _stored() -> Iterator[tuple[str, Path]]:
    download = cache_dir() / "downloads" / GGUF_NAME
    if os.path.lexists(download):
        yield EMBEDDED_MODEL, download
    with suppress(OSError):
        folder = cache_dir() / "models"
        for path in sorted(folder.iterdir()):
            if not path.name.startswith("."):
                yield path.name, path


def _bytes_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; a link counts nothing."""
    if path.is_symlink():
        return 0
    total = 0
    with suppress(OSError):
        if path.is_file():
            return path.stat().st_size
        for parent, _, names in os.walk(path):
            total += sum(Path(parent, name).lstat().st_size for name in names)
    return total
