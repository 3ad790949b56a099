"""Recognized pages on disk, so that a scan is read by OCR once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple
from zlib import crc32

from ..config import cache_dir
from ..system.trust import check_trusted

_NAME = re.compile(r"[0-9a-f]{32}\.json|\.[0-9a-f]{32}\.[0-9a-f]{8}")
_LIMIT_BYTES = 200_000_000  # about 60,000 pages
_MAX_PAGE_BYTES = 2**24


class OcrPage(NamedTuple):
    """The text of a page and its confidence, from 0 to 1."""

    text: str
    confidence: float


class OcrPageStore:
    """A folder with a file for each page; only its owner can read what documents say.

    It is an aid: whatever fails is a page that is not kept, with one warning.
    """

    def __init__(self, warn: Callable[[str], None] = lambda _: None) -> None:
        """Locate the folder; it is created with the first page.

        Args:
            warn: called with one line, once, if pages cannot be kept.
        """
        self._warn, self._is_usable = warn, True

    @property
    def folder(self) -> Path:
        """The folder of the pages."""
        return cache_dir() / "ocr"

    def find(self, key: str) -> OcrPage | None:
        """The page with a key of 32 hex digits; None if there is none, or it is damaged."""
        try:
            check_trusted(self.folder)
            path = self.folder / f"{key}.json"
            if path.lstat().st_size > _MAX_PAGE_BYTES or path.is_symlink():
                return None
            text, confidence, checksum = json.loads(path.read_bytes())
            if checksum != _checksum(text, confidence):
                return None
            os.utime(path)
            return OcrPage(text, confidence)
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def keep(self, key: str, page: OcrPage) -> None:
        """Write a page, complete or not at all."""
        if not self._is_usable:
            return
        content = json.dumps([*page, _checksum(*page)]).encode()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_trusted(self.folder)
            temporary = self.folder / f".{key}.{secrets.token_hex(4)}"
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(self.folder / f"{key}.json")
        except OSError as error:
            self._is_usable = False
            self._warn(
                f"cannot keep recognized pages in {self.folder} ({error.strerror or error}): "
                "the next run reads them again"
            )

    def prune(self, limit_bytes: int = _LIMIT_BYTES) -> int:
        """Remove the pages that were not used for the longest time; returns how many."""
        files = sorted(self._files(), key=lambda file: file[1].st_mtime)
        total = sum(status.st_size for _, status in files)
        num_removed = 0
        for path, status in files:
            if total <= limit_bytes:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                num_removed += 1
            total -= status.st_size
        return num_removed

    def size(self) -> tuple[int, int]:
        """The number of pages, and their bytes."""
        sizes = [status.st_size for _, status in self._files()]
        return len(sizes), sum(sizes)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                with contextlib.suppress(OSError):
                    status = path.lstat()
                    if _NAME.fullmatch(path.name) and S_ISREG(status.st_mode):
                        yield path, status


def _checksum(text: str, confidence: float) -> int:
    return crc32(json.dumps([text, confidence]).encode())
