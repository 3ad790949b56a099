"""Measuring speed: prompts of exact lengths, and runs in interleaved rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measuring import make_context, save_parrot

from fastkv_cli import Engine, FastKV, Full, SnapKV
from fastkv_cli.config import MethodName, parse_tokens
from fastkv_cli.documents import Document
from fastkv_cli.engine.generation import Generation
from fastkv_cli.errors import UsageError
from fastkv_cli.evaluation.arms import FULL, Arm, full_arm, parse_methods
from fastkv_cli.evaluation.measure_context import MeasureContext
from fastkv_cli.evaluation.speed.speed_options import SpeedTest
from fastkv_cli.evaluation.speed.speed_prompts import (
    QUESTION,
    PromptSet,
    make_prompts,
)
from fastkv_cli.evaluation.speed.speed_report import Sample
from fastkv_cli.evaluation.speed.speed_run import measure_speed, run_all

WINDOW = 2048  # of the tiny models
ARMS = [
    Arm(FULL, FULL, "100%", Full()),
    Arm("snapkv 20%", "snapkv", "20%", SnapKV(retention_rate=0.2)),
    Arm("fastkv 10%", "fastkv", "10%", FastKV(tsp_layer=1)),
]


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def parrot(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A model that ends its answer behind two tokens or so, whatever it reads."""
    folder = save_parrot(tiny_models["llama"], tmp_path_factory.mktemp("parrot") / "model", "42")
    return Engine.load(str(folder), dtype="float32", device="cpu")


@pytest.fixture
def context(engine: Engine) -> MeasureContext:
    return make_context(engine)


def make_document(words: int) -> Document:
    text = " ".join(f"word{number}" for number in range(words))
    return Document(path="a.txt", text=text, num_pages=None, pages=(), warnings=())


def lengths_of(asked: PromptSet) -> list[int]:
    return [len(prompt.token_ids) for prompt in asked.prompts]


class TestPrompts:
    """Exactly as long as was asked for, ending in the question."""

    def test_lengths_are_exact(self, context: MeasureContext) -> None:
        asked = make_prompts(context, SpeedTest(lengths=(300, 777, 1984)), None)
        assert lengths_of(asked) == [300, 777, 1984]
        assert (asked.left_out, asked.document_tokens) == ((), None)

    def test_the_question_is_where_the_span_says(self, context: MeasureContext) -> None:
        tokenizer = context.engine.tokenizer
        for prompt in make_prompts(context, SpeedTest(lengths=(300, 500)), None).prompts:
            assert tokenizer.decode(prompt.token_ids[prompt.question_span]).strip() == QUESTION
            assert prompt.question_span.stop == len(prompt.token_ids) - len(prompt.tail_ids)

    def test_longer_ones_begin_alike(self, context: MeasureContext) -> None:
        short, long = make_prompts(context, SpeedTest(lengths=(300, 900)), None).prompts
        assert long.document_ids[: len(short.document_ids)] == short.document_ids

    def test_usual_lengths_that_do_not_fit_are_left_out(self, context: MeasureContext) -> None:
        asked = make_prompts(context, SpeedTest(max_tokens=48), None)
        assert (lengths_of(asked), asked.left_out) == ([1000], (4000, 7500))

    def test_where_none_of_the_usual_fits_what_fits_is_taken(self, context: MeasureContext) -> None:
        asked = make_prompts(context, SpeedTest(max_tokens=1500), None)
        assert (lengths_of(asked), asked.left_out) == ([WINDOW - 1500], (1000, 4000, 7500))

    def test_the_longest_that_fits(self, context: MeasureContext) -> None:
        test = SpeedTest(lengths=(300, 2000, 2001), max_tokens=48)
        asked = make_prompts(context, test, None)
        assert (lengths_of(asked), asked.left_out) == ([300, 2000], (2001,))
        assert lengths_of(make_prompts(context, replace(test, lengths=(2000,)), None)) == [2000]

    @pytest.mark.parametrize(
        ("test", "words"),
        [
            (SpeedTest(lengths=(2001, 4000), max_tokens=48), "--prompt-tokens 2,001 is out of"),
            (SpeedTest(lengths=(40,)), "prompts of 40 tokens.*give --prompt-tokens of at least"),
            (SpeedTest(max_tokens=2048), "--max-tokens 2,048 is out of range"),
            (SpeedTest(max_tokens=2040), "prompts of 8 tokens leave no room"),
        ],
    )
    def test_no_room(self, context: MeasureContext, test: SpeedTest, words: str) -> None:
        with pytest.raises(UsageError) as caught:
            make_prompts(context, test, None)
        assert_matches(words, str(caught.value))

    def test_a_document_is_read_whole(self, context: MeasureContext) -> None:
        document = make_document(60)
        asked = make_prompts(context, SpeedTest("a.txt"), document)
        [prompt] = asked.prompts
        assert len(prompt.document_ids) == asked.document_tokens
        assert context.engine.tokenizer.decode(prompt.document_ids) == document.text

    def test_a_document_over_the_window_is_cut(self, context: MeasureContext) -> None:
        asked = make_prompts(context, SpeedTest("a.txt", max_tokens=48), make_document(2000))
        assert (lengths_of(asked), asked.left_out) == ([2000], ())
        assert asked.document_tokens is not None
        assert asked.document_tokens > WINDOW

    def test_the_beginnings_of_a_document(self, context: MeasureContext) -> None:
        document = make_document(200)
        asked = make_prompts(context, SpeedTest("a.txt", (200, 400)), document)
        assert lengths_of(asked) == [200, 400]
        for prompt in asked.prompts:
            assert document.text.startswith(context.engine.tokenizer.decode(prompt.document_ids))

    def test_a_length_that_the_document_lacks(self, context: MeasureContext) -> None:
        document = make_document(60)
        [whole] = lengths_of(make_prompts(context, SpeedTest("a.txt"), document))
        assert lengths_of(make_prompts(context, SpeedTest("a.txt", (whole,)), document)) == [whole]
        words = f"--prompt-tokens {whole + 1} is out of range: a.txt makes a prompt of {whole} "
        with pytest.raises(UsageError) as caught:
            make_prompts(context, SpeedTest("a.txt", (200, whole + 1)), document)
        assert_matches(words, str(caught.value))

    def test_a_document_of_a_few_words(self, context: MeasureContext) -> None:
        with pytest.raises(UsageError, match="too few to measure with"):
            make_prompts(context, SpeedTest("a.txt"), make_document(1))


