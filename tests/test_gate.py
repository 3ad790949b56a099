"""The accuracy gate: a fixed list of questions, paired with full, resumed by setting."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import BENCHMARKS, RunBenchmark

from fastkv_cli.config import MethodName, Preset, Suite
from fastkv_cli.errors import UsageError


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("gate")


def test_the_list_is_what_is_asked(gate: Any, embedded_dir: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_dir)
    questions = gate.draw_questions(tokenizer)
    listed = [json.loads(line) for line in gate.LIST.read_text("utf-8").splitlines()]
    assert [gate.describe(each) for each in questions] == listed
    assert len({each["key"] for each in listed}) == len(listed) == 240
    assert {key["key"].split("/")[0] for key in listed[:12]} == {*Suite}


def test_answers_are_kept_by_setting(
    run_benchmark: RunBenchmark,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path))
    common = ("--model", str(tiny_models["llama"]), "--questions")
    by_hand = "--tsp-layer 2 --tsp-rate 0.3"
    stdout, report = run_benchmark("gate.py", "fast", by_hand, *common, "1")
    full, *others = report["rows"]
    assert [row["setting"] for row in report["rows"]] == ["full", "fast", by_hand]
    assert full["compute_ratio"] == 1 > max(row["compute_ratio"] for row in others)
    assert "tsp_rate=0.3" in report["methods"][by_hand]
    assert f"| {by_hand} | 1 |" in stdout
    kept = sorted(path.read_text() for path in (tmp_path / "gate").glob("*.jsonl"))
    assert len(kept) == 3
    _, again = run_benchmark("gate.py", by_hand, *common, "2")
    assert [row["questions"] for row in again["rows"]] == [2, 2]
    after = sorted(path.read_text() for path in (tmp_path / "gate").glob("*.jsonl"))
    assert len(after) == 3
    assert sum(text.startswith(before) for text, before in zip(after, kept, strict=True)) == 3
    assert sum(text == before for text, before in zip(after, kept, strict=True)) == 1  # fast's


def test_settings_are_names_or_options(gate: Any) -> None:
    assert gate.parse_setting("quality").preset is Preset.QUALITY
    assert gate.parse_setting("snapkv").method is MethodName.SNAPKV
    options = gate.parse_setting("--preset fast --tsp-layer 12 --dtype float32")
    assert (options.preset, options.tsp_layer, options.dtype) == ("fast", 12, "float32")
    for text in ("best", "--tsp-layer many", "--no-such 1", "", "--preset best", '--preset "'):
        with pytest.raises(UsageError):
            gate.parse_setting(text)


def test_bounds_are_of_the_figure_and_of_its_interval(gate: Any) -> None:
    answer = {"compute_ratio": 0.5, "kept_ratio": 0.2}
    full = [1.0] * 200
    for right, holds in ((196, True), (190, False)):
        answers = [{"correct": float(at < right), **answer} for at in range(200)]
        row = gate.summarize("balanced", answers, full)
        assert (row["of_full"]["value"], row["holds"]) == (right / 200, holds)
        assert (row["lost"], row["gained"]) == (200 - right, 0)
        assert gate.summarize("fast", answers, full)["holds"]
    few = [{"correct": float(at < 13), **answer} for at in range(13)]
    assert gate.summarize("balanced", few, [1.0] * 13)["holds"]
