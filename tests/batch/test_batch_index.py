"""The index of a batch: states, claims of several runs, and what is found again without it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fastkv_cli.batch.batch_index import BatchIndex
from fastkv_cli.batch.entry import Claim, Entry, State
from fastkv_cli.errors import OutputError

A, B, C = (Entry(f"/in/{name}.txt", 10, 1, key="") for name in "abc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.sqlite"


def claim(index: BatchIndex, entry: Entry, key: str, *alive: str, results: bool = False) -> Claim:
    return index.claim(
        replace(entry, key=key),
        is_alive=lambda run: run in alive,
        has_result=lambda _: results,
    )[0]


def test_documents_are_added_once_and_anew_where_they_changed(path: Path) -> None:
    with BatchIndex(path, run="one") as index:
        assert index.add([A, B]) == 2
        assert claim(index, A, "ka") is Claim.OURS
        assert index.finish("ka", State.DONE, pages=3) == 1
        index.add([A, B, C])
        assert index.count()[State.DONE] == 1
        assert [entry.path for entry in index.waiting("", 9)] == [B.path, C.path]
        assert [entry.path for entry in index.waiting(B.path, 9)] == [C.path]
        index.add([replace(A, mtime_ns=2)])
        assert index.count() == {
            State.WAITING: 3,
            State.DONE: 0,
            State.FAILED: 0,
            State.SKIPPED: 0,
        }


def test_one_content_is_claimed_by_one_run(path: Path) -> None:
    with BatchIndex(path, run="one") as one, BatchIndex(path, run="two") as two:
        one.add([A, B])
        assert claim(one, A, "same") is Claim.OURS
        assert claim(one, B, "same") is Claim.HELD  # by this run itself
        assert claim(two, A, "same", "one") is Claim.HELD
        assert claim(two, A, "same") is Claim.OURS  # run one was killed
        assert two.finish("same", State.DONE) == 2
        assert claim(one, A, "same", "two") is Claim.SETTLED
        assert [run.num_done for run in one.runs()] == [0, 2]


def test_results_and_failures_are_those_of_a_content(path: Path) -> None:
    with BatchIndex(path, run="one") as index:
        index.add([A, B, C])
        assert claim(index, A, "there", results=True) is Claim.SETTLED
        assert claim(index, B, "bad") is Claim.OURS
        assert index.finish("bad", State.FAILED, 3, "is empty") == 1
        assert claim(index, C, "bad") is Claim.SETTLED  # the same content fails the same way
        assert [entry.message for entry in index.entries(State.FAILED)] == ["is empty", "is empty"]
        assert index.retry_failed() == 2
        assert index.forget_results(lambda _: False) == 1
        assert index.count()[State.WAITING] == 3


def test_names_need_not_be_utf8(path: Path) -> None:
    odd = replace(A, path="/in/\udcff\n.txt")
    with BatchIndex(path, run="one") as index:
        index.add([odd])
        index.fail(odd.path, 3, "no")
        (found,) = index.entries(State.FAILED)
        assert (found.path, found.exit_code, found.message) == (odd.path, 3, "no")


def test_another_run_that_begins_the_log_is_waited_for(path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.executescript("CREATE TABLE held (x); BEGIN EXCLUSIVE")
    timer = threading.Timer(0.2, other.execute, ["COMMIT"])
    timer.start()
    with BatchIndex(path, run="one") as index:
        assert index.add([A]) == 1
    timer.join()
    other.close()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs another user to be")
def test_a_folder_that_is_read_only_is_said_at_once() -> None:
    with tempfile.TemporaryDirectory() as folder:  # others may not enter those of pytest
        Path(folder).chmod(0o755)
        path = Path(folder, "index.sqlite")
        with BatchIndex(path, run="one") as index:
            index.add([A])
        began = time.monotonic()
        os.seteuid(65534)
        try:
            with pytest.raises(OutputError, match=r"readonly.*check its permissions"):
                BatchIndex(path)
        finally:
            os.seteuid(0)
        assert time.monotonic() - began < 10


def test_a_damaged_index_says_what_to_do(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(OutputError, match=r"cannot use the index .* remove it and run again"):
        BatchIndex(path)
    path.unlink()
    with BatchIndex(path, run="one") as index:
        index.add(Entry(f"/in/{at}.txt", 1, 1) for at in range(5000))
        assert index.count()[State.WAITING] == 5000
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TABLE claims")
    with BatchIndex(path, run="two") as index:  # what is missing is made
        assert claim(index, Entry("/in/1.txt", 1, 1), "k") is Claim.OURS
