"""Plans of several steps: which are proposed, and when a preset takes one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from measuring import make_context

from fastkv_cli import Engine
from fastkv_cli.config import Preset
from fastkv_cli.evaluation.quality.preset_choice import BUDGETS, Setting
from fastkv_cli.evaluation.quality.questions import Question
from fastkv_cli.evaluation.quality.step_search import Proposal, StepSearch, early_steps, late_steps
from fastkv_cli.propagation import PropagationStep
from fastkv_cli.store.journal import Journal

LAYERS = range(30)


def written(plans: Any) -> list[str]:
    return [",".join(map(str, steps)) for steps in plans]


def test_early_steps_begin_before_the_single_one() -> None:
    assert written(early_steps(10, 0.3, LAYERS, 30)) == [
        "8:0.6,12:0.3",
        "8:0.6,12:0.3,16:0.15",
        "6:0.6,14:0.3",
        "6:0.6,14:0.3,22:0.15",
    ]
    assert early_steps(10, 0.5, LAYERS, 30) == []  # all tokens would go on at first


def test_late_steps_go_on_behind_it() -> None:
    assert written(late_steps(17, 0.2, LAYERS, 30)) == ["17:0.2,21:0.1", "17:0.2,25:0.1"]
    assert written(late_steps(24, 0.2, LAYERS, 30)) == ["24:0.2,28:0.1"]


def test_steps_are_at_global_layers() -> None:
    assert written(early_steps(11, 0.2, (5, 11, 17, 23), 24)) == [
        "5:0.4,11:0.2",  # layers 9 and 13 both have 11 for the nearest, so these are not tried
        "5:0.4,11:0.2,17:0.1",
    ]
    assert written(early_steps(11, 0.2, (5, 8, 11, 14, 17, 20, 23), 24)) == [
        "8:0.4,14:0.2",
        "8:0.4,14:0.2,17:0.1",
        "8:0.4,14:0.2,20:0.1",
    ]


def make_search(tiny: Path, results: dict[str, dict[str, float]]) -> StepSearch:
    questions = [
        Question("needle", "task", 600, 0.5, number, "Which?", ("1",)) for number in (0, 1)
    ]
    journal = Journal("made-up", {})
    for question in questions:
        for preset in (Preset.FAST, Preset.BALANCED):
            for text, result in results.items():
                plan = Proposal(preset, PropagationStep.parse_all(text))
                journal.results[plan.key(question)] = result
    return StepSearch(make_context(Engine.load(str(tiny), dtype="float32")), questions, journal)


def test_a_preset_takes_the_cheapest_steps_within_its_loss(
    tmp_path: Path, tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path))
    single = Setting(2, 0.3, 0.01, 1.0, 1.0, 0.7)
    presets = {each: asdict(single) | {"budget": BUDGETS[each]} for each in Preset}
    good = {"full": 1.0, "square": 1.0, "score": 1.0, "distance": 0.005, "compute": 0.5}
    far = {**good, "distance": 0.5, "compute": 0.3}
    found = make_search(tiny_models["llama"], {"1:0.6,3:0.3": good, "2:0.3,3:0.15": far}).improve(
        presets, 0.01
    )
    assert found[Preset.FAST]["tsp_steps"] == "1:0.6,3:0.3"
    assert (found[Preset.FAST]["tsp_layer"], found[Preset.FAST]["tsp_rate"]) == (2, 0.3)
    assert found[Preset.FAST]["compute_ratio"] == 0.5
    assert found[Preset.BALANCED] == presets[Preset.BALANCED]
    assert found[Preset.QUALITY] == presets[Preset.QUALITY]
