"""Files that are worth some work, and that fastkv does without where they cannot be written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def keep_text(path: Path, text: str) -> None:
    """Write a file in one step; a folder that cannot be written costs the work again next time."""
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
