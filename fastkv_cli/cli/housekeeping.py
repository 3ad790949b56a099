"""The commands of `fastkv cache`: list, verify and remove stored document states."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from os.path import basename
from typing import TYPE_CHECKING

from ..errors import FastKVError, OutputError, UsageError
from ..output.console import AnswerWriter, Messages, ask_yes, is_at_terminal, stderr_console
from ..output.render import store_tables
from ..output.render.store_tables import count_states
from ..output.render.table_text import render_text
from ..settings import store_limit_bytes
from ..sizes import format_size
from ..store import StateEntry, StateStore, default_store_dir
from ..store.ocr_pages import OcrPageStore

if TYPE_CHECKING:
    from rich.table import Table

_MIN_KEY_DIGITS = 4
_UNLIMITED_COLUMNS = 100_000
_MAX_KEYS_SHOWN = 10  # in an error, which is one line


def show_path() -> None:
    """Print the folder of the states."""
    write_text(f"{default_store_dir()}")


def list_states(*, json: bool, quiet: bool) -> None:
    """Print the stored states, as a table or as JSON."""
    messages = _messages(quiet)
    store = _open_store(messages)
    entries = store.entries()
    if json:
        write_text(store_tables.list_json(entries, store.folder, store.limit_bytes))
    elif entries:
        write_tables(*store_tables.list_tables(entries, store.limit_bytes))
    else:
        messages.note(f"no states are stored in {store.folder}")
    num_pages, size = OcrPageStore().size()
    if num_pages and not json:
        messages.note(f"also kept: {_count_pages(num_pages)}, {format_size(size)}")


def verify_states(*, json: bool, quiet: bool) -> None:
    """Verify all stored states, and print the result.

    Raises:
        FastKVError: when a state is damaged.
    """
    messages = _messages(quiet)
    store = _open_store(messages)
    verdicts = store.verify()
    if json:
        write_text(store_tables.verify_json(verdicts, store.folder))
    elif verdicts:
        write_tables(store_tables.verify_table(verdicts))
    else:
        messages.note(f"no states are stored in {store.folder}")
    states = [(entry, problem) for entry, problem in verdicts if isinstance(entry, StateEntry)]
    broken = [entry.key for entry, problem in states if problem]
    if broken:
        keys = " ".join(broken) if len(broken) <= _MAX_KEYS_SHOWN else "KEY…"
        raise FastKVError(
            f"{len(broken)} of {count_states(len(states))} cannot be used",
            f"remove them with fastkv cache rm {keys}; the next run computes them again",
        )


def remove_states(names: Sequence[str], *, quiet: bool) -> None:
    """Remove states by key or document.

    Raises:
        UsageError: when a name matches no state, or the start of a key matches several.
        OutputError: when one cannot be removed.
    """
    messages = _messages(quiet)
    store = _open_store(messages)
    entries = store.entries()
    chosen = {entry.digest for name in names for entry in _matching(entries, name)}
    _remove(store, chosen, messages)


def remove_all(*, yes: bool, quiet: bool) -> None:
    """Remove all states.

    Args:
        yes: do not ask for confirmation.
        quiet: print only errors on stderr.

    Raises:
        UsageError: when confirmation is needed, and there is no terminal to ask on.
        OutputError: when one cannot be removed.
    """
    if not (yes or is_at_terminal()):
        raise UsageError("--all asks for confirmation, and there is no terminal", "add --yes")
    messages = _messages(quiet)
    store = _open_store(messages)
    entries = store.entries()
    what = (
        f"{count_states(len(entries))}, {format_size(sum(entry.file_bytes for entry in entries))}"
    )
    if entries and not yes and not ask_yes(f"Remove {what}?"):
        messages.note("nothing was removed")
        return
    _remove(store, {entry.digest for entry in entries}, messages)
    _prune_pages(0, messages)


def prune_states(limit_bytes: int | None, older_than_s: float | None, *, quiet: bool) -> None:
    """Remove the least recently used states.

    Args:
        limit_bytes: the most bytes of the remaining states; None is the store's limit.
        older_than_s: also remove states not used for this many seconds; None removes none for
            their age.
        quiet: print only errors on stderr.

    Raises:
        OutputError: when one cannot be removed.
    """
    messages = _messages(quiet)
    store = _open_store(messages)
    limit = store.limit_bytes if limit_bytes is None else limit_bytes
    _report_removed(store, store.prune(limit, older_than_s), messages)
    _prune_pages(limit, messages)
    if store.total_bytes > limit:
        raise _cannot_remove(store)


def _prune_pages(limit_bytes: int, messages: Messages) -> None:
    if num_removed := OcrPageStore().prune(limit_bytes):
        messages.note(f"also removed: {_count_pages(num_removed)}")


def _count_pages(number: int) -> str:
    return f"the text of {number:,} recognized page{'s' if number > 1 else ''} (OCR)"


def _open_store(messages: Messages) -> StateStore:
    store = StateStore(default_store_dir(), store_limit_bytes(), messages.warn)
    store.is_trusted()  # warns if others can write to it
    return store


def _messages(quiet: bool) -> Messages:
    return Messages(stderr_console(), quiet=quiet)


def write_text(text: str) -> None:
    """Write to stdout, ended by a newline."""
    writer = AnswerWriter(None, force=False)
    writer.write(text)
    writer.finish()


def write_tables(*tables: Table | str) -> None:
    """Print tables in the width of the terminal; in a pipe no line is wrapped."""
    at_terminal = sys.stdout is not None and sys.stdout.isatty()
    columns = shutil.get_terminal_size().columns if at_terminal else _UNLIMITED_COLUMNS
    text = render_text(*tables, columns=columns)
    write_text("\n".join(line.rstrip() for line in text.splitlines()))


def _matching(entries: Sequence[StateEntry], name: str) -> list[StateEntry]:
    """The states of a document, by its path or file name, or the one whose key begins with `name`.

    Raises:
        UsageError: when no state matches, or several keys begin with it.
    """
    found = [entry for entry in entries if name in entry.documents] or [
        entry for entry in entries if name in map(basename, entry.documents)
    ]
    if not found and len(name) >= _MIN_KEY_DIGITS:
        found = [entry for entry in entries if entry.digest.startswith(name.lower())]
        if len(found) > 1:
            keys = " and ".join(entry.digest for entry in found[:2])
            raise UsageError(
                f"key {name} matches {count_states(len(found))}", f"give more digits: {keys}"
            )
    if not found:
        raise UsageError(
            f"no state has the key or document {name!r}", "list them with fastkv cache ls"
        )
    return found


def _remove(store: StateStore, digests: set[str], messages: Messages) -> None:
    _report_removed(store, store.remove(digests), messages)
    if any(entry.digest in digests for entry in store.entries()):
        raise _cannot_remove(store)


def _report_removed(store: StateStore, removed: Sequence[StateEntry], messages: Messages) -> None:
    for entry in removed:
        messages.note(f"removed {store_tables.describe_entry(entry)}")
    size = format_size(sum(entry.file_bytes for entry in removed))
    left = f"{count_states(len(store.entries()))} left, {format_size(store.total_bytes)}"
    with suppress(OSError):  # the folder may not exist
        left += f"; {format_size(shutil.disk_usage(store.folder).free)} free on the disk"
    messages.note(f"{count_states(len(removed))} removed, {size}; {left}")


def _cannot_remove(store: StateStore) -> OutputError:
    return OutputError(
        f"cannot remove all of these states from {store.folder}", "check its permissions"
    )
