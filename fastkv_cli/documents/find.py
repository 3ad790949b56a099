"""From what is named to the documents to read: files, folders, and patterns as in a shell."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from ..config import ReadOptions
from ..errors import DocumentError, FastKVError, UsageError
from .document import Document
from .formats import PDF_SUFFIX, SUFFIXES
from .load import AskPassword, OnPage, load_document
from .source import STDIN, check_found, check_source, label

MAX_DOCUMENTS = 1000
_MAX_ENTRIES = 100_000  # files and folders looked at in one folder
_WILDCARD = re.compile(r"[*?\[]")
_DIGITS = re.compile(r"([0-9]+)")
_MAX_SUFFIXES_SHOWN = 5
_NO_SUFFIX = "without a suffix"
_DEFAULTS = ReadOptions()


@dataclass(frozen=True, slots=True)
class Found:
    """A document to read, and whether it was named itself or found in a folder or by a pattern."""

    path: str
    is_named: bool


@dataclass(slots=True)
class _Search:
    """What was found so far."""

    found: dict[str, Found] = field(default_factory=dict)  # by the real path, in order
    skipped: Counter[str] = field(default_factory=Counter)  # suffixes of files that are none
    num_again: int = 0
    num_closed: int = 0

    def add(self, path: str, *, is_named: bool) -> None:
        key = path if path == STDIN else _real_path(path)
        if key in self.found:
            self.num_again += 1
        self.found.setdefault(key, Found(path, is_named))
        if len(self.found) > MAX_DOCUMENTS:
            raise DocumentError(
                f"these are more than {MAX_DOCUMENTS:,} documents, the most that are read at once",
                "name fewer, for example one folder at a time",
            )

    def notes(self) -> list[str]:
        """What the user should know of it, one line each."""
        notes = []
        if self.num_again:
            what = "1 file" if self.num_again == 1 else f"{self.num_again:,} files"
            notes.append(f"{what} given more than once: read once")
        if self.skipped:
            number = self.skipped.total()
            suffixes = [suffix for suffix, _ in self.skipped.most_common(_MAX_SUFFIXES_SHOWN)]
            more = ", …" if len(self.skipped) > len(suffixes) else ""
            what = "1 other file" if number == 1 else f"{number:,} other files"
            notes.append(f"{what} skipped: {label(', '.join(suffixes))}{more}")
        if self.num_closed:
            what = "1 folder" if self.num_closed == 1 else f"{self.num_closed:,} folders"
            notes.append(f"{what} could not be opened and left out")
        return notes


def find_documents(sources: Sequence[str]) -> tuple[list[Found], list[str]]:
    """The documents that are meant, each once.

    A folder stands for the documents in it and below it, told by their suffixes, in natural order
    and without hidden ones; links to folders are not followed. A name with `*`, `?` or `[…]` that
    is no file's stands for the files that it matches (`**` for any folders).

    Args:
        sources: Files, folders and patterns; "-" is standard input.

    Returns:
        The documents, in the order given, and notes on what was left out, one line each.

    Raises:
        DocumentError: when a folder holds no document, a pattern matches none, or they are more
            than 1,000.
    """
    search = _Search()
    for source in sources:
        if source == STDIN:
            search.add(source, is_named=True)
        elif _is_folder(source):
            _add_folder(search, source)
        elif _is_pattern(source):
            _add_matches(search, source)
        else:
            search.add(source, is_named=True)
    return list(search.found.values()), search.notes()


def load_all(
    sources: Sequence[str],
    options: ReadOptions = _DEFAULTS,
    *,
    on_page: OnPage | None = None,
    ask_password: AskPassword | None = None,
) -> tuple[list[Document], list[str]]:
    """Find documents and read them, in order; named ones are looked up before any is read.

    A document that cannot be read is an error if it was named, and a warning if it was found.

    Args:
        sources: As for `find_documents`; "-", at most once, is standard input.
        options: Applied to every document.
        on_page: As for `load_document`; the counts start again with each document.
        ask_password: As for `load_document`.

    Returns:
        The documents, and warnings about the whole, one line each.

    Raises:
        UsageError: when there is no source or "-" occurs twice, and as `load_document`.
        EncryptedError: as `load_document`.
        DocumentError: as `find_documents` and `load_document`, and when none of those found can be
            read.
    """
    if not sources:
        raise UsageError("no document is named", "name a file, or - for standard input")
    if sources.count(STDIN) > 1:
        raise UsageError("standard input can be read only once", "give - once")
    found, warnings = find_documents(sources)
    for each in found:
        if each.is_named:
            check_source(each.path)
    documents: list[Document] = []
    failures: list[FastKVError] = []
    for each in found:
        try:
            if not each.is_named:
                check_found(each.path)
            documents.append(
                load_document(each.path, options, on_page=on_page, ask_password=ask_password)
            )
        except (DocumentError, UsageError) as error:
            if each.is_named or len(found) == 1:
                raise
            failures.append(error)
            warnings.append(f"left out: {error}")
    if not documents:
        raise DocumentError(
            f"none of the {len(failures)} documents found could be read",
            f"the first: {failures[0]}",
        )
    return documents, warnings


def names_documents(text: str) -> bool:
    """Whether a text is the name of a file or folder, or a pattern that matches one."""
    try:
        return _exists(text) or (_is_pattern(text) and any(_matches(text)))
    except (OSError, ValueError):  # too long to be a path, or holding what no path holds
        return False


def natural_key(path: str) -> list[list[str | int]]:
    """Sorts as people count: `page 9` before `page 10`, whatever the case of letters."""
    return [
        [int(part) if part.isdecimal() and part.isascii() else part.casefold() for part in parts]
        for parts in map(_DIGITS.split, PurePath(path).parts)
    ]


def _real_path(path: str) -> str:
    """Without links, to know a file by; as it stands where the current folder was deleted."""
    try:
        return os.path.realpath(path)
    except OSError:
        return path


def _is_folder(source: str) -> bool:
    try:
        return Path(source).is_dir() and source != ""
    except (OSError, ValueError):
        return False


def _is_pattern(source: str) -> bool:
    """Whether it can only be a pattern: no file has that name, and it is no address."""
    return _WILDCARD.search(source) is not None and "://" not in source and not _exists(source)


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _add_folder(search: _Search, folder: str) -> None:
    found, skipped = _documents_in(search, folder)
    if not found:
        others = "" if not skipped else f" ({', '.join(list(skipped)[:_MAX_SUFFIXES_SHOWN])})"
        raise DocumentError(
            f"{label(folder)} holds no document{label(others)}",
            f"what is read in folders ends in {', '.join([PDF_SUFFIX, *SUFFIXES])}",
        )
    search.skipped += skipped
    for path in found:
        search.add(path, is_named=False)


def _documents_in(search: _Search, folder: str) -> tuple[list[str], Counter[str]]:
    """The documents in a folder and below, in natural order, and the suffixes of what is none."""
    found: list[str] = []
    skipped = Counter[str]()
    for path in _walk(search, folder):
        suffix = PurePath(path).suffix.lower()
        if _is_known(suffix):
            found.append(path)
        else:
            skipped[suffix or _NO_SUFFIX] += 1
    return sorted(found, key=natural_key), skipped


def _walk(search: _Search, folder: str) -> Iterator[str]:
    """All files in a folder and below that are not hidden."""

    def count_closed(_: OSError) -> None:
        search.num_closed += 1

    num_entries = 0
    for parent, folders, files in os.walk(folder, onerror=count_closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        num_entries += len(folders) + len(files)
        if num_entries > _MAX_ENTRIES:
            raise DocumentError(
                f"{label(folder)} holds more than {_MAX_ENTRIES:,} files and folders",
                "name the folder that matters",
            )
        for name in files:
            if not name.startswith("."):
                yield os.path.join(parent, name)  # noqa: PTH118 (Path would drop a leading ./)


def _add_matches(search: _Search, pattern: str) -> None:
    """Add what a pattern matches; folders among it stand for what is in them, as in a shell."""
    suffix = PurePath(pattern).suffix
    takes_all = bool(suffix) and _WILDCARD.search(suffix) is None
    try:
        matches = sorted(_matches(pattern), key=natural_key)
    except (OSError, ValueError):
        matches = []
    found: list[str] = []
    skipped = Counter[str]()
    for path in matches:
        suffix = PurePath(path).suffix.lower()
        if Path(path).is_dir():
            if "**" not in pattern:  # which matches what is in the folder by itself
                inside, others = _documents_in(search, path)
                found += inside
                skipped += others
        elif takes_all or _is_known(suffix):
            found.append(path)
        else:
            skipped[suffix or _NO_SUFFIX] += 1
    if not found:
        raise DocumentError(
            f"{label(pattern)} does not exist, and as a pattern it matches no document",
            "check the path and the spelling",
        )
    search.skipped += skipped
    for path in found:
        search.add(path, is_named=False)


def _matches(pattern: str) -> Iterator[str]:
    """What a pattern matches; hidden names only where it spells a dot. Links are not followed."""
    path = Path(pattern)
    if path.name == "**":  # stands for files as well, which not every Python knows
        path /= "*"
    start, rest = Path(path.anchor), str(path.relative_to(path.anchor))
    spells_dots = re.search(r"(?:^|[/\\])\.[^./\\]", pattern) is not None
    for number, match in enumerate(start.glob(rest)):
        if number > _MAX_ENTRIES:
            raise DocumentError(
                f"{label(pattern)} matches more than {_MAX_ENTRIES:,} files", "name fewer"
            )
        if spells_dots or not any(map(_is_hidden, match.parts)):
            yield str(match)


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part != ".."


def _is_known(suffix: str) -> bool:
    return suffix == PDF_SUFFIX or suffix in SUFFIXES
