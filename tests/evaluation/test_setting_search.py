"""Which settings are tried in how much time, and what an interrupted measurement leaves."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from measuring import content_of, make_context
from processes import start

from fastkv_cli import Engine
from fastkv_cli.cli.app import run
from fastkv_cli.config import Preset
from fastkv_cli.engine.tuning import load_tuning, tuning_path
from fastkv_cli.errors import ExitCode, UsageError
from fastkv_cli.evaluation.measure_context import MeasureContext
from fastkv_cli.evaluation.quality import setting_search as module
from fastkv_cli.evaluation.quality.preset_choice import RATES, choose_presets
from fastkv_cli.evaluation.quality.questions import Question
from fastkv_cli.evaluation.quality.setting_search import SettingSearch, mix
from fastkv_cli.session.observer import Observer
from fastkv_cli.store.journal import Journal

LAYERS = list(range(10, 24))  # of a model of 30
QUESTIONS = [
    Question(suite, "task", length, 0.5, number, "?", ("1",))
    for suite in ("needle", "ruler")
    for length in (1000, 2000, 4000)
    for number in range(5)
]


class Notes(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Clock:
    """A clock that a trial moves on, by a second on average."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class MadeUp(SettingSearch):
    """A search whose trials are made up: balanced is best at layer 16, with rate 0.3."""

    clock = Clock()

    def _ask(
        self, question: Question, places: Sequence[Any], label: str, end: float | None
    ) -> bool:
        for layer, rate in places:
            if end is not None and self.clock.now >= end:
                return False
            self.clock.now += 3 * question.length / 7000
            far = 0.02 * max(16 - layer, 0) + 0.1 * max(0.3 - rate, 0.0)
            self.journal.add(
                f"{question.key} {layer} {rate:g}",
                {"full": 1.0, "square": 1.0, "score": 1.0, "distance": far}
                | {"compute": layer / 30 + rate / 3},
            )
        return True


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "made-up").mkdir(parents=True)
    MadeUp.clock = Clock()
    monkeypatch.setattr(module, "time", MadeUp.clock)
    context: Any = SimpleNamespace(observer=Notes())
    return MadeUp(context, mix(QUESTIONS), Journal("made-up", {}), 0.0)


def test_every_beginning_has_all_suites_and_lengths() -> None:
    mixed = mix(QUESTIONS)
    assert sorted(mixed, key=QUESTIONS.index) == QUESTIONS
    for at in range(0, len(mixed), 6):
        assert len({(one.suite, one.length) for one in mixed[at : at + 6]}) == 6
    assert len(mix(QUESTIONS[3:])) == len(QUESTIONS) - 3


def test_without_a_limit_everything_is_tried(search: MadeUp) -> None:
    found = search.try_all(LAYERS)
    places = [(one.tsp_layer, one.tsp_rate) for one in found.settings]
    assert places == list(product(LAYERS, RATES))
    assert (found.num_places, found.num_asked) == (14 * 4, 30)
    assert search.clock.now == pytest.approx(30 * 56)
    assert search.context.observer.notes == ["30 questions with 56 settings take about 28 min"]  # type: ignore[attr-defined]


def test_a_limit_spends_its_time_around_the_best(search: MadeUp) -> None:
    """A coarse grid on as many questions as half of the time allows, and what it points at."""
    found = search.try_within(LAYERS, 500.0, 0.01)
    assert 490 < search.clock.now < 502
    assert found.num_asked in {24, 25}  # 10 settings a question
    assert found.num_places == 56
    assert 10 < len(found.settings) < 56
    best = choose_presets(found.settings, 0.01)[Preset.BALANCED]
    every = choose_presets(replace_journal(search).try_all(LAYERS).settings, 0.01)[Preset.BALANCED]
    assert best["compute_ratio"] <= 1.05 * every["compute_ratio"]
    assert best["distance"] <= 0.01


def replace_journal(search: MadeUp) -> MadeUp:
    other: MadeUp = replace(search)
    other.journal = Journal("made-up", {"other": 1})
    return other


def test_with_time_enough_nothing_is_left_out(search: MadeUp) -> None:
    found = search.try_within(LAYERS, 1e6, 0.01)
    assert {(one.tsp_layer, one.tsp_rate) for one in found.settings} == {*product(LAYERS, RATES)}
    assert found.num_asked == 30
    by_place = {(one.tsp_layer, one.tsp_rate): one for one in found.settings}
    for one in replace_journal(search).try_all(LAYERS).settings:
        assert by_place[one.tsp_layer, one.tsp_rate] == one


def test_a_limit_that_is_too_short_keeps_what_was_measured(search: MadeUp) -> None:
    with pytest.raises(UsageError, match=r"--minutes 0\.5 is not enough: it takes at least 60 s"):
        search.try_within(LAYERS, 30.0, 0.01)
    assert search.clock.now < 5  # known after the first question
    search.started = search.clock.now
    with pytest.raises(UsageError, match=r"--minutes 0\.75 is not enough: [345] of at least 6"):
        search.try_within(LAYERS, 45.0, 0.01)
    search.started = search.clock.now
    assert search.try_within(LAYERS, 60.0, 0.01).num_asked in {7, 8, 9}  # half of the time again
    assert search.clock.now - search.started <= 62


