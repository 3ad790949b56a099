"""The journal: what was measured is not lost, whatever ends the run."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.errors import OutputError, UsageError
from fastkv_cli.store.journal import Journal

SETTINGS: dict[str, Any] = {"model": "tiny", "lengths": [300, 600]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def make_journal(**changes: Any) -> Journal:
    return Journal("kind", SETTINGS | changes)


def read_back() -> dict[str, dict[str, Any]]:
    with make_journal() as journal:
        return dict(journal.results)


def test_results_survive() -> None:
    with make_journal() as journal:
        assert journal.results == {}
        journal.add("one", {"score": 0.5, "right": True})
        assert journal.results == {"one": {"score": 0.5, "right": True}}
        journal.add("two", {"text": "Grüße, 日本語 “\n\t\\"})
    assert read_back() == {
        "one": {"score": 0.5, "right": True},
        "two": {"text": "Grüße, 日本語 “\n\t\\"},
    }


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c", "\r"])
def test_whatever_a_model_says_survives(character: str) -> None:
    """Some characters end a line for Python but not for JSON."""
    with make_journal() as journal:
        journal.add("one", {"text": f"before{character}behind"})
    assert read_back() == {"one": {"text": f"before{character}behind"}}


def test_half_a_surrogate_survives() -> None:
    """As an argument that is no UTF-8 becomes one."""
    with make_journal() as journal:
        journal.add("one", {"question": "Who\udcff?\ud800"})
    assert read_back() == {"one": {"question": "Who\udcff?\ud800"}}


def test_every_result_is_on_disk_at_once() -> None:
    with make_journal() as journal:
        for number in range(3):
            journal.add(str(number), {"score": number})
            lines = journal.path.read_text(encoding="utf-8").split("\n")
            assert [json.loads(line)["key"] for line in lines if line][-1] == str(number)


def test_an_error_keeps_what_there_is() -> None:
    with contextlib.suppress(ZeroDivisionError), make_journal() as journal:
        journal.add("one", {"score": 1})
        raise ZeroDivisionError
    assert read_back() == {"one": {"score": 1}}


@pytest.mark.parametrize("lost", [1, 2, 4, 6, 9, 20])
def test_a_line_cut_short_is_ignored_and_the_next_one_is_whole(lost: int) -> None:
    """Also where the cut goes through a character."""
    with make_journal() as journal:
        journal.add("one", {"score": 1})
        journal.add("two", {"text": "日本語 “é"})
    data = journal.path.read_bytes().rstrip(b"\n")
    journal.path.write_bytes(data[:-lost])
    with make_journal() as journal:
        assert journal.results == {"one": {"score": 1}}
        journal.add("three", {"score": 3})
    assert read_back() == {"one": {"score": 1}, "three": {"score": 3}}


@pytest.mark.parametrize(
    "changes",
    [{"model": "other"}, {"lengths": [300]}, {"lengths": [600, 300]}, {"seed": 0}],
    ids=str,
)
def test_other_settings_are_another_file(changes: dict[str, Any]) -> None:
    with make_journal() as journal, make_journal(**changes) as other:
        assert other.path != journal.path
        journal.add("one", {"score": 1})
        other.add("two", {"score": 2})
        assert other.results == {"two": {"score": 2}}
    assert read_back() == {"one": {"score": 1}}


def test_the_order_of_settings_does_not_matter() -> None:
    assert Journal("kind", dict(reversed(SETTINGS.items()))).path == make_journal().path


def test_it_lies_in_the_user_s_cache(home: Path) -> None:
    with make_journal() as journal:
        journal.add("one", {"score": 1})
    assert journal.path.is_relative_to(home)


def test_two_runs_at_once(home: Path) -> None:
    with make_journal():
        with pytest.raises(UsageError, match="running already: wait for it"):
            make_journal().__enter__()
        with make_journal(seed=1):
            pass
    with make_journal():
        pass


def test_a_run_that_failed_lets_the_next_one_in() -> None:
    with pytest.raises(ZeroDivisionError), make_journal():
        raise ZeroDivisionError
    assert read_back() == {}


def test_finish_removes_it() -> None:
    with make_journal() as journal:
        journal.add("one", {"score": 1})
        assert journal.path.exists()
        journal.finish()
        assert not journal.path.exists()
    assert read_back() == {}
    with make_journal() as journal:
        journal.finish()  # nothing was measured


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("I am a file.")
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write .*file/kind"):
        make_journal().__enter__()


def test_a_journal_that_vanishes_while_it_is_written(home: Path) -> None:
    with make_journal() as journal:
        journal.path.mkdir()
        with pytest.raises(OutputError, match=r"cannot write .*Is a directory"):
            journal.add("one", {"score": 1})


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_it_is_for_its_owner_s_eyes_only(home: Path) -> None:
    with make_journal() as journal:
        journal.add("one", {"score": 1})
        modes = [path.stat().st_mode & 0o777 for path in (journal.path.parent, journal.path)]
    assert modes == [0o700, 0o600]


def damage(data: bytes) -> bytes:
    """One digit of a result is another."""
    assert data.count(b"12345") == 1
    return data.replace(b"12345", b"12845")


@pytest.mark.parametrize(
    "replace",
    [
        damage,
        lambda data: b"\x00\xff" * 99,
        lambda data: b"[1, 2]\n3\nnull\n",
        lambda data: b'{"key": "one", "score": 12345}\n',
        lambda data: b'{"key": ["one"], "sum": 0}\n{"sum": 0}\n',
        lambda data: b'{"key": ' + b"[" * 90_000 + b"\n",
        lambda data: b'{"key": "one", "score": ' + b"7" * 5000 + b', "sum": 0}\n',
    ],
    ids=["bit", "bytes", "JSON", "without a sum", "other fields", "deep", "5,000 digits"],
)
def test_what_was_not_written_by_it_is_not_read(replace: Callable[[bytes], bytes]) -> None:
    with make_journal() as journal:
        journal.add("one", {"score": 12345})
    journal.path.write_bytes(replace(journal.path.read_bytes()))
    with make_journal() as journal:
        assert journal.results == {}
        assert journal.num_damaged >= 1
        journal.add("one", {"score": 1})
    assert read_back() == {"one": {"score": 1}}


def test_only_old_files_of_its_kind_are_pruned(home: Path) -> None:
    old, new, other = make_journal(seed=1), make_journal(seed=2), Journal("other", {})
    future = make_journal(seed=3)
    for journal in (old, new, other, future):
        with journal:
            journal.add("one", {"score": 1})
    mine = old.path.with_name("mine.txt")
    mine.write_text("not a journal")
    for path in (old.path, other.path, mine):
        os.utime(path, (0, time.time() - 1000))
    os.utime(future.path, (0, time.time() + 1000))  # of a clock that was wrong
    make_journal().prune(900)
    found = [path.exists() for path in (old.path, new.path, other.path, mine, future.path)]
    assert found == [False, True, True, True, False]


def test_nothing_is_left_of_a_run_that_ended(home: Path) -> None:
    with make_journal() as journal:
        journal.add("one", {"score": 1})
        journal.finish()
    assert list(journal.path.parent.iterdir()) == []
