"""What a search for documents has found so far, and what the user should know of it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DocumentError
from .source import STDIN, label

MAX_DOCUMENTS = 1000
MAX_SUFFIXES_SHOWN = 5
_MAX_LINKS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A document to read, and whether it was named itself or found in a folder or by a pattern."""

    path: str
    is_named: bool


@dataclass(slots=True)
class Search:
    """What was found so far."""

    found: dict[str, Found] = field(default_factory=dict)  # by the real path, in order
    skipped: Counter[str] = field(default_factory=Counter)  # suffixes of files that are none
    links_out: list[str] = field(default_factory=list)  # not followed
    num_again: int = 0
    num_closed: int = 0

    def add(self, path: str, *, is_named: bool) -> None:
        """Take a document, unless it is there already by this or another path.

        Raises:
            DocumentError: when they are more than are read at once.
        """
        key = path if path == STDIN else real_path(path)
        if key in self.found:
            self.num_again += 1
        self.found.setdefault(key, Found(path, is_named))
        if len(self.found) > MAX_DOCUMENTS:
            raise DocumentError(
                f"these are more than {MAX_DOCUMENTS:,} documents, the most that are read at once",
                "name fewer, for example one folder at a time",
            )

    def leaves(self, path: str, root: str) -> bool:
        """Whether a path leads out of a folder by a link; it is noted then, and not to be read.

        Args:
            path: of a file or folder that was found.
            root: the real path of the folder that was named.
        """
        if Path(real_path(path)).is_relative_to(root):
            return False
        self.links_out.append(path)
        return True

    @property
    def names_of_links(self) -> str:
        """The first links that were not followed, for a message."""
        shown = ", ".join(map(label, self.links_out[:_MAX_LINKS_SHOWN]))
        return f"{shown}, …" if len(self.links_out) > _MAX_LINKS_SHOWN else shown

    def notes(self) -> list[str]:
        """What the user should know of it, one line each."""
        notes = []
        if self.num_again:
            what = "1 file" if self.num_again == 1 else f"{self.num_again:,} files"
            notes.append(f"{what} given more than once: read once")
        if self.skipped:
            number = self.skipped.total()
            suffixes = [suffix for suffix, _ in self.skipped.most_common(MAX_SUFFIXES_SHOWN)]
            more = ", …" if len(self.skipped) > len(suffixes) else ""
            what = "1 other file" if number == 1 else f"{number:,} other files"
            notes.append(f"{what} skipped: {label(', '.join(suffixes))}{more}")
        if self.links_out:
            one = len(self.links_out) == 1
            what = "1 link leads" if one else f"{len(self.links_out):,} links lead"
            notes.append(
                f"{what} out of the folder and {'is' if one else 'are'} not followed: "
                f"{self.names_of_links}"
            )
        if self.num_closed:
            what = "1 folder" if self.num_closed == 1 else f"{self.num_closed:,} folders"
            notes.append(f"{what} could not be opened and left out")
        return notes


def real_path(path: str) -> str:
    """Without links, to know a file by; as it stands where the current folder was deleted."""
    try:
        return os.path.realpath(path)
    except OSError:
        return path
