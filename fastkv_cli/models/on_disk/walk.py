"""Lists the files below a folder of another program; reads only, and always ends."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

MAX_FILES = 50_000


@dataclass(slots=True)
class Walk:
    """The files below a folder.

    Attributes:
        files: sorted by their paths.
        problems: what cannot be read, each with the reason.
    """

    files: list[Path] = field(default_factory=list)
    problems: list[tuple[Path, str]] = field(default_factory=list)


def walk(root: Path, depth: int, suffix: str = "") -> Walk:
    """List the files at most `depth` folders below a folder; one that is missing has none.

    Links are followed, as people link models from one program's folder into another's; a folder is
    entered once, so that links in a circle end.

    Args:
        root: the folder.
        depth: 0 lists the files directly in it.
        suffix: of the files to list, in lower case; broken links to others are not reported.
    """
    found, seen = Walk(), set[tuple[int, int]]()
    _enter(root, depth, suffix, found, seen)
    return found


def reason_of(error: OSError) -> str:
    """The system's words for an error, or the error's own."""
    return error.strerror or str(error)


def _enter(folder: Path, depth: int, suffix: str, found: Walk, seen: set[tuple[int, int]]) -> None:
    try:
        facts = folder.stat()
        if (facts.st_dev, facts.st_ino) in seen:
            return
        seen.add((facts.st_dev, facts.st_ino))
        with os.scandir(folder) as scan:
            entries = sorted(islice(scan, MAX_FILES + 1), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        found.problems.append((folder, f"cannot be read ({reason_of(error)})"))
        return
    folders = []
    for entry in entries:
        if len(found.files) >= MAX_FILES:
            found.problems.append((folder, f"holds more than {MAX_FILES:,} files: not all listed"))
            return
        kind = _kind(entry)
        path, is_wanted = Path(entry.path), entry.name.lower().endswith(suffix)
        if kind == "folder":
            folders.append(path)
        elif kind == "file" and is_wanted:
            found.files.append(path)
        elif kind != "file" and is_wanted and suffix:
            found.problems.append((path, kind))
    for path in folders if depth else ():
        _enter(path, depth - 1, suffix, found, seen)


def _kind(entry: os.DirEntry[str]) -> str:
    """`folder`, `file`, or what is wrong with an entry."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
        return "is a broken link" if entry.is_symlink() else "is not a file"
    except OSError as error:  # a link to itself
        return f"cannot be read ({reason_of(error)})"