def assert_matches(words: str, text: str) -> None:
    at = 0
    for part in words.split(".*"):
        assert part in text[at:], text
        at = text.index(part, at) + len(part)


@pytest.mark.parametrize("counts", [{"repetitions": 0}, {"max_tokens": 0}, {"repetitions": -1}])
def test_counts_below_one(counts: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="is out of range: it is 1 or more"):
        SpeedTest(**counts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("7.5k", 7500), ("1k", 1000), ("16.1k", 16_100), ("1.001k", 1001), ("0.5K", 512), ("12", 12)],
)
def test_lengths_are_parsed(text: str, tokens: int) -> None:
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize("text", ["7.5", "1.0001k", "k", "-1k", "0.1K"])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="cannot read"):
        parse_tokens(text)


def test_full_alone_may_be_measured() -> None:
    assert parse_methods("full", needs_rival=False) == (MethodName.FULL,)
    with pytest.raises(UsageError, match="nothing to compare"):
        parse_methods("full")


class TestRuns:
    """One round to warm up, then rounds of one run each."""

    def recorded(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch, test: SpeedTest
    ) -> tuple[list[tuple[int, str]], list[Generation], list[Sample]]:
        arms = [full_arm(), *ARMS[1:]]
        labels = {id(arm.method): arm.label for arm in arms}
        runs: list[tuple[int, str]] = []
        given: list[Generation] = []
        generate = Engine.generate

        def spy(self: Engine, ids: Sequence[int], method: Any, *rest: Any, **more: Any) -> Any:
            runs.append((len(ids), labels[id(method)]))
            given.append(generate(self, ids, method, *rest, **more))
            return given[-1]

        monkeypatch.setattr(Engine, "generate", spy)
        prompts = make_prompts(make_context(engine), test, None).prompts
        return runs, given, run_all(engine, prompts, arms, test, lambda *_: None)

    def test_rounds_are_interleaved(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        test = SpeedTest(lengths=(300, 400), repetitions=2, max_tokens=3)
        runs, given, samples = self.recorded(engine, monkeypatch, test)
        labels = [arm.label for arm in ARMS]
        assert runs == [(length, label) for length in (300, 400) for label in labels * 3]
        measured = [given[at].stats for first in (3, 12) for at in range(first, first + 6)]
        assert [sample.stats for sample in samples] == measured  # the first round is not among them
        assert [sample.arm for sample in samples] == labels * 4

    def test_every_run_generates_as_many_tokens(
        self, parrot: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prompt = make_prompts(make_context(parrot), SpeedTest(lengths=(300,)), None).prompts[0]
        stopped = parrot.generate(prompt.token_ids, Full(), 9)
        assert (stopped.finish_reason, len(stopped.token_ids) < 9) == ("stop", True)
        test = SpeedTest(lengths=(300,), repetitions=1, max_tokens=9)
        _, given, samples = self.recorded(parrot, monkeypatch, test)
        assert [len(generation.token_ids) for generation in given] == [9] * 6
        assert [sample.stats.output_tokens for sample in samples] == [9] * 3
        assert {generation.finish_reason for generation in given} == {"length"}
        assert any(parrot.loaded.eos_ids & set(generation.token_ids[:-1]) for generation in given)

    def test_methods_get_the_question(
        self, engine: Engine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[slice] = []
        generate = Engine.generate

        def spy(self: Engine, *arguments: Any, **settings: Any) -> Any:
            asked.append(settings["question"])
            return generate(self, *arguments, **settings)

        monkeypatch.setattr(Engine, "generate", spy)
        test = SpeedTest(lengths=(300,), repetitions=1, max_tokens=1)
        prompts = make_prompts(make_context(engine), test, None).prompts
        run_all(engine, prompts, ARMS[:1], test, lambda *_: None)
        assert asked == [prompts[0].question_span] * 2

    def test_progress_counts_every_run(self, engine: Engine) -> None:
        test = SpeedTest(lengths=(300,), repetitions=2, max_tokens=1)
        prompts = make_prompts(make_context(engine), test, None).prompts
        told: list[tuple[str, int, int]] = []
        run_all(engine, prompts, ARMS[:2], test, lambda *progress: told.append(progress))
        assert [(done, total) for _, done, total in told] == [(at, 6) for at in range(6)]
        assert told[1][0] == "snapkv 20%, 300 tokens"


class TestMeasureSpeed:
    """From a model to a report."""

    def test_it_is_stamped(self, context: MeasureContext) -> None:
        test = SpeedTest(lengths=(300,), repetitions=2, max_tokens=3, names=(MethodName.SNAPKV,))
        report = measure_speed(context, test)
        assert [row.arm for row in report.rows] == ["full", "snapkv 20%"]
        assert {row.output_tokens for row in report.rows} == {3}
        assert all(len(row.samples) == 2 for row in report.rows)
        full, snapkv = report.rows
        assert (full.kept_bytes, full.compute_ratio) == (full.full_bytes, 1)
        assert snapkv.kept_ratio == pytest.approx(0.2, abs=0.01)
        assert context.stamp.items() <= report.settings.items()
        assert report.settings["prompt_tokens"] == [300]
        assert report.machine["cores"] >= 1
        assert report.machine["threads"] >= 1
        assert report.machine["gpu"] is None
        assert isinstance(report.machine["instruction_sets"], list)
        assert report.machine["memory_bytes"] is None or report.machine["memory_bytes"] > 2**20

    def test_full_named_or_not_comes_once_and_first(self, context: MeasureContext) -> None:
        names = (MethodName.TOVA, MethodName.FULL)
        test = SpeedTest(lengths=(300,), repetitions=1, max_tokens=1, names=names)
        report = measure_speed(context, test)
        assert [row.name for row in report.rows] == ["full", "tova"]

    def test_headkv_without_scores_fails_before_any_run(
        self, context: MeasureContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def never(*_: Any, **__: Any) -> None:
            raise AssertionError("a run")

        monkeypatch.setattr(Engine, "generate", never)
        test = SpeedTest(lengths=(300,), repetitions=1, max_tokens=1, names=(MethodName.HEADKV,))
        with pytest.raises(UsageError, match="headkv needs scores"):
            measure_speed(context, test)
