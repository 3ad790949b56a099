"""Summaries and answers that were interrupted end as if they had not been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from works import make_work

from fastkv_cli import Engine
from fastkv_cli.config import Length, Sampling
from fastkv_cli.engine.generation import Piece
from fastkv_cli.tasks import Outcome, PartStore, Work, ask, summarize

TEXT = "".join(f"Entry {at:04}: the committee met and wrote it down.\n\n" for at in range(300))
Task = Callable[[Work], Iterator[Piece | Outcome]]
FIRST = ("part 1 of", "scoring part 1 of")
TASKS: dict[str, Task] = {
    "summarize": lambda work: summarize(work, Length.MEDIUM),
    "ask": lambda work: ask(work, "How often did the committee meet?"),
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


def run(engine: Engine, task: Task, stop_at: str = "", *, resume: bool = False) -> Outcome | str:
    """The outcome, or what is kept when Ctrl-C is pressed at a progress label."""
    read: list[str] = []

    def told(label: str, *_: int) -> None:
        read.append(label)
        if stop_at and stop_at in label:
            raise KeyboardInterrupt

    with PartStore(enabled=True, resume=resume) as store:
        work = make_work(engine, TEXT, told=told, parts=store)
        try:
            *_, outcome = task(work)
        except KeyboardInterrupt:
            return store.kept
        assert isinstance(outcome, Outcome)
        if resume:
            assert not any(label.startswith(FIRST) for label in read)
        store.finish()
        return outcome


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_it_ends_as_it_would_have_ended(engine: Engine, home: Path, task: Task) -> None:
    whole = run(engine, task)
    assert isinstance(whole, Outcome)
    parts = whole.reading.parts
    assert parts > 3
    assert run(engine, task, "part 3 of") == f"2 of {parts} parts are kept"
    assert run(engine, task, "part 4 of", resume=True) == f"3 of {parts} parts are kept"
    resumed = run(engine, task, resume=True)
    assert isinstance(resumed, Outcome)
    assert resumed.reading.parts_resumed == 3
    assert whole.reading.parts_resumed == 0
    assert resumed.generation.text == whole.generation.text
    assert resumed.generation.token_ids == whole.generation.token_ids
    assert resumed.kv == whole.kv
    assert resumed.reading.tokens_used == whole.reading.tokens_used
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_what_was_kept_is_of_this_question_and_sampling(engine: Engine) -> None:
    assert run(engine, TASKS["ask"], "part 3 of") != ""
    others: list[Task] = [
        TASKS["summarize"],
        lambda work: ask(work, "How often did the committee not meet?"),
        lambda work: ask(replace(work, sampling=Sampling(temperature=1)), "How often?"),
    ]
    for task in others:
        with PartStore(enabled=True, resume=True) as store:
            list(task(make_work(engine, TEXT, parts=store)))
            assert store.num_resumed == 0
