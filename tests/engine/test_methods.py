"""Every method in one matrix: a new one joins it by its entry in METHODS."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
import torch

from fastkv_cli import Engine, FastKV, Full
from fastkv_cli.config import Budget, MethodDefaults, MethodName, MethodSettings
from fastkv_cli.engine.attention import Kernel
from fastkv_cli.engine.methods import METHODS, Method, build_method, build_scoring_method
from fastkv_cli.engine.prefill import prefill
from fastkv_cli.errors import UsageError

DEFAULTS = MethodDefaults()
LENGTHS = [1, 2, 7, 8, 9, 16, 79, 200]


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype="float32", device="cpu")


def every_setting(name: MethodName) -> list[MethodSettings]:
    """The settings that a method takes, the default ones first."""
    choices = [
        MethodSettings(name),
        MethodSettings(name, budget=Budget(rate=0.25), tsp_rate=0.5),
        MethodSettings(name, budget=Budget(rate=1.0)),
        MethodSettings(name, budget=Budget(tokens=9)),
        MethodSettings(name, budget=Budget(tokens=5000)),
        MethodSettings(name, tsp_layer=0),
        MethodSettings(name, tsp_layer=3, tsp_rate=1.0),
    ]
    taken = []
    for settings in choices:
        try:
            METHODS[name].from_settings(settings, DEFAULTS)
        except UsageError:
            continue
        taken.append(settings)
    return taken


MATRIX = [settings for name in METHODS for settings in every_setting(name)]


def make_prompt(length: int) -> list[int]:
    generator = torch.Generator().manual_seed(length)
    return torch.randint(3, 300, (length,), generator=generator).tolist()


def test_every_name_has_a_method() -> None:
    assert set(METHODS) == set(MethodName)
    for name, method in METHODS.items():
        assert method.name == name
        assert every_setting(name)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("settings", MATRIX, ids=str)
def test_every_method_reads_every_prompt(
    engine: Engine, settings: MethodSettings, length: int
) -> None:
    method = METHODS[settings.name].from_settings(settings, DEFAULTS)
    ids = torch.tensor(make_prompt(length))
    plan = method.plan(length, 4)
    read = prefill(engine.decoder, ids, method, kernel=Kernel.SDPA)
    assert read.plan == plan
    assert read.cache.next_position == length
    assert torch.isfinite(read.logits).all()
    for layer in range(4):
        seen, positions = read.tokens_seen[layer], read.cache.positions(layer)
        assert 1 <= read.cache.length(layer) <= seen <= length
        assert read.cache.length(layer) == min(plan.capacities[layer], seen)
        assert (positions.diff(dim=-1) > 0).all()  # ascending, each once
        assert positions.min() >= 0
        window = list(range(length - min(plan.window, length), length))
        for head in positions.tolist():
            assert head[len(head) - len(window) :] == window
            assert head[-1] == length - 1
    assert list(read.tokens_seen) == sorted(read.tokens_seen, reverse=True)


@pytest.mark.parametrize("settings", MATRIX, ids=str)
def test_every_method_decodes(engine: Engine, settings: MethodSettings) -> None:
    method = METHODS[settings.name].from_settings(settings, DEFAULTS)
    for length in (1, 9, 200):
        one = engine.generate(make_prompt(length), method, 4)
        assert one.token_ids == engine.generate(make_prompt(length), method, 4).token_ids
        assert one.kv.method == settings.name
        assert 0 < one.kv.kept_bytes <= one.kv.full_bytes
        assert one.kv.budget == method.budget


@pytest.mark.parametrize("settings", MATRIX, ids=str)
def test_methods_are_values(settings: MethodSettings) -> None:
    method = METHODS[settings.name].from_settings(settings, DEFAULTS)
    assert method == METHODS[settings.name].from_settings(settings, DEFAULTS)
    assert hash(method) == hash(METHODS[settings.name].from_settings(settings, DEFAULTS))
    for field in fields(method):  # type: ignore[arg-type]
        with pytest.raises(FrozenInstanceError):
            setattr(method, field.name, None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tsp_rate": 0.0}, r"TSP rate 0 .*\(0, 1\]"),
        ({"tsp_rate": 1.1}, r"TSP rate 1.1 .*\(0, 1\]"),
        ({"retention_rate": 0.0}, r"retention rate 0 .*\(0, 1\]"),
        ({"retention_rate": -0.1}, r"retention rate -0.1 .*\(0, 1\]"),
        ({"retention_rate": 1.5, "tsp_rate": 1.0}, r"\(0, 1\]"),
        ({"retention_rate": 0.3}, r"0.3 is above the TSP rate 0.2: .*\(0, 0.2\]"),
        ({"window_size": 0}, "window size 0 .*1 or more"),
        ({"kernel_size": 0}, "kernel size 0 .*odd"),
        ({"kernel_size": 4}, "kernel size 4 .*odd"),
        ({"pooling": "mean"}, "'mean' .*max.*avg"),
        ({"tsp_layer": -1}, "TSP layer -1 .*from 0"),
        ({"tsp_length": 8}, "TSP length 8 .*more than .*8 tokens"),
        ({"capacity": 8}, "capacity 8 .*more than .*8 tokens"),
        ({"capacity": 20, "window_size": 32}, "capacity 20 .*32 tokens"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_out_of_range(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        FastKV(**settings)


def test_a_layer_that_the_model_lacks() -> None:
    with pytest.raises(UsageError, match=r"TSP layer 30 is out of range: .*layers 0 to 29"):
        FastKV(tsp_layer=30).plan(100, 30)
    assert FastKV(tsp_layer=29).plan(100, 30).tsp_layer == 29
    assert FastKV().plan(100, 32).tsp_layer == 15  # the paper's choice
    assert FastKV().plan(100, 1).tsp_layer == 0


def settle(**changes: Any) -> Method:
    return FastKV.from_settings(MethodSettings(**changes), DEFAULTS)


def test_nothing_set_is_the_model_s_defaults() -> None:
    defaults = MethodDefaults(tsp_layer=3, tsp_rate=0.5, budget=Budget(rate=0.3), full_below=99)
    assert FastKV.from_settings(MethodSettings(), defaults) == FastKV(
        tsp_layer=3, tsp_rate=0.5, retention_rate=0.3, full_below=99
    )


def test_a_budget_above_the_default_tsp_rate_raises_it() -> None:
    assert settle(budget=Budget(rate=0.6)) == FastKV(tsp_rate=0.6, retention_rate=0.6)
    assert settle(budget=Budget(rate=0.05)) == FastKV(retention_rate=0.05)


def test_a_budget_above_a_tsp_rate_that_was_set_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"\(0, 0.2\]"):
        settle(budget=Budget(rate=0.6), tsp_rate=0.2)


def test_a_budget_in_tokens() -> None:
    method = settle(budget=Budget(tokens=64))
    assert isinstance(method, FastKV)
    assert method.capacity == 64
    assert method.budget == "64 tokens"
    assert method.plan(1000, 4).capacities == (64, 64, 64, 64)
    assert method.plan(50, 4).capacities[0] == 50
    with pytest.raises(UsageError, match="more than the observation window of 8 tokens"):
        settle(budget=Budget(tokens=8))


@pytest.mark.parametrize(
    "changes", [{"budget": Budget(rate=0.1)}, {"tsp_layer": 1}, {"tsp_rate": 0.5}], ids=str
)
def test_settings_of_one_s_own_hold_for_short_prompts_too(changes: dict[str, Any]) -> None:
    assert settle().plan(500, 4).capacities == (500,) * 4
    assert "under 1,024 tokens" in settle().plan(500, 4).note
    assert settle().plan(1024, 4).capacities == (102,) * 4
    assert settle(**changes).plan(500, 4).capacities[0] == 50
    assert settle(**changes).plan(500, 4).note == ""


def test_a_budget_below_the_window_runs_in_full() -> None:
    plan = FastKV(retention_rate=0.1).plan(79, 4)
    assert plan.capacities == (79,) * 4
    assert plan.tsp_layer is None
    assert "below the observation window" in plan.note
    assert FastKV(retention_rate=0.1).plan(80, 4).capacities == (8,) * 4


@pytest.mark.parametrize(
    "changes", [{"budget": Budget(rate=1.0)}, {"tsp_layer": 1}, {"tsp_rate": 0.5}], ids=str
)
def test_full_has_nothing_to_set(changes: dict[str, Any]) -> None:
    settings = MethodSettings(MethodName.FULL, **changes)
    with pytest.raises(UsageError, match="leave out --budget, --tsp-layer and --tsp-rate"):
        build_method(settings, "any model")
    assert build_method(MethodSettings(MethodName.FULL), "any model") == Full()
    assert Full().budget == "100%"


def test_methods_by_name_of_model() -> None:
    settings = MethodSettings()
    assert build_method(settings, "any model") == FastKV(full_below=DEFAULTS.full_below)
    tuned = build_method(settings, "smollm2-135m")
    assert isinstance(tuned, FastKV)
    assert tuned.plan(2000, 30).tsp_layer is not None


@pytest.mark.parametrize("window", [1, 8, 40])
def test_the_scoring_method_observes_the_question(window: int) -> None:
    method = build_scoring_method("any model", window)
    assert method.window_size == window
    plan = method.plan(window + 100, 4)
    assert plan.window == window
    assert plan.tsp_layer is not None
