"""The index of a batch: the state of every document, in one SQLite file.

The results are files, and those are the truth; the index can be made anew from them. It is in WAL
mode, with one short transaction a document: a killed process leaves it whole, and several runs of
one machine can write to it in turn. A million documents take 300 MB.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from ..errors import OutputError
from .entry import Claim, Entry, RunRecord, State

_BUSY_S = 60.0  # wait this long for another run's transaction
_HELD = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}  # primary error codes
_BATCH = 1000  # rows a transaction, where many are added
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    path BLOB PRIMARY KEY,  -- as bytes: names need not be UTF-8
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    state TEXT NOT NULL,
    key TEXT,               -- of its content; NULL before it was read
    exit_code INTEGER,
    message TEXT,
    pages INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_key ON documents (key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS waiting ON documents (path) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, run TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    started REAL NOT NULL,  -- seconds since 1970, as the next
    updated REAL NOT NULL,
    num_done INTEGER NOT NULL DEFAULT 0,
    num_failed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
"""


_FIELDS = "path, size, mtime_ns, state, key, exit_code, message"


class BatchIndex:
    """The index in a file; use it as a context manager, from one thread."""

    def __init__(self, path: Path, *, run: str = "") -> None:
        """Open the index, and make it where it is missing.

        Args:
            path: the file.
            run: the identifier of this run, for its claims; empty for a reader.

        Raises:
            OutputError: when it cannot be opened, here and in every method.
        """
        self._path, self._run = path, run
        with self._explained():
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
            self._begin_wal()
            # A crash of the machine may lose the last rows, never the file: their results are
            # found again, as each is synced before its row is written.
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.executescript(_SCHEMA)
            if run:
                now = time.time()
                self._connection.execute(
                    "INSERT INTO runs (id, started, updated) VALUES (?, ?, ?)", (run, now, now)
                )

    def _begin_wal(self) -> None:
        """Switch to WAL; retry while another run holds the file.

        SQLite's busy timeout does not apply here.
        """
        deadline = time.monotonic() + _BUSY_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in _HELD or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def __enter__(self) -> BatchIndex:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def add(self, found: Iterable[Entry]) -> int:
        """Add documents; those that are there stay as they are, unless the file has changed.

        Returns:
            How many were given.
        """
        entries, number = iter(found), 0
        while rows := list(islice(entries, _BATCH)):  # looked for outside the transaction
            number += len(rows)
            with self._transaction() as connection:
                connection.executemany(
                    f"INSERT INTO documents ({_FIELDS}) VALUES (?, ?, ?, ?, NULL, ?, ?) "  # noqa: S608 (constants)
                    "ON CONFLICT (path) DO UPDATE SET size = excluded.size, "
                    "mtime_ns = excluded.mtime_ns, state = excluded.state, key = NULL, "
                    "exit_code = excluded.exit_code, message = excluded.message, pages = NULL "
                    "WHERE documents.size <> excluded.size "
                    "OR documents.mtime_ns <> excluded.mtime_ns",
                    [
                        (
                            os.fsencode(entry.path),
                            *entry.signature,
                            entry.state,
                            entry.exit_code,
                            entry.message,
                        )
                        for entry in rows
                    ],
                )
        return number

    def retry_failed(self) -> int:
        """Put all failed documents back; gives their number."""
        with self._transaction() as connection:
            return connection.execute(
                "UPDATE documents SET state = 'waiting', exit_code = NULL, message = NULL "
                "WHERE state = 'failed'"
            ).rowcount

    def forget_results(self, is_there: Callable[[str], bool]) -> int:
        """Put documents back whose result is no longer there; gives their number."""
        with self._explained():
            keys = self._connection.execute(
                "SELECT DISTINCT key FROM documents WHERE key IS NOT NULL AND state = 'done'"
            )
            missing = [(key,) for (key,) in keys if not is_there(key)]
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE documents SET state = 'waiting' WHERE key = ? AND state = 'done'", missing
            )
        return len(missing)

    def count(self) -> dict[State, int]:
        """How many documents are in each state; reads the whole index."""
        with self._explained():
            counts = dict.fromkeys(State, 0)
            rows = self._connection.execute("SELECT state, count(*) FROM documents GROUP BY state")
            return counts | {State(state): number for state, number in rows}

    def pages(self) -> int:
        """The pages of all documents that are done."""
        with self._explained():
            (pages,) = self._connection.execute("SELECT total(pages) FROM documents").fetchone()
            return int(pages)

    def waiting(self, after: str, most: int) -> list[Entry]:
        """The next documents that are left, by path."""
        return self._select("state = 'waiting' AND path > ? ORDER BY path LIMIT ?", after, most)

    def entries(self, state: State | None = None) -> Iterator[Entry]:
        """All documents, or those in a state, by path; they are read as they are used."""
        after = ""
        condition = "" if state is None else f"state = '{state}' AND "
        while page := self._select(f"{condition}path > ? ORDER BY path LIMIT ?", after, _BATCH):
            yield from page
            after = page[-1].path

    def claim(
        self,
        entry: Entry,
        *,
        is_alive: Callable[[str], bool],
        has_result: Callable[[str], bool],
    ) -> tuple[Claim, int]:
        """Claim a document for this run, so that no other run works on the same content.

        Args:
            entry: with its key and the present signature.
            is_alive: whether a run is still at work, by its identifier.
            has_result: whether there is a result of a key.

        Returns:
            What came of it, and the number of documents that are settled by that.
        """
        with self._transaction() as connection:
            path = os.fsencode(entry.path)
            row = connection.execute("SELECT state FROM documents WHERE path = ?", (path,))
            if row.fetchone() != (State.WAITING,):
                return Claim.SETTLED, 1  # by another run
            connection.execute(
                "UPDATE documents SET key = ?, size = ?, mtime_ns = ? WHERE path = ?",
                (entry.key, *entry.signature, path),
            )
            holder = connection.execute("SELECT run FROM claims WHERE key = ?", (entry.key,))
            held = holder.fetchone()
            if held is not None and (held[0] == self._run or is_alive(held[0])):
                return Claim.HELD, 0
            # A holder writes the result before it ends its claim, so this sees it.
            if has_result(entry.key):
                number = self._settle(connection, entry.key, State.DONE, None, "", None)
                return Claim.SETTLED, number
            failed = connection.execute(
                "SELECT exit_code, message FROM documents WHERE key = ? AND state = 'failed'",
                (entry.key,),
            ).fetchone()
            if failed is not None:
                code, message = failed
                number = self._settle(connection, entry.key, State.FAILED, code, message, None)
                return Claim.SETTLED, number
            connection.execute(
                "INSERT OR REPLACE INTO claims VALUES (?, ?)", (entry.key, self._run)
            )
            return Claim.OURS, 0

    def finish(
        self,
        key: str,
        state: State,
        exit_code: int | None = None,
        message: str = "",
        pages: int | None = None,
    ) -> int:
        """End the work on a content: all documents that have it are done, or failed.

        Returns:
            The number of these documents.
        """
        with self._transaction() as connection:
            number = self._settle(connection, key, state, exit_code, message, pages)
            what = "num_done" if state is State.DONE else "num_failed"
            connection.execute(
                f"UPDATE runs SET {what} = {what} + ?, updated = ? WHERE id = ?",  # noqa: S608 (constants)
                (number, time.time(), self._run),
            )
            return number

    def fail(self, path: str, exit_code: int, message: str) -> None:
        """A document failed before its content was known."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE documents SET state = 'failed', exit_code = ?, message = ? "
                "WHERE path = ? AND state = 'waiting'",
                (exit_code, message, os.fsencode(path)),
            )
            connection.execute(
                "UPDATE runs SET num_failed = num_failed + 1, updated = ? WHERE id = ?",
                (time.time(), self._run),
            )

    def runs(self) -> list[RunRecord]:
        """All runs, the oldest first."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT id, started, updated, num_done, num_failed FROM runs ORDER BY started"
            )
            return [RunRecord(*row) for row in rows]

    def _settle(
        self,
        connection: sqlite3.Connection,
        key: str,
        state: State,
        exit_code: int | None,
        message: str,
        pages: int | None,
    ) -> int:
        connection.execute("DELETE FROM claims WHERE key = ?", (key,))
        return connection.execute(
            "UPDATE documents SET state = ?, exit_code = ?, message = ?, pages = ? "
            "WHERE key = ? AND state = 'waiting'",
            (state, exit_code, message, pages, key),
        ).rowcount

    def _select(self, condition: str, after: str, most: int) -> list[Entry]:
        with self._explained():
            rows = self._connection.execute(
                f"SELECT {_FIELDS} FROM documents WHERE {condition}",  # noqa: S608 (constants)
                (os.fsencode(after), most),
            ).fetchall()
        return [
            Entry(os.fsdecode(path), size, mtime_ns, State(state), key or "", code, message or "")
            for path, size, mtime_ns, state, key, code, message in rows
        ]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            is_damaged = not isinstance(error, sqlite3.OperationalError)
            hint = "remove it and run again: the results are kept, and found by their content"
            raise OutputError(
                f"cannot use the index {self._path} ({error})",
                hint if is_damaged else "free some space and check its permissions, then run again",
            ) from error
