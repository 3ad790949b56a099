"""The store of parts: what is kept, what is taken up again, and trouble that costs no answer."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli.store.journal import Journal
from fastkv_cli.tasks.parts import KIND, MAX_AGE_S, NOTHING_KEPT, PartStore

SETTINGS = {"model": "tiny", "text": "0123"}
KEYS = [f"{at}-{at + 1}" for at in range(5)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class Run:
    """A task over five parts, its store, and what it said and made."""

    def __init__(self, store: PartStore, told: list[str], made: list[str]) -> None:
        self.store, self.told, self.made = store, told, made

    def read(self, *keys: str) -> list[Any]:
        def make(key: str) -> dict[str, Any]:
            self.made.append(key)
            return {"text": f"of {key}", "score": 1 / 3}

        return [self.store.once(key, lambda key=key: make(key)) for key in keys]  # type: ignore[misc]


@contextmanager
def start(
    settings: dict[str, str] = SETTINGS, *, enabled: bool = True, resume: bool = False
) -> Iterator[Run]:
    told: list[str] = []
    with PartStore(enabled=enabled, resume=resume, warn=told.append, note=told.append) as store:
        store.open(settings, KEYS)
        yield Run(store, told, [])


def files(home: Path) -> list[Path]:
    return sorted(path for path in home.rglob("*") if path.is_file())


def test_a_run_goes_on_where_one_was_stopped(home: Path) -> None:
    with start() as run:
        first = run.read(*KEYS[:3])
        assert run.store.kept == "3 of 5 parts are kept"
    with start(resume=True) as run:
        assert run.read(*KEYS)[:3] == first
        assert run.made == KEYS[3:]
        assert run.store.num_resumed == 3
        assert run.store.kept == "5 of 5 parts are kept"
        assert run.told == []
        run.store.finish()
        assert run.store.kept == "5 of 5 parts are kept"
    assert files(home) == []
    with start(resume=True) as run:
        run.read(KEYS[0])
        assert (run.made, run.told) == ([KEYS[0]], [NOTHING_KEPT])


def test_steps_that_are_no_parts_are_kept_and_not_counted() -> None:
    with start() as run:
        run.read(KEYS[0], "notes 1")
        assert run.store.kept == "1 of 5 parts are kept"
    with start(resume=True) as run:
        run.read(KEYS[0], "notes 1", "notes 2")
        assert run.made == ["notes 2"]
        assert run.store.num_resumed == 1


def test_without_resume_all_is_made_anew_and_nothing_is_lost() -> None:
    with start() as run:
        run.read(*KEYS[:3])
    with start() as run:
        assert run.told == ["3 of 5 parts are kept from an earlier run: see --resume"]
        run.read(KEYS[0])
        assert run.made == [KEYS[0]]
        assert run.store.num_resumed == 0
        assert run.store.kept == "3 of 5 parts are kept"


@pytest.mark.parametrize("changes", [{"text": "4567"}, {"model": "other"}, {"seed": "1"}], ids=str)
def test_other_settings_share_nothing(changes: dict[str, str]) -> None:
    with start() as run:
        run.read(*KEYS)
    with start(SETTINGS | changes, resume=True) as run:
        run.read(*KEYS)
        assert (run.made, run.told) == (KEYS, [NOTHING_KEPT])


def test_nothing_is_written_when_nothing_is_to_be_kept(home: Path) -> None:
    with start(enabled=False, resume=True) as run:
        run.read(*KEYS)
        assert (run.made, run.told, run.store.kept) == (KEYS, [], "")
    assert not home.exists()


def test_a_text_without_parts_touches_nothing(home: Path) -> None:
    with PartStore(enabled=True, resume=True) as store:
        assert not store.has_parts
        store.finish()
        assert store.kept == ""
    assert not home.exists()


@pytest.mark.parametrize("lost", [3, 40])
def test_damaged_parts_are_told_of_and_read_again(home: Path, lost: int) -> None:
    with start() as run:
        run.read(*KEYS)
    [path] = (path for path in files(home) if path.suffix == ".jsonl")
    path.write_bytes(path.read_bytes()[:-lost])
    with start(resume=True) as run:
        run.read(*KEYS)
        assert run.told == ["some saved parts are damaged: they are processed again"]
        assert run.made == [KEYS[4]]
    with start(resume=True) as run:
        run.read(*KEYS)
        assert run.made == []


def test_two_processes_at_once() -> None:
    with start() as one, start(resume=True) as other:
        one.read(KEYS[0])
        other.read(*KEYS)
        assert other.made == KEYS
        assert other.told == [
            "another process is working on the same text and task: this run saves no parts"
        ]
        assert other.store.kept == ""
        other.store.finish()
        one.read(KEYS[1])
        assert one.store.kept == "2 of 5 parts are kept"
    with start(resume=True) as run:
        run.read(*KEYS)
        assert run.made == KEYS[2:]


def test_a_home_that_cannot_be_written(home: Path) -> None:
    home.write_text("I am a file.")
    with start() as run:
        assert len(run.read(*KEYS)) == 5
        [warning] = run.told
        assert warning.startswith("the run cannot be resumed from here on: cannot write")
        run.store.finish()
        assert run.store.kept == ""


def test_a_disk_that_fills_up(home: Path) -> None:
    """The system refuses to let the file grow: real, as ENOSPC is, and as partial."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with start() as run:
        run.read(*KEYS[:2])
        size = files(home)[0].stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
        try:
            assert len(run.read(*KEYS[2:])) == 3
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        [warning] = run.told
        assert warning.startswith("the run cannot be resumed from here on: cannot write")
        assert run.store.kept == "2 of 5 parts are kept"
    with start(resume=True) as run:
        run.read(*KEYS)
        assert run.made == KEYS[2:]


def test_what_nobody_came_back_for_goes_after_a_month(home: Path) -> None:
    paths = []
    with ExitStack() as stack:
        for name in ("old", "new"):
            journal = stack.enter_context(Journal(KIND, {"name": name}))
            journal.add("0-1", {})
            paths.append(journal.path)
    os.utime(paths[0], (0, time.time() - MAX_AGE_S - 60))
    os.utime(paths[1], (0, time.time() - MAX_AGE_S + 3600))
    with start():
        assert [path.exists() for path in paths] == [False, True]
