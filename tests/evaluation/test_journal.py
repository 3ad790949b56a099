"""The journal: what was measured is not lost, whatever ends the run."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.errors import OutputError, UsageError
from fastkv_cli.evaluation.journal import Journal

SETTINGS: dict[str, Any] = {"model": "tiny", "lengths": [300, 600]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def read_back() -> dict[str, dict[str, Any]]:
    with Journal(SETTINGS) as journal:
        return dict(journal.results)


def test_results_survive() -> None:
    with Journal(SETTINGS) as journal:
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
    with Journal(SETTINGS) as journal:
        journal.add("one", {"text": f"before{character}behind"})
    assert read_back() == {"one": {"text": f"before{character}behind"}}


def test_every_result_is_on_disk_at_once() -> None:
    with Journal(SETTINGS) as journal:
        for number in range(3):
            journal.add(str(number), {"score": number})
            lines = journal.path.read_text(encoding="utf-8").split("\n")
            assert [json.loads(line)["key"] for line in lines if line][-1] == str(number)


def test_an_error_keeps_what_there_is() -> None:
    with contextlib.suppress(ZeroDivisionError), Journal(SETTINGS) as journal:
        journal.add("one", {"score": 1})
        raise ZeroDivisionError
    assert read_back() == {"one": {"score": 1}}


@pytest.mark.parametrize("lost", [1, 2, 4, 6, 9, 20])
def test_a_line_cut_short_is_ignored_and_the_next_one_is_whole(lost: int) -> None:
    """Also where the cut goes through a character."""
    with Journal(SETTINGS) as journal:
        journal.add("one", {"score": 1})
        journal.add("two", {"text": "日本語 “é"})
    data = journal.path.read_bytes().rstrip(b"\n")
    journal.path.write_bytes(data[:-lost])
    with Journal(SETTINGS) as journal:
        assert journal.results == {"one": {"score": 1}}
        journal.add("three", {"score": 3})
    assert read_back() == {"one": {"score": 1}, "three": {"score": 3}}


@pytest.mark.parametrize(
    "changes",
    [{"model": "other"}, {"lengths": [300]}, {"lengths": [600, 300]}, {"seed": 0}],
    ids=str,
)
def test_other_settings_are_another_file(changes: dict[str, Any]) -> None:
    with Journal(SETTINGS) as journal, Journal(SETTINGS | changes) as other:
        assert other.path != journal.path
        journal.add("one", {"score": 1})
        other.add("two", {"score": 2})
        assert other.results == {"two": {"score": 2}}
    assert read_back() == {"one": {"score": 1}}


def test_the_order_of_settings_does_not_matter() -> None:
    assert Journal(dict(reversed(SETTINGS.items()))).path == Journal(SETTINGS).path


def test_it_lies_in_the_user_s_cache(home: Path) -> None:
    with Journal(SETTINGS) as journal:
        journal.add("one", {"score": 1})
    assert journal.path.is_relative_to(home)


def test_two_runs_at_once(home: Path) -> None:
    with Journal(SETTINGS):
        with pytest.raises(UsageError, match="running already: wait for it"):
            Journal(SETTINGS).__enter__()
        with Journal(SETTINGS | {"seed": 1}):
            pass
    with Journal(SETTINGS):
        pass


def test_a_run_that_failed_lets_the_next_one_in() -> None:
    with pytest.raises(ZeroDivisionError), Journal(SETTINGS):
        raise ZeroDivisionError
    assert read_back() == {}


def test_finish_removes_it() -> None:
    with Journal(SETTINGS) as journal:
        journal.add("one", {"score": 1})
        assert journal.path.exists()
        journal.finish()
        assert not journal.path.exists()
    assert read_back() == {}
    with Journal(SETTINGS) as journal:
        journal.finish()  # nothing was measured


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("I am a file.")
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match=r"cannot write .*file/evaluations"):
        Journal(SETTINGS).__enter__()


def test_a_journal_that_vanishes_while_it_is_written(home: Path) -> None:
    with Journal(SETTINGS) as journal:
        journal.path.mkdir()
        with pytest.raises(OutputError, match=r"cannot write .*Is a directory"):
            journal.add("one", {"score": 1})
