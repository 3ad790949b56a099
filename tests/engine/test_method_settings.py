"""What can be set of each method, what cannot, and what follows for a prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cases import CASES, HEAD_SCORES, TUNING, make_head_scores

from fastkv_cli import (
    H2O,
    TOVA,
    AdaKV,
    FastKV,
    Full,
    GemFilter,
    HeadKV,
    PyramidKV,
    SnapKV,
    StreamingLLM,
)
from fastkv_cli.config import Budget, MethodName, MethodSettings, Preset
from fastkv_cli.engine.methods import (
    METHODS,
    Method,
    Plan,
    PromptShape,
    build_method,
    build_scoring_method,
)
from fastkv_cli.engine.tuning import PresetSettings, Tuning
from fastkv_cli.errors import UsageError

COMPRESSING = [name for name in METHODS if name is not MethodName.FULL]
WITHOUT_TSP = [
    MethodName.SNAPKV,
    MethodName.HEADKV,
    MethodName.ADAKV,
    MethodName.PYRAMIDKV,
    MethodName.STREAMINGLLM,
    MethodName.H2O,
    MethodName.TOVA,
]
UNMEASURED = Tuning()


def plan(method: Method, num_tokens: int, num_layers: int = 4) -> Plan:
    return method.plan(PromptShape(num_tokens, num_layers, 4, 2))


def settle(**changes: Any) -> Method:
    return build_method(MethodSettings(MethodName.FASTKV, **changes), UNMEASURED)


@pytest.mark.parametrize("name", COMPRESSING)
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"retention_rate": 0.0}, r"retention rate 0 .*\(0, 1\]"),
        ({"retention_rate": -0.1}, r"retention rate -0.1 .*\(0, 1\]"),
        ({"retention_rate": 1.1}, r"retention rate 1.1 .*\(0, 1\]"),
        ({"capacity": 0}, "capacity 0 .*(1 or more|window)"),
        ({"capacity": -9}, "capacity -9 .*(1 or more|window)"),
    ],
    ids=str,
)
def test_budgets_out_of_range(name: MethodName, settings: dict[str, Any], words: str) -> None:
    method = CASES[f"{name}-default"]
    with pytest.raises(UsageError, match=words):
        replace(method, **settings)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (FastKV, {"tsp_rate": 0.0}, r"TSP rate 0 .*\(0, 1\]"),
        (FastKV, {"tsp_rate": 1.1}, r"TSP rate 1.1 .*\(0, 1\]"),
        (FastKV, {"retention_rate": 0.3}, r"0.3 is above the TSP rate 0.2: .*\(0, 0.2\]"),
        (FastKV, {"tsp_layer": -1}, "TSP layer -1 .*from 0"),
        (FastKV, {"tsp_length": 8}, "TSP length 8 .*more than .*8 tokens"),
        (FastKV, {"capacity": 8}, "capacity 8 .*more than .*8 tokens"),
        (FastKV, {"capacity": 20, "window_size": 32}, "capacity 20 .*32 tokens"),
        (SnapKV, {"window_size": 0}, "window size 0 .*1 or more"),
        (SnapKV, {"kernel_size": 0}, "kernel size 0 .*odd"),
        (SnapKV, {"kernel_size": 4}, "kernel size 4 .*odd"),
        (SnapKV, {"pooling": "mean"}, "'mean' .*max.*avg"),
        (SnapKV, {"capacity": 8}, "capacity 8 .*more than .*8 tokens"),
        (AdaKV, {"floor": -0.1}, r"floor -0.1 .*\[0, 1\]"),
        (AdaKV, {"floor": 1.1}, r"floor 1.1 .*\[0, 1\]"),
        (AdaKV, {"window_size": 0}, "window size 0"),
        (HeadKV, {"head_scores": HEAD_SCORES, "beta": 0.9}, "beta 0.9 .*1 or more"),
        (HeadKV, {"head_scores": HEAD_SCORES, "kernel_size": 2}, "kernel size 2"),
        (HeadKV, {"head_scores": ()}, "head scores are not shares.*fastkv profile-heads"),
        (HeadKV, {"head_scores": ((0.0, 0.0),)}, "head scores are not shares"),
        (PyramidKV, {"beta": 0.5}, "beta 0.5 .*1 or more"),
        (PyramidKV, {"window_size": -1}, "window size -1"),
        (StreamingLLM, {"num_sinks": -1}, "-1 sinks .*0 or more"),
        (GemFilter, {"kernel_size": 4}, "kernel size 4 .*odd"),
        (GemFilter, {"kernel_size": 0}, "kernel size 0 .*odd"),
        (GemFilter, {"filter_layer": -1}, "filter layer -1 .*from 0"),
        (H2O, {"capacity": 0}, "capacity 0"),
        (TOVA, {"capacity": 0}, "capacity 0"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value)[:40],
)
def test_settings_out_of_range(kind: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        kind(**settings)


def test_a_layer_that_the_model_lacks() -> None:
    with pytest.raises(UsageError, match=r"TSP layer 30 is out of range: .*layers 0 to 29"):
        plan(FastKV(tsp_layer=30), 100, 30)
    with pytest.raises(UsageError, match=r"filter layer 30 is out of range: .*layers 0 to 29"):
        plan(GemFilter(filter_layer=30), 100, 30)


@pytest.mark.parametrize(
    ("method", "num_layers", "layer"),
    [
        (FastKV(tsp_layer=29), 30, 29),
        (FastKV(), 32, 15),  # the papers' choices
        (FastKV(), 36, 17),
        (FastKV(), 40, 19),
        (FastKV(), 1, 0),
        (GemFilter(filter_layer=29), 30, 29),
        (GemFilter(), 32, 13),
        (GemFilter(), 1, 0),
    ],
)
def test_where_tokens_are_left_behind(method: Method, num_layers: int, layer: int) -> None:
    tsp = plan(method, 1000, num_layers).tsp
    assert tsp is not None
    assert tsp.layer == layer
    assert tsp.restart is isinstance(method, GemFilter)


@pytest.mark.parametrize("name", WITHOUT_TSP)
@pytest.mark.parametrize("changes", [{"tsp_layer": 1}, {"tsp_rate": 0.5}], ids=str)
def test_tsp_options_mean_nothing_without_tsp(name: MethodName, changes: dict[str, Any]) -> None:
    words = f"method {name} has no Token-Selective Propagation: leave out --tsp-layer"
    with pytest.raises(UsageError, match=words):
        build_method(MethodSettings(name, **changes), TUNING)


def test_gemfilter_has_a_layer_but_no_rate() -> None:
    settings = MethodSettings(MethodName.GEMFILTER, tsp_layer=1)
    assert build_method(settings, TUNING) == GemFilter(filter_layer=1, retention_rate=0.2)
    with pytest.raises(UsageError, match=r"gemfilter has no TSP rate: .*--budget"):
        build_method(MethodSettings(MethodName.GEMFILTER, tsp_rate=0.5), TUNING)


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": Budget(rate=0.1)},
        {"tsp_layer": 1},
        {"tsp_rate": 0.5},
        {"preset": Preset.FAST},
    ],
    ids=str,
)
def test_full_has_nothing_to_set(changes: dict[str, Any]) -> None:
    settings = MethodSettings(MethodName.FULL, **changes)
    with pytest.raises(UsageError, match="keeps everything: leave out --budget"):
        build_method(settings, UNMEASURED)
    assert build_method(MethodSettings(MethodName.FULL), UNMEASURED) == Full()
    assert Full().budget == "100%"


def test_headkv_without_scores_says_how_to_make_them() -> None:
    tuning = Tuning("some/model")
    with pytest.raises(UsageError, match="fastkv profile-heads some/model"):
        build_method(MethodSettings(MethodName.HEADKV), tuning)
    method = build_method(MethodSettings(MethodName.HEADKV), TUNING)
    assert isinstance(method, HeadKV)
    assert method.head_scores == HEAD_SCORES


@pytest.mark.parametrize(("num_layers", "num_heads"), [(3, 4), (5, 4), (4, 2), (4, 8)])
@pytest.mark.parametrize("num_tokens", [5, 200])
def test_head_scores_of_another_model_are_refused(
    num_layers: int, num_heads: int, num_tokens: int
) -> None:
    method = HeadKV(head_scores=make_head_scores(num_layers, num_heads))
    with pytest.raises(UsageError, match="another model: this one has 4 layers of 4 heads"):
        plan(method, num_tokens)


@pytest.mark.parametrize("name", COMPRESSING)
def test_the_budget_is_the_user_s_else_the_preset_s(name: MethodName) -> None:
    def built(**changes: Any) -> Method:
        return build_method(MethodSettings(name, **changes), TUNING)

    assert built().budget == built(preset=Preset.BALANCED).budget == "20%"
    assert built(preset=Preset.FAST).budget == "10%"
    assert built(preset=Preset.QUALITY).budget == "40%"
    assert built(budget=Budget(rate=0.3)).budget == "30%"
    assert built(budget=Budget(rate=0.3), preset=Preset.FAST).budget == "30%"
    assert built(budget=Budget(tokens=64)).budget == "64 tokens"


def test_fastkv_takes_the_preset_that_was_measured() -> None:
    presets = {
        preset: PresetSettings(tsp_layer=index, tsp_rate=0.5, budget=Budget(rate=0.3))
        for index, preset in enumerate(Preset)
    }
    tuning = Tuning(presets=presets, full_below=99)
    for index, preset in enumerate(Preset):
        settings = MethodSettings(MethodName.FASTKV, preset=preset)
        expected = FastKV(tsp_layer=index, tsp_rate=0.5, retention_rate=0.3)
        assert build_method(settings, tuning) == expected
    by_default = FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.3, full_below=99)
    assert build_method(MethodSettings(MethodName.FASTKV), tuning) == by_default


def test_a_budget_above_the_default_tsp_rate_raises_it() -> None:
    assert settle(budget=Budget(rate=0.6)) == FastKV(tsp_rate=0.6, retention_rate=0.6)
    assert settle(budget=Budget(rate=0.05)) == FastKV(retention_rate=0.05)


def test_a_tsp_rate_below_the_default_budget_lowers_it() -> None:
    assert settle(tsp_rate=0.1) == FastKV(tsp_rate=0.1, retention_rate=0.1)
    assert settle(tsp_rate=0.3) == FastKV(tsp_rate=0.3, retention_rate=0.2)


def test_a_budget_above_a_tsp_rate_that_was_set_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"\(0, 0.2\]"):
        settle(budget=Budget(rate=0.6), tsp_rate=0.2)


def test_a_budget_in_tokens() -> None:
    method = settle(budget=Budget(tokens=64))
    assert plan(method, 1000).capacities == (64, 64, 64, 64)
    assert plan(method, 50).capacities == (50, 50, 10, 10)
    with pytest.raises(UsageError, match="more than the observation window of 8 tokens"):
        settle(budget=Budget(tokens=8))


@pytest.mark.parametrize(
    "changes",
    [{"budget": Budget(rate=0.2)}, {"tsp_layer": 1}, {"tsp_rate": 0.5}, {"preset": "balanced"}],
    ids=str,
)
def test_settings_of_one_s_own_hold_for_short_prompts_too(changes: dict[str, Any]) -> None:
    assert plan(settle(), 511).capacities == (511,) * 4
    assert "under 512 tokens" in plan(settle(), 511).note
    assert plan(settle(), 512).capacities == (102,) * 4
    assert plan(settle(**changes), 500).capacities[0] == 100
    assert plan(settle(**changes), 500).note == ""


@pytest.mark.parametrize(
    "method",
    [FastKV(), SnapKV(), AdaKV(), PyramidKV(), HeadKV(head_scores=HEAD_SCORES)],
    ids=lambda method: method.name,
)
def test_a_budget_below_the_window_runs_in_full(method: Method) -> None:
    short = plan(method, 79)
    assert short.capacities == (79,) * 4
    assert short.tsp is None
    assert "below the observation window" in short.note
    assert plan(method, 200).capacities != (200,) * 4
    assert plan(method, 200).note == ""


@pytest.mark.parametrize("window", [1, 8, 40])
def test_the_scoring_method_observes_the_question(window: int) -> None:
    method = build_scoring_method(Tuning(scoring_layer=2), window)
    scoring = plan(method, window + 100)
    assert method.window_size == scoring.window == window
    assert scoring.tsp is not None
    assert scoring.tsp.layer == 2
    unmeasured = plan(build_scoring_method(UNMEASURED, window), window + 100)
    assert unmeasured.tsp is not None
    assert unmeasured.tsp.layer == 1
