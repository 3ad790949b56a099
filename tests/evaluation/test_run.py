"""Asking all questions: what is taken down, and runs that are stopped and go on."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from measuring import load_tokenizer, make_context, save_parrot
from processes import start

from fastkv_cli import Engine, FastKV, SnapKV, StreamingLLM
from fastkv_cli.cli.app import run
from fastkv_cli.config import Suite
from fastkv_cli.engine.compare import Comparison
from fastkv_cli.errors import ExitCode
from fastkv_cli.evaluation.arms import Arm
from fastkv_cli.evaluation.measure_context import MeasureContext
from fastkv_cli.evaluation.quality.measure_quality import measure_quality
from fastkv_cli.evaluation.quality.quality_options import EvalOptions
from fastkv_cli.evaluation.quality.quality_run import (
    MAX_ANSWER_TOKENS,
    ask_all,
    time_all,
)
from fastkv_cli.evaluation.quality.questions import Question
from fastkv_cli.evaluation.quality.suites import Questionnaire
from fastkv_cli.session.observer import Observer
from fastkv_cli.store.journal import Journal

ARMS = [
    Arm("snapkv 20%", "snapkv", "20%", SnapKV(retention_rate=0.2)),
    Arm("fastkv 10%", "fastkv", "10%", FastKV(tsp_layer=1)),
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def load_engine(folder: Path) -> Engine:
    return Engine.load(str(folder), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return load_engine(tiny_models["llama"])


@pytest.fixture(scope="module")
def questions(engine: Engine) -> list[Question]:
    return Questionnaire((Suite.NEEDLE, Suite.RULER), (300, 400), 2, 0).questions(engine.tokenizer)


def silent(label: str, done: int, total: int) -> None:
    pass


class TestAskAll:
    """Every question, to full and to every arm."""

    def test_every_answer_is_taken_down(self, engine: Engine, questions: list[Question]) -> None:
        told = []
        with Journal("evaluations", {}) as journal:
            results = ask_all(
                engine, questions, ARMS, journal, lambda *progress: told.append(progress)
            )
        labels = ["full", "snapkv 20%", "fastkv 10%"]
        expected = [(question.key, label) for question in questions for label in labels]
        assert [(result.question, result.arm) for result in results] == expected
        assert set(journal.results) == {f"{key} {label}" for key, label in expected}
        assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
        assert told[-1] == ("ruler, 400 tokens", len(expected), len(expected))
        assert all(result.agrees and result.kl == 0 for result in results[::3])

    def test_results_are_the_comparison_s(self, engine: Engine, questions: list[Question]) -> None:
        with Journal("evaluations", {}) as journal:
            results = ask_all(engine, questions[:1], ARMS, journal, silent)
        prompt = questions[0].prompt(engine.tokenizer)
        comparison = Comparison(engine, prompt.token_ids, prompt.question_span, MAX_ANSWER_TOKENS)
        for arm, result in zip(ARMS, results[1:], strict=True):
            compared = comparison.compare(arm.method)
            for name in ("text", "agrees", "kl", "kept_ratio", "compute_ratio"):
                assert getattr(result, name) == getattr(compared, name)

    def test_what_the_journal_has_is_not_asked_again(
        self, engine: Engine, questions: list[Question]
    ) -> None:
        with Journal("evaluations", {}) as journal:
            once = ask_all(engine, questions, ARMS, journal, silent)
            for question in questions[1:3]:
                key = f"{question.key} {ARMS[0].label}"
                journal.results[key] |= {"text": "said before", "correct": 1.0}
            del journal.results[f"{questions[2].key} full"]  # this one was not answered yet
            again = ask_all(engine, questions, ARMS, journal, silent)
        changed = [at for at, (a, b) in enumerate(zip(once, again, strict=True)) if a != b]
        assert changed == [3 + 1, 6 + 1]
        assert [again[at].text for at in changed] == ["said before"] * 2

    def test_times_are_shares_of_full_s(self, engine: Engine, questions: list[Question]) -> None:
        with Journal("evaluations", {}) as journal:
            ratios = time_all(engine, questions, ARMS, journal, silent)
            labels = ["full", *(arm.label for arm in ARMS)]
            seconds = {
                label: [journal.results[f"timed {at} {label}"]["ttft_s"] for at in range(3)]
                for label in labels
            }
            assert len(journal.results) == 3 * len(labels)
            for arm in ARMS:
                pairs = zip(seconds[arm.label], seconds["full"], strict=True)
                assert ratios[arm.label] == median(mine / full for mine, full in pairs)
                assert ratios[arm.label] > 0
            assert time_all(engine, questions, ARMS, journal, silent) == ratios


def test_right_answers_are_counted(
    tiny_models: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A model that says one number to everything is right once, with every method."""
    tokenizer = load_tokenizer(tiny_models["llama"])
    seed, drawn = next(
        (seed, drawn)
        for seed in range(99)
        if len(set((drawn := draw_needles(seed, tokenizer))[0].answers[0])) == 5
    )
    parrot = save_parrot(tiny_models["llama"], tmp_path / "parrot", drawn[0].answers[0])
    arms = [Arm("streamingllm 9 tokens", "streamingllm", "9 tokens", StreamingLLM(capacity=9))]
    engine = load_engine(parrot)
    with Journal("evaluations", {}) as journal:
        results = ask_all(engine, drawn, arms, journal, silent)
    assert [result.correct for result in results] == [1.0, 1.0] + [0.0] * 8
    assert [result.f1 for result in results][:2] == [1.0, 1.0]
    assert all(result.agrees and result.kl == pytest.approx(0) for result in results)

    arguments = ["eval", "--model", str(parrot), "--suite", "needle", "--lengths", "300"]
    arguments += ["--samples", "5", "--seed", str(seed), "--methods", "streamingllm"]
    assert run([*arguments, "--budgets", "9", "--json", "-q", "--dtype", "float32"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert [row["accuracy"]["value"] for row in found["methods"]] == [0.2, 0.2]
    assert found["methods"][1]["of_full"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["needles"]["full"][0] == {"length": 300, "depth": 0.1, "accuracy": 1.0}


def draw_needles(seed: int, tokenizer: Any) -> list[Question]:
    return Questionnaire((Suite.NEEDLE,), (300,), 5, seed).questions(tokenizer)


class Interrupted(Observer):
    """Ctrl-C is pressed when some answers are there."""

    def progress(
        self, label: str, done: float = 0, total: float | None = None, unit: str = "tokens"
    ) -> None:
        if done > 6:
            raise KeyboardInterrupt


def test_a_corrected_question_is_asked_anew(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    """The file of the questions is the same, what stands in it is not."""
    parrot = save_parrot(tiny_models["llama"], tmp_path / "parrot", "40713")
    context = make_context(load_engine(parrot))
    hasty = replace(context, observer=Interrupted())
    (tmp_path / "a.txt").write_text("It is 40713, not 12345. " * 60)

    def evaluate(answer: str, context: MeasureContext) -> Sequence[float]:
        pair = {"doc": "a.txt", "answer": answer, "evidence": "It is 40713, not 12345."}
        lines = [json.dumps(pair | {"question": f"What is {name}?"}) for name in "abcd"]
        (tmp_path / "own.jsonl").write_text("\n".join(lines))
        options = EvalOptions(
            suite="qa", lengths="300", samples=4, methods="snapkv", qa=tmp_path / "own.jsonl"
        )
        return measure_quality(context, options).scores["full"]

    with pytest.raises(KeyboardInterrupt):
        evaluate("40713", hasty)
    assert evaluate("12345", context) == (0.0,) * 4
    assert evaluate("40713", context) == (1.0,) * 4


class TestStopped:
    """A run that was killed, and one that was interrupted, go on where they were."""

    def arguments(self, model: Path) -> list[str]:
        own = ["eval", "--model", str(model), "--suite", "needle,ruler", "--lengths", "300,500"]
        own += ["--samples", "4", "--methods", "snapkv,streamingllm", "--budgets", "20%"]
        return [*own, "--dtype", "float32", "--json"]

    def lines(self, home: Path) -> list[str]:
        texts = [path.read_text(encoding="utf-8") for path in home.glob("evaluations/*.jsonl")]
        return [line for text in texts for line in text.split("\n") if line]

    def wait_for_lines(self, home: Path, count: int, child: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(self.lines(home)) < count:
            assert child.poll() is None, child.communicate()
            time.sleep(0.005)

    def keys(self, home: Path) -> list[str]:
        found = []
        for line in self.lines(home):
            try:
                found.append(json.loads(line)["key"])
            except ValueError:  # cut short when the run was killed
                continue
        return found

    def test_it_ends_with_what_it_would_have_ended_with(
        self,
        tiny_models: dict[str, Path],
        home: Path,
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        arguments = self.arguments(tiny_models["llama"])
        killed = start(arguments)
        self.wait_for_lines(home, 12, killed)
        killed.send_signal(signal.SIGKILL)
        assert killed.communicate(timeout=60)[0] == ""
        before = self.keys(home)
        assert len(set(before)) == len(before) >= 11

        interrupted = start(arguments)
        self.wait_for_lines(home, len(self.lines(home)) + 12, interrupted)
        interrupted.send_signal(signal.SIGINT)
        stdout, stderr = interrupted.communicate(timeout=60)
        assert interrupted.returncode == ExitCode.INTERRUPTED
        assert stdout == ""
        assert stderr == "fastkv: interrupted: run the same command again to continue\n"
        after = self.keys(home)
        assert after[: len(before)] == before
        assert len(after) >= len(before) + 11
        assert len(set(after)) == len(after)  # nothing was asked twice

        capfd.readouterr()
        assert run(arguments) == 0
        stopped = json.loads(capfd.readouterr().out)
        assert self.lines(home) == []  # the run is over
        monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "other"))
        assert run(arguments) == 0
        assert without_times(stopped) == without_times(json.loads(capfd.readouterr().out))


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    for rows in (report["methods"], *report["suites"].values()):
        for row in rows:
            assert row.pop("ttft_ratio") > 0
    return report
