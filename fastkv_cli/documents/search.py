"""The results of a search for documents, and the notes on it for the user."""

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
    """A document to read; `is_named` unless it was found in a folder or by a pattern."""

    path: str
    is_named: bool


@dataclass(slots=True)
class Search:
    """The results so far."""

    found: dict[str, Found] = field(default_factory=dict)  # by real path, in order
    skipped: Counter[str] = field(default_factory=Counter)  # suffixes of other files
    links_out: list[str] = field(default_factory=list)  # not followed
    num_repeated: int = 0
    num_unreadable: int = 0

    def add(self, path: str, *, is_named: bool) -> None:
        """Add a document, unless it is there already by this or another path.

        Raises:
            DocumentError: when there are more than 1,000.
        """
        key = path if path == STDIN else real_path(path)
        if key in self.found:
            self.num_repeated += 1
        self.found.setdefault(key, Found(path, is_named))
        if len(self.found) > MAX_DOCUMENTS:
            raise DocumentError(
                f"these are more than {MAX_DOCUMENTS:,} documents, the limit for one run",
                "name fewer, for example one folder at a time",
            )

    def links_out_of(self, path: str, root: str) -> bool:
        """Whether a path leads out of a folder by a link; if so, record the link.

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
        """Notes for the user, one line each."""
        notes = []
        if self.num_repeated:
            what = "1 file" if self.num_repeated == 1 else f"{self.num_repeated:,} files"
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
        if self.num_unreadable:
            what = "1 folder" if self.num_unreadable == 1 else f"{self.num_unreadable:,} folders"
            notes.append(f"{what} could not be opened and left out")
        return notes


def real_path(path: str) -> str:
    """The path with links resolved, as identity; unchanged if the current folder was deleted."""
    try:
        return os.path.realpath(path)
    except OSError:
        return path
