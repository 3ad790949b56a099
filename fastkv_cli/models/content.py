"""Identify a model by the content of its weights, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from ..config import LOCAL_REVISION
from .files import REVISION_DIGITS
from .local import weight_files

_SAMPLES = 64  # blocks that are hashed of all files together: 4 MiB of any model
_BLOCK_BYTES = 1 << 16
_COMMIT = re.compile(r"[0-9a-f]{40}")


def content_id(name: str, folder: Path, revision: str) -> str:
    """12 hex digits that are the same for the same weights; empty if they cannot be read.

    The revision of a GGUF file is a hash of its content already. Those of hub models and folders
    are not: the same files may be in the hub's cache and in a folder.

    Args:
        name: the model's, for errors.
        folder: that holds its files.
        revision: as in `ModelFiles`.

    Raises:
        ModelError: when the list of the weight files is damaged.
    """
    if revision != LOCAL_REVISION and not _COMMIT.fullmatch(revision):
        return revision
    try:
        return fingerprint(weight_files(folder, name))
    except OSError:
        return ""


def fingerprint(paths: Sequence[Path]) -> str:
    """12 hex digits of a SHA-256 over the sizes of files, and evenly spaced blocks of each.

    Trained weights differ nearly everywhere, so samples tell them apart, in milliseconds.

    Raises:
        OSError: when a file cannot be read.
    """
    digest = hashlib.sha256()
    count = max(_SAMPLES // max(len(paths), 1), 2)
    for path in paths:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        last = max(size - _BLOCK_BYTES, 0)
        with path.open("rb") as file:
            for offset in sorted({last * at // (count - 1) for at in range(count)}):
                file.seek(offset)
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()[:REVISION_DIGITS]
