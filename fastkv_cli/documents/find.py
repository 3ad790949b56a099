"""Resolve the user's arguments to documents: files, folders, and shell-like patterns."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path, PurePath

from ..config import ReadOptions
from ..errors import DocumentError, FastKVError, UsageError
from .document import Document
from .formats import PDF_SUFFIX, SUFFIXES
from .load import AskPassword, OnPage, load_document
from .members import split_member
from .ocr.scans import NO_OBSERVER, ScanObserver
from .search import MAX_SUFFIXES_SHOWN, Found, Search, real_path
from .source import STDIN, check_found, check_source, is_url, label

_MAX_ENTRIES = 100_000  # maximum files and folders scanned in one folder
_WILDCARD = re.compile(r"[*?\[]")
_HIDDEN_PART = re.compile(r"(?:^|[/\\])\.[^./\\]")
_DIGITS = re.compile(r"([0-9]+)")
_NO_SUFFIX = "without a suffix"
_DEFAULTS = ReadOptions()


def find_documents(sources: Sequence[str]) -> tuple[list[Found], list[str]]:
    """Find the documents that the sources stand for, each once.

    A folder stands for the documents in it and below it, recognized by their suffixes, in natural
    order and without hidden ones. Links to folders are not followed, and links to files only if
    they stay inside the folder: a link in a folder from somebody else could point to any file of
    the user's. A name with `*`, `?` or `[…]` that is not an existing file stands for the files that
    it matches (`**` for any folders).

    Args:
        sources: Files, folders and patterns; "-" is standard input.

    Returns:
        The documents, in the order given, and notes on what was left out, one line each.

    Raises:
        DocumentError: when a folder holds no document, a pattern matches none, or there are more
            than 1,000.
    """
    search = Search()
    for source in sources:
        if source == STDIN:
            search.add(source, is_named=True)
        elif _is_folder(source):
            _add_folder(search, source)
        elif is_pattern(source):
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
    scan_observer: ScanObserver = NO_OBSERVER,
) -> tuple[list[Document], list[str]]:
    """Find and load documents, in order; named ones are checked before any is loaded.

    A document that cannot be read is an error if it was named, and a warning if it was found in a
    folder or by a pattern.

    Args:
        sources: As for `find_documents`; "-", at most once, is standard input.
        options: Applied to every document.
        on_page: As for `load_document`; the counts start again with each document.
        ask_password: As for `load_document`.
        scan_observer: As for `load_document`.

    Returns:
        The documents, and warnings about the whole set, one line each.

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
        if each.is_named and not options.url:
            check_source(each.path)
    documents: list[Document] = []
    failures: list[FastKVError] = []
    for each in found:
        try:
            if not each.is_named:
                check_found(each.path)
            documents.append(
                load_document(
                    each.path,
                    options,
                    on_page=on_page,
                    ask_password=ask_password,
                    scan_observer=scan_observer,
                )
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
    if is_url(text) and not text.split()[1:]:
        return True
    try:
        return (
            split_member(text) is not None
            or _exists(text)
            or (is_pattern(text) and any(match_pattern(text)))
        )
    except (OSError, ValueError):  # too long for a path, or with characters no path can hold
        return False


def natural_key(path: str) -> list[list[str | int]]:
    """Sort key in natural order: `page 9` before `page 10`, ignoring case."""
    return [
        [int(part) if part.isdecimal() and part.isascii() else part.casefold() for part in parts]
        for parts in map(_DIGITS.split, PurePath(path).parts)
    ]


def _is_folder(source: str) -> bool:
    try:
        return Path(source).is_dir() and source != ""
    except (OSError, ValueError):
        return False


def is_pattern(source: str) -> bool:
    """Whether it can only be a pattern: no file has that name, and it is not a URL."""
    return _WILDCARD.search(source) is not None and "://" not in source and not _exists(source)


def _exists(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _add_folder(search: Search, folder: str) -> None:
    found, skipped = _documents_in(search, folder, real_path(folder))
    if not found:
        _refuse_links(search, folder)
        others = "" if not skipped else f" ({', '.join(list(skipped)[:MAX_SUFFIXES_SHOWN])})"
        raise DocumentError(
            f"{label(folder)} holds no document{label(others)}",
            f"documents in folders end in {', '.join([PDF_SUFFIX, *SUFFIXES])}",
        )
    search.skipped += skipped
    for path in found:
        search.add(path, is_named=False)


def _refuse_links(search: Search, source: str) -> None:
    """Raise if a folder or pattern holds nothing but links that are not followed."""
    if search.links_out:
        raise DocumentError(
            f"{label(source)} holds no document but links that lead out of it: "
            f"{search.names_of_links}",
            "name the files that they lead to",
        )


def _documents_in(search: Search, folder: str, root: str) -> tuple[list[str], Counter[str]]:
    """The documents in a folder and below, in natural order, and a count of other suffixes.

    Links that point outside `root`, a real path, are left out.
    """
    found: list[str] = []
    skipped = Counter[str]()
    for path in _walk(search, folder):
        suffix = PurePath(path).suffix.lower()
        if not is_known_suffix(suffix):
            skipped[suffix or _NO_SUFFIX] += 1
        elif not search.links_out_of(path, root):
            found.append(path)
    return sorted(found, key=natural_key), skipped


def _walk(search: Search, folder: str) -> Iterator[str]:
    """All files in a folder and below, without hidden ones."""

    def count_unreadable(_: OSError) -> None:
        search.num_unreadable += 1

    num_entries = 0
    for parent, folders, files in os.walk(folder, onerror=count_unreadable):
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


def _add_matches(search: Search, pattern: str) -> None:
    """Add the matches of a pattern; a matched folder stands for the documents in it."""
    suffix = PurePath(pattern).suffix
    takes_all = bool(suffix) and _WILDCARD.search(suffix) is None
    try:
        matches = sorted(match_pattern(pattern), key=natural_key)
    except (OSError, ValueError):
        matches = []
    found: list[str] = []
    skipped = Counter[str]()
    root = real_path(str(fixed_part(pattern)))
    for path in matches:
        suffix = PurePath(path).suffix.lower()
        if Path(path).is_dir():
            # `**` matches the contents of the folder by itself
            if "**" not in pattern and not search.links_out_of(path, root):
                inside, others = _documents_in(search, path, root)
                found += inside
                skipped += others
        elif not (takes_all or is_known_suffix(suffix)):
            skipped[suffix or _NO_SUFFIX] += 1
        elif not search.links_out_of(path, root):
            found.append(path)
    if not found:
        _refuse_links(search, pattern)
        raise DocumentError(
            f"{label(pattern)} does not exist, and as a pattern it matches no document",
            "check the path and the spelling",
        )
    search.skipped += skipped
    for path in found:
        search.add(path, is_named=False)


def fixed_part(pattern: str) -> Path:
    """The folder that the user named: all parts before the first wildcard."""
    parts = PurePath(pattern).parts
    named = takewhile(lambda part: _WILDCARD.search(part) is None, parts)
    return Path(*named)


def match_pattern(pattern: str, most: int = 0) -> Iterator[str]:
    """The matches of a pattern; hidden names only if it spells a dot. Links are not followed.

    Raises:
        DocumentError: when there are more than `most`, or 100,000.
    """
    most = most or _MAX_ENTRIES
    path = Path(pattern)
    if path.name == "**":  # matches files as well, which some Python versions do not do
        path /= "*"
    start, rest = Path(path.anchor), str(path.relative_to(path.anchor))
    spells_dots = _HIDDEN_PART.search(pattern) is not None
    for number, match in enumerate(start.glob(rest)):
        if number > most:
            raise DocumentError(f"{label(pattern)} matches more than {most:,} files", "name fewer")
        if spells_dots or not any(map(_is_hidden, match.parts)):
            yield str(match)


def _is_hidden(part: str) -> bool:
    return part.startswith(".") and part != ".."


def is_known_suffix(suffix: str) -> bool:
    """Whether files in folders that end in it, in lower case, are documents."""
    return suffix == PDF_SUFFIX or suffix in SUFFIXES
