"""The road of `fastkv cache`: looking at the states that are kept, and removing some."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from os.path import basename
from typing import TYPE_CHECKING

from ..config import store_limit_bytes
from ..errors import FastKVError, OutputError, UsageError
from ..output.console import AnswerWriter, Messages, ask_yes, is_at_terminal, stderr_console
from ..output.render import store_tables as inventory
from ..output.render.store_tables import count_states
from ..output.render.table_text import render_text
from ..sizes import format_size
from ..store import StateEntry, StateStore, default_store_dir

if TYPE_CHECKING:
    from rich.table import Table

_MIN_KEY_DIGITS = 4
_NO_WIDTH = 100_000
_MANY = 10  # keys are too much for a line


def show_path() -> None:
    """Write where states are kept."""
    _write(f"{default_store_dir()}")


def list_states(*, json: bool, quiet: bool) -> None:
    """Write what is kept."""
    messages = _messages(quiet)
    store = _open_store(messages)
    entries = store.entries()
    if json:
        _write(inventory.list_json(entries, store.folder, store.limit_bytes))
    elif entries:
        _write_tables(*inventory.list_tables(entries, store.limit_bytes))
    else:
        messages.note(f"nothing is kept in {store.folder}")


def verify_states(*, json: bool, quiet: bool) -> None:
    """Check all that is kept, and write what was found.

    Raises:
        FastKVError: when a state is not sound.
    """
    messages = _messages(quiet)
    store = _open_store(messages)
    verdicts = store.verify()
    if json:
        _write(inventory.verify_json(verdicts, store.folder))
    elif verdicts:
        _write_tables(inventory.verify_table(verdicts))
    else:
        messages.note(f"nothing is kept in {store.folder}")
    states = [(entry, problem) for entry, problem in verdicts if isinstance(entry, StateEntry)]
    broken = [entry.key for entry, problem in states if problem]
    if broken:
        keys = " ".join(broken) if len(broken) <= _MANY else "KEY…"
        raise FastKVError(
            f"{len(broken)} of {count_states(len(states))} cannot be used",
            f"remove with fastkv cache rm {keys}; the texts are then read again",
        )


def remove_states(names: Sequence[str], *, quiet: bool) -> None:
    """Remove states by their keys or documents.

    Raises:
        UsageError: when a name is that of none, or a key that of several.
        OutputError: when one cannot be removed.
    """
    messages = _messages(quiet)
    store = _open_store(messages)
    entries = store.entries()
    chosen = {entry.digest for name in names for entry in _named(entries, name)}
    _remove(store, chosen, messages)


def remove_all(*, yes: bool, quiet: bool) -> None:
    """Remove all states.

    Args:
        yes: ask nobody.
        quiet: nothing on stderr but errors.

    Raises:
        UsageError: when somebody has to be asked and nobody is there.
        OutputError: when one cannot be removed.
    """
    if not (yes or is_at_terminal()):
        raise UsageError("nobody can be asked about --all", "give --yes as well")
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


def prune_states(limit_bytes: int | None, older_than_s: float | None, *, quiet: bool) -> None:
    """Remove the least recently used states.

    Args:
        limit_bytes: the most that the others may take; None is the usual limit.
        older_than_s: whatever was not used for so many seconds goes; None is no bound.
        quiet: nothing on stderr but errors.

    Raises:
        OutputError: when one cannot be removed.
    """
    messages = _messages(quiet)
    store = _open_store(messages)
    limit = store.limit_bytes if limit_bytes is None else limit_bytes
    _tell_removed(store, store.prune(limit, older_than_s), messages)
    if store.total_bytes > limit:
        raise _cannot_remove(store)


def _open_store(messages: Messages) -> StateStore:
    store = StateStore(default_store_dir(), store_limit_bytes(), messages.warn)
    store.is_trusted()  # which it says where it is not
    return store


def _messages(quiet: bool) -> Messages:
    return Messages(stderr_console(), quiet=quiet)


def _write(text: str) -> None:
    writer = AnswerWriter(None, force=False)
    writer.write(text)
    writer.finish()


def _write_tables(*tables: Table | str) -> None:
    """As wide as the terminal is; in a pipe no line is broken."""
    is_seen = sys.stdout is not None and sys.stdout.isatty()
    text = render_text(
        *tables, columns=shutil.get_terminal_size().columns if is_seen else _NO_WIDTH
    )
    _write("\n".join(line.rstrip() for line in text.splitlines()))


def _named(entries: Sequence[StateEntry], name: str) -> list[StateEntry]:
    """The states of a document, by its path or its name, or the one that a key begins."""
    found = [entry for entry in entries if name in entry.documents] or [
        entry for entry in entries if name in map(basename, entry.documents)
    ]
    if not found and len(name) >= _MIN_KEY_DIGITS:
        found = [entry for entry in entries if entry.digest.startswith(name.lower())]
        if len(found) > 1:
            keys = " and ".join(entry.digest for entry in found[:2])
            raise UsageError(
                f"key {name} begins {count_states(len(found))}", f"give more of it: {keys}"
            )
    if not found:
        raise UsageError(
            f"no state has the key or the document {name!r}", "fastkv cache ls shows all"
        )
    return found


def _remove(store: StateStore, digests: set[str], messages: Messages) -> None:
    _tell_removed(store, store.remove(digests), messages)
    if any(entry.digest in digests for entry in store.entries()):
        raise _cannot_remove(store)


def _tell_removed(store: StateStore, removed: Sequence[StateEntry], messages: Messages) -> None:
    for entry in removed:
        messages.note(f"removed {inventory.describe_entry(entry)}")
    size = format_size(sum(entry.file_bytes for entry in removed))
    kept = f"{count_states(len(store.entries()))} left, {format_size(store.total_bytes)}"
    with suppress(OSError):  # a folder that was never made
        kept += f"; {format_size(shutil.disk_usage(store.folder).free)} free on the disk"
    messages.note(f"{count_states(len(removed))} removed, {size}; {kept}")


def _cannot_remove(store: StateStore) -> OutputError:
    return OutputError(f"cannot remove all of it from {store.folder}", "check its permissions")