@pytest.mark.parametrize("layers", [[1], [1, 2, 3], [5, 11, 17], [3, 7, 11, 15, 19]])
def test_few_layers(search: MadeUp, layers: list[int]) -> None:
    """As of models with few layers, or few that attend to everything."""
    found = search.try_within(layers, 1e6, 0.01)
    assert {one.tsp_layer for one in found.settings} == {*layers}


class TestCommands:
    """On a tiny model."""

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)
        return tmp_path / "home"

    @pytest.mark.parametrize(
        ("command", "kind", "samples"),
        [("calibrate", "calibration", "4"), ("profile-heads", "heads", "4")],
    )
    def test_killed_it_continues(
        self,
        tiny_models: dict[str, Path],
        home: Path,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        command: str,
        kind: str,
        samples: str,
    ) -> None:
        """The result is the one of a run in one go, and what was measured is not done again."""
        model = str(tiny_models["llama"])
        arguments = [command, model, "--samples", samples, "--dtype", "float32", "--json"]
        child = start(arguments)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(home.glob("evaluations/*.jsonl")):
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=60)
        assert not list(home.glob("tuning/*"))
        (journal,) = home.glob("evaluations/*.jsonl")
        kept = [line for line in journal.read_text().splitlines() if line]
        first = run(arguments)
        again = capfd.readouterr()
        monkeypatch.setenv("FASTKV_HOME", str(home.with_name("other")))
        assert run(arguments) == first
        fresh = capfd.readouterr()
        if kind == "calibration":
            assert first == 0
            assert json.loads(again.out) == json.loads(fresh.out)
            assert tuning_path(kind, content_of(model)).read_text() == fresh.out
            assert not journal.exists()
        else:  # a random model answers nothing, and its prompts are kept
            assert first == ExitCode.MODEL
            assert again.out == fresh.out == ""
            assert again.err.splitlines()[-1] == fresh.err.splitlines()[-1]
            lines = [line for line in journal.read_text().splitlines() if line]
            assert lines[: len(kept) - 1] == kept[:-1]
            assert len({json.loads(line)["key"] for line in lines}) == 4

    def test_a_coarse_result_says_so_and_is_continued(
        self, tiny_models: dict[str, Path], home: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        model = str(tiny_models["llama"])
        arguments = [
            "calibrate",
            model,
            "--samples",
            "2",
            "--suite",
            "needle",
            "--dtype",
            "float32",
        ]
        real = SettingSearch._refinements
        with pytest.MonkeyPatch.context() as patch:  # the time is over after the coarse grid
            patch.setattr(SettingSearch, "_refinements", lambda *_: iter([[]]))
            patch.setattr(SettingSearch, "_try", _stop_after_coarse(SettingSearch._try))
            assert run([*arguments, "--minutes", "60"]) == 0
        assert SettingSearch._refinements is real
        stdout, stderr = capfd.readouterr()
        assert "Coarse: 6 of 12 settings were tried, on 2 of 2 questions." in stdout
        assert "2 questions with 12 settings would take about" in stderr
        written = json.loads(tuning_path("calibration", content_of(model)).read_text())
        assert written["coarse"] == "6 of 12 settings were tried, on 2 of 2 questions"
        assert written["suites"] == ["needle"]
        found = load_tuning(model, content_of(model))
        assert found.is_coarse
        (journal,) = home.glob("evaluations/*.jsonl")
        num_kept = len(journal.read_text().split())
        assert num_kept
        assert run([*arguments, "--json", "-q"]) == 0
        whole = json.loads(capfd.readouterr().out)
        assert (whole["coarse"], len(whole["settings"])) == ("", 12)
        assert not journal.exists()
        assert not load_tuning(model, content_of(model)).is_coarse


def _stop_after_coarse(real: Any) -> Any:
    def stop(search: SettingSearch, places: Any, *others: Any) -> Any:
        return real(search, places, *others) if places and len(places) == 6 else []

    return stop


def test_heads_with_a_time_limit(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read until then counts, and the next run goes on from it."""
    from fastkv_cli.evaluation.quality import head_scores
    from fastkv_cli.evaluation.quality.quality_options import HeadOptions

    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    clock, read = Clock(), []

    def score(context: MeasureContext, one: Any) -> list[list[float]]:
        clock.now += 30
        read.append(one.answer)
        return [[1.0, 3.0], [4.0, float(len(read))]]

    monkeypatch.setattr(head_scores, "_score", score)
    monkeypatch.setattr(head_scores, "time", clock)
    context = make_context(Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu"))
    context = replace(context, observer=Notes())
    measured = head_scores.profile_heads(context, HeadOptions(samples=6, minutes=1))
    assert (measured["prompts"], measured["right"]) == (2, 2)
    assert measured["coarse"] == "2 of 6 prompts were read"
    assert measured["scores"][0] == pytest.approx([2 / 19, 6 / 19])
    assert measured["scores"][1] == pytest.approx([8 / 19, 3 / 19])
    assert context.observer.notes == ["6 prompts would take about 5 min"]  # type: ignore[attr-defined]
    context.discard_journals()
    again = head_scores.profile_heads(context, HeadOptions(samples=6))
    assert (again["prompts"], again["coarse"], len(read)) == (6, "", 6)
    assert len(set(read)) == 6
    context.discard_journals()
    assert not list((tmp_path / "home").glob("evaluations/*.jsonl"))
