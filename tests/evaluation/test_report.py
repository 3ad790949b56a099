"""Figures of a report, and the tables, JSON, CSV and picture made of it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fastkv_cli import SnapKV, StreamingLLM
from fastkv_cli.evaluation.arms import FULL, Arm
from fastkv_cli.evaluation.quality.quality_report import EvaluationReport, summarise
from fastkv_cli.evaluation.quality.quality_run import Result
from fastkv_cli.evaluation.quality.questions import Question
from fastkv_cli.output.render.heatmap import heatmap_png
from fastkv_cli.output.render.quality_tables import (
    HEADINGS,
    as_csv,
    as_json,
    as_markdown,
    as_tables,
    verdict,
)
from fastkv_cli.output.render.table_text import render_text

ARMS = [
    Arm("snapkv 10%", "snapkv", "10%", SnapKV()),
    Arm("snapkv 512 tokens", "snapkv", "512 tokens", SnapKV(capacity=512)),
    Arm("streamingllm 2048 tokens", "streamingllm", "2048 tokens", StreamingLLM(capacity=2048)),
]
LABELS = [FULL, *(arm.label for arm in ARMS)]
ROW_KEYS = [
    "arm", "name", "budget", "count", "accuracy", "of_full", "f1", "agreement", "kl",
    "kept_ratio", "compute_ratio", "ttft_ratio",
]  # fmt: skip


def make_question(suite: str, number: int, length: int = 1000, depth: float = 0.5) -> Question:
    return Question(
        suite, "task", length, depth, number, text="Who?", answers=("Ada",), document_ids=(1, 2)
    )


QUESTIONS = [
    make_question("needle", number, length, depth)
    for length in (1000, 16_000)
    for depth in (0.1, 0.9)
    for number in range(5)
] + [make_question("qa", number) for number in range(10)]


def make_report(
    right: Mapping[str, list[float]],
    questions: list[Question] = QUESTIONS,
    timed: Mapping[str, float] | None = None,
) -> EvaluationReport:
    """A report of the first arms, from the scores of each."""
    results = [
        Result(
            question=question.key,
            arm=label,
            correct=score,
            f1=score / 2,
            agrees=label == FULL or score == 1,
            kl=0.0 if label == FULL else 0.25,
            kept_ratio=1.0 if label == FULL else 0.1,
            compute_ratio=1.0 if label == FULL else 0.5,
            text="Ada",
        )
        for label, scores in right.items()
        for question, score in zip(questions, scores, strict=True)
    ]
    arms = [arm for arm in ARMS if arm.label in right]
    return summarise({"seed": 0}, questions, arms, results, timed or {}, seed=0)


@pytest.fixture(scope="module")
def report() -> EvaluationReport:
    """Full is right; the first arm nearly so, the second in part, the third in nothing."""
    return make_report(
        {
            LABELS[0]: [1.0] * 30,
            LABELS[1]: [1.0] * 30,
            LABELS[2]: [1.0, 0.0, 0.5] * 10,
            LABELS[3]: [0.0] * 30,
        },
        timed={LABELS[1]: 0.98, LABELS[2]: 0.555},
    )


class TestFigures:
    """Sums over questions."""

    def test_rows(self, report: EvaluationReport) -> None:
        assert [row.arm for row in report.rows] == LABELS
        full, _, part, none = report.rows
        assert (full.accuracy.value, full.of_full, full.kl) == (1, (1, 1, 1), 0)
        assert (full.ttft_ratio, part.ttft_ratio, none.ttft_ratio) == (1, 0.555, None)
        assert (part.accuracy.value, part.of_full.value, part.f1) == (0.5, 0.5, 0.25)
        assert part.agreement.value == pytest.approx(1 / 3)
        assert (part.kl, part.kept_ratio, part.compute_ratio) == pytest.approx((0.25, 0.1, 0.5))
        assert none.of_full == (0, 0, 0)
        assert {row.count for row in report.rows} == {30}

    def test_suites_are_counted_apart(self, report: EvaluationReport) -> None:
        assert [(name, rows[0].count) for name, rows in report.suites.items()] == [
            ("needle", 20),
            ("qa", 10),
        ]
        assert [row.arm for row in report.suites["qa"]] == LABELS

    def test_needles_are_counted_by_place(self, report: EvaluationReport) -> None:
        places = report.needles[LABELS[2]]
        assert set(places) == {(1000, 0.1), (1000, 0.9), (16_000, 0.1), (16_000, 0.9)}
        assert places[1000, 0.1] == pytest.approx((1 + 0 + 0.5 + 1 + 0) / 5)
        assert places[1000, 0.9] == pytest.approx((0.5 + 1 + 0 + 0.5 + 1) / 5)

    def test_the_ratio_is_full_s_on_the_same_questions(self) -> None:
        made = make_report({LABELS[0]: [1.0, 0.0] * 15, LABELS[1]: [0.5, 0.0] * 15})
        assert made.rows[1].of_full == pytest.approx((0.5, 0.5, 0.5))
        assert made.rows[1].accuracy.value == 0.25


class TestVerdict:
    """Which differences mean something."""

    def test_it_names_both_kinds(self, report: EvaluationReport) -> None:
        different, level = verdict(report).splitlines()[1:]
        assert different == (
            "Significantly different from full: snapkv 512 tokens, streamingllm 2048 tokens."
        )
        assert level == "Not distinguishable from full with these questions: snapkv 10%."

    def test_a_kind_without_arms_is_left_out(self) -> None:
        level = verdict(make_report({LABELS[0]: [1.0] * 30, LABELS[1]: [1.0] * 30}))
        assert "Significantly different" not in level
        different = verdict(make_report({LABELS[0]: [1.0] * 30, LABELS[1]: [0.0] * 30}))
        assert "Not distinguishable" not in different

    def test_one_answer_of_thirty_is_chance(self) -> None:
        made = make_report({LABELS[0]: [1.0] * 30, LABELS[1]: [0.0] + [1.0] * 29})
        assert not made.rows[1].differs_from_full

    def test_one_that_is_better_differs_too(self) -> None:
        made = make_report({LABELS[0]: [0.0, 1.0] * 15, LABELS[1]: [1.0] * 30})
        assert made.rows[1].differs_from_full

    def test_where_full_finds_nothing_nothing_can_be_told(self) -> None:
        made = make_report({LABELS[0]: [0.0] * 30, LABELS[1]: [0.0] * 30})
        assert math.isnan(made.rows[1].of_full.value)
        assert not made.rows[1].differs_from_full
        assert "Significantly different" not in verdict(made)


class TestTables:
    """For people, in 100 columns."""

    def lines(self, report: EvaluationReport) -> list[str]:
        return render_text(*as_tables(report)).splitlines()

    def test_columns(self, report: EvaluationReport) -> None:
        lines = self.lines(report)
        assert lines[0].strip() == "30 questions"
        assert re.split(r"  +", lines[1].strip()) == list(HEADINGS)
        assert re.split(r"  +", lines[4].strip()) == [
            "snapkv", "512 tokens", "50% [33–67]", *re.findall("50% .*?]", lines[4])[1:],
            "33% [19–51]", "0.250", "0.56", "50%", "10%",
        ]  # fmt: skip
        assert re.split(r"  +", lines[5].strip())[6] == "–"  # not timed

    def test_a_table_for_each_suite(self, report: EvaluationReport) -> None:
        text = "\n".join(self.lines(report))
        assert "needle, 20 questions" in text
        assert "qa, 10 questions" in text
        alone = make_report({LABELS[0]: [1.0] * 20, LABELS[1]: [1.0] * 20}, QUESTIONS[:20])
        assert "needle, 20 questions" not in "\n".join(self.lines(alone))

    def test_100_columns_are_enough(self, report: EvaluationReport) -> None:
        lines = self.lines(report)
        assert max(map(len, lines)) <= 100
        assert "…" not in "\n".join(lines)
        for row in report.rows:
            assert sum(row.name in line and row.budget in line for line in lines) >= 3

    def test_the_needles_by_place(self, report: EvaluationReport) -> None:
        text = "\n".join(self.lines(report))
        assert "needles found, by depth and tokens of the prompt" in text
        assert "16,000" in text
        assert re.search(r"10% +██ 100%", text)
        assert re.search(r"90% +·· +0%", text)

    def test_no_needles_no_picture(self) -> None:
        qa = make_report({LABELS[0]: [1.0] * 10, LABELS[1]: [1.0] * 10}, QUESTIONS[20:])
        assert "needles found" not in "\n".join(self.lines(qa))

    def test_what_was_not_measured_is_a_dash(self) -> None:
        made = make_report({LABELS[0]: [0.0] * 30, LABELS[1]: [0.0] * 30})
        assert "nan" not in "\n".join(self.lines(made)).lower()

    def test_markdown_has_the_same_cells(self, report: EvaluationReport) -> None:
        lines = as_markdown(report.rows).splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        assert rows[0] == list(HEADINGS)
        assert set(rows[1]) == {"---"}
        assert len(rows) == 2 + len(LABELS)
        assert {len(row) for row in rows} == {len(HEADINGS)}


class TestJson:
    """For programs."""

    def test_its_keys_are_frozen(self, report: EvaluationReport) -> None:
        found: dict[str, Any] = json.loads(as_json(report))
        assert list(found) == [
            "schema", "settings", "methods", "suites", "needles", "questions", "scores",
        ]  # fmt: skip
        assert found["schema"] == "fastkv-eval/1"
        assert [list(row) for row in found["methods"]] == [ROW_KEYS] * len(LABELS)
        assert list(found["suites"]) == ["needle", "qa"]
        assert [list(row) for row in found["suites"]["qa"]] == [ROW_KEYS] * len(LABELS)
        assert list(found["methods"][0]["accuracy"]) == ["value", "low", "high"]
        assert list(found["needles"]) == LABELS
        assert list(found["needles"][FULL][0]) == ["length", "depth", "accuracy"]
        assert found["questions"] == [question.key for question in QUESTIONS]
        assert found["scores"][LABELS[2]] == [1.0, 0.0, 0.5] * 10

    def test_what_is_not_known_is_null(self) -> None:
        text = as_json(make_report({LABELS[0]: [0.0] * 30, LABELS[1]: [1.0] * 30}))
        found = json.loads(text, parse_constant=pytest.fail)  # NaN is no JSON
        assert found["methods"][1]["of_full"] == {"value": None, "low": None, "high": None}
        assert found["methods"][1]["ttft_ratio"] is None


class TestCsv:
    """For spreadsheets."""

    def test_a_line_for_each_method_and_suite(self, report: EvaluationReport) -> None:
        rows = list(csv.DictReader(io.StringIO(as_csv(report))))
        assert [(row["suite"], row["arm"]) for row in rows] == [
            (suite, label) for suite in ("all", "needle", "qa") for label in LABELS
        ]
        assert list(rows[0])[:5] == ["suite", "arm", "name", "budget", "count"]
        assert None not in rows[0]  # no line is longer than the first
        part = rows[2]
        assert (part["accuracy"], part["of_full"], part["f1"]) == ("0.5", "0.5", "0.25")
        assert float(part["of_full_low"]) < 0.5 < float(part["of_full_high"])
        assert (part["ttft_ratio"], rows[3]["ttft_ratio"]) == ("0.555", "")


class TestHeatmap:
    """The needles as a picture."""

    @pytest.mark.parametrize("count", [1, 2, 4])
    def test_a_png_with_a_panel_for_each_arm(
        self, report: EvaluationReport, tmp_path: Path, count: int
    ) -> None:
        image = pytest.importorskip("PIL.Image")
        needles = {label: report.needles[label] for label in LABELS[:count]}
        png = heatmap_png(needles)
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        (tmp_path / "a.png").write_bytes(png)
        with image.open(tmp_path / "a.png") as opened:
            opened.verify()
        assert struct.unpack(">II", png[16:24])[0] >= 450 * min(count, 3)
        with image.open(tmp_path / "a.png") as opened:
            colours = {pixel for _, pixel in opened.convert("RGB").getcolors(1 << 24)}
        green, red = (0, 104, 55), (165, 0, 38)  # the ends of RdYlGn
        assert green in colours
        assert (red in colours) is (count == 4)  # the last arm finds nothing

    def test_places_that_were_not_asked_are_left_white(self) -> None:
        png = heatmap_png({"full": {(1000, 0.1): 1.0, (2000, 0.9): 0.0}})
        assert png.startswith(b"\x89PNG")
