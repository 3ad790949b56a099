"""fastkv-probe: the question as the window, and the scores of all layers, against plain sums."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cases import (
    HEADS,
    KV_HEADS,
    LAYERS,
    TUNING,
    eager_weights,
    make_prompt,
    read_prompt,
    shared_tiny,
)
from torch import Tensor

from fastkv_cli import Engine, FastKV, FastKVProbe
from fastkv_cli.config import Budget, MethodName, MethodSettings, Preset
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import Plan, PromptShape, build_method
from fastkv_cli.engine.prefill import PrefillResult
from fastkv_cli.engine.tuning import Tuning

LENGTH = 200
QUESTION = slice(170, 186)
GROUP = HEADS // KV_HEADS


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


@pytest.fixture(scope="module")
def weights(tiny_models: dict[str, Path]) -> list[Tensor]:
    return eager_weights(tiny_models["llama"], LENGTH)


def read(engine: Engine, method: FastKVProbe, question: slice | None = QUESTION) -> PrefillResult:
    ids = torch.tensor(make_prompt(LENGTH))
    return read_prompt(engine, ids, method, LayerRunner(Kernel.SDPA), question=question)


def plan_of(method: FastKV, question: slice | None, num_tokens: int = LENGTH) -> Plan:
    return method.plan(PromptShape(num_tokens, LAYERS, HEADS, KV_HEADS, question))


def scores_by_hand(weights: Tensor, rows: slice, first: int, kernel: int = 21) -> Tensor:
    """(H_kv, first): the most that a row pays, the most within 10 tokens, summed over a group."""
    most = weights[:, rows, :first].amax(dim=1)
    reach = kernel // 2
    pooled = torch.stack(
        [most[:, max(at - reach, 0) : at + reach + 1].amax(dim=1) for at in range(first)], dim=1
    )
    return torch.stack([pooled[at : at + GROUP].sum(dim=0) for at in range(0, HEADS, GROUP)])


def assert_highest(kept: Tensor, scores: Tensor, count: int) -> None:
    """The `count` highest of the scored rows (ties may go either way), then all others."""
    chosen = [row for row in kept.tolist() if row < len(scores)]
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert kept.tolist()[len(chosen) :] == list(range(len(scores), LENGTH))
    assert len(chosen) == count
    dropped = sorted(set(range(len(scores))) - set(chosen))
    assert scores[chosen].min() >= scores[dropped].max() - 1e-5


class TestWindow:
    """Which rows look, and which are kept whatever they are worth."""

    def test_it_reaches_from_the_question_to_the_end(self) -> None:
        plan = plan_of(FastKVProbe(retention_rate=0.2), QUESTION)
        assert plan.window == LENGTH - QUESTION.start == 30
        assert plan.num_rows == QUESTION.stop - QUESTION.start == 16

    def test_of_a_long_question_the_last_rows_look(self) -> None:
        plan = plan_of(FastKVProbe(retention_rate=0.2), slice(700, 900), 1000)
        assert plan.num_rows == 64
        assert plan.window == 1000 - (900 - 64)

    def test_64_rows_are_not_yet_long(self) -> None:
        plan = plan_of(FastKVProbe(retention_rate=0.2), slice(836, 900), 1000)
        assert (plan.num_rows, plan.window) == (64, 164)

    def test_without_a_question_it_is_the_last_8_tokens(self) -> None:
        plan = plan_of(FastKVProbe(retention_rate=0.2), None)
        assert plan.window == 8
        assert plan.num_rows in (None, 8)

    def test_a_budget_below_the_window_runs_in_full(self) -> None:
        plan = plan_of(FastKVProbe(capacity=20), QUESTION)
        assert plan.capacities == (LENGTH,) * LAYERS
        assert plan.tsp is None
        assert "below the observation window" in plan.note


class TestScores:
    """What the rows pay for, against transformers' own attention."""

    def test_they_are_the_most_of_any_row_pooled_widely(
        self, engine: Engine, weights: list[Tensor]
    ) -> None:
        cache = read(engine, FastKVProbe(capacity=60, tsp_layer=3)).cache
        for layer in range(LAYERS):
            scores = scores_by_hand(weights[layer], QUESTION, QUESTION.start)
            for row, head_scores in zip(cache.positions(layer), scores, strict=True):
                assert_highest(row, head_scores, 60 - 30)

    def test_without_a_question_the_last_8_rows_look(
        self, engine: Engine, weights: list[Tensor]
    ) -> None:
        cache = read(engine, FastKVProbe(capacity=60, tsp_layer=3), None).cache
        for layer in range(LAYERS):
            scores = scores_by_hand(weights[layer], slice(LENGTH - 8, LENGTH), LENGTH - 8)
            for row, head_scores in zip(cache.positions(layer), scores, strict=True):
                assert_highest(row, head_scores, 60 - 8)

    def test_a_long_question_is_its_last_64_rows(
        self, engine: Engine, weights: list[Tensor]
    ) -> None:
        method = FastKVProbe(capacity=150, tsp_rate=1.0)
        cache = read(engine, method, slice(40, 180)).cache
        for layer in range(LAYERS):
            scores = scores_by_hand(weights[layer], slice(116, 180), 116)
            for row, head_scores in zip(cache.positions(layer), scores, strict=True):
                assert_highest(row, head_scores, 150 - 84)

    def test_sums_and_narrow_pools_would_choose_otherwise(self, engine: Engine) -> None:
        """Else the tests above could not tell them apart."""
        wide = read(engine, FastKVProbe(capacity=60, tsp_layer=3)).cache
        narrow = read(engine, FastKVProbe(capacity=60, tsp_layer=3, kernel_size=7)).cache
        assert str(wide.positions(0)) != str(narrow.positions(0))


class TestPropagation:
    """Who goes on: the decayed sum over all layers so far."""

    def total(self, weights: list[Tensor], layer: int, decay: float = 0.9) -> Tensor:
        """Σ 0.9^(ℓ* − ℓ) of the scores of layer ℓ, over KV heads."""
        return torch.stack(
            [
                decay ** (layer - at)
                * scores_by_hand(weights[at], QUESTION, QUESTION.start).sum(dim=0)
                for at in range(layer + 1)
            ]
        ).sum(dim=0)

    @pytest.mark.parametrize("layer", [0, 1, 2])
    @pytest.mark.parametrize("budget", [1.0, 0.4])
    def test_the_highest_sums_go_on(
        self, engine: Engine, weights: list[Tensor], layer: int, budget: float
    ) -> None:
        """With a budget of 100% layers up to ℓ* evict nothing, and are scored all the same."""
        method = FastKVProbe(
            tsp_layer=layer,
            tsp_length=80,
            capacity=int(LENGTH * budget),
        )
        result = read(engine, method)
        assert result.tokens_seen == (LENGTH,) * (layer + 1) + (80,) * (LAYERS - layer - 1)
        gone_on = result.cache.positions(layer + 1)[0]
        assert_highest(gone_on, self.total(weights, layer), 80 - 30)
        if budget == 1:
            assert result.cache.length(layer) == LENGTH

    def test_the_last_layer_alone_would_choose_otherwise(self, weights: list[Tensor]) -> None:
        alone, all_of_them = (
            self.total(weights, 2, decay).topk(50).indices.sort().values for decay in (0, 0.9)
        )
        assert not torch.equal(alone, all_of_them)

    def test_the_older_scores_fade_by_a_tenth(self, engine: Engine, weights: list[Tensor]) -> None:
        """At so many lengths that another decay would let others go on."""
        differs = False
        for length in range(35, 170, 5):
            method = FastKVProbe(tsp_layer=2, tsp_length=length, capacity=length)
            gone_on = read(engine, method).cache.positions(3)[0]
            assert_highest(gone_on, self.total(weights, 2), length - 30)
            faster = self.total(weights, 2, 0.8).topk(length - 30).values.min()
            chosen = [row for row in gone_on.tolist() if row < QUESTION.start]
            differs |= bool(self.total(weights, 2, 0.8)[chosen].min() < faster - 1e-4)
        assert differs

    def test_the_decay_is_a_setting(self, engine: Engine, weights: list[Tensor]) -> None:
        method = FastKVProbe(tsp_layer=2, tsp_length=80, capacity=80, decay=0.2)
        gone_on = read(engine, method).cache.positions(3)[0]
        assert_highest(gone_on, self.total(weights, 2, 0.2), 80 - 30)


class TestBudgets:
    """As FastKV's, whatever the window is."""

    @pytest.mark.parametrize(
        ("rate", "tsp_rate"), [(0.2, 0.5), (0.35, 0.5), (0.5, 0.5), (0.2, 1.0), (1.0, 1.0)]
    )
    @pytest.mark.parametrize("question", [None, QUESTION])
    def test_as_fastkv(self, rate: float, tsp_rate: float, question: slice | None) -> None:
        probe = plan_of(FastKVProbe(retention_rate=rate, tsp_rate=tsp_rate), question)
        fastkv = plan_of(FastKV(retention_rate=rate, tsp_rate=tsp_rate), question)
        assert probe.capacities == fastkv.capacities == (int(LENGTH * rate),) * LAYERS
        if fastkv.tsp is None:
            assert probe.tsp is None
        else:
            assert probe.tsp is not None
            places = [(tsp.layer, tsp.length, tsp.rate) for tsp in (probe.tsp, fastkv.tsp)]
            assert places == [(LAYERS // 2 - 1, int(LENGTH * tsp_rate), tsp_rate)] * 2

    @pytest.mark.parametrize("preset", [None, *Preset])
    def test_settings_are_read_as_fastkv_s(self, preset: Preset | None) -> None:
        for budget in (None, Budget(rate=0.35), Budget(tokens=50)):
            plans = [
                plan_of(method, None)
                for name in (MethodName.PROBE, MethodName.FASTKV)
                if isinstance(
                    method := build_method(
                        MethodSettings(name, preset=preset, budget=budget), TUNING
                    ),
                    FastKV,
                )
            ]
            assert len(plans) == 2
            assert plans[0].capacities == plans[1].capacities

    def test_it_is_the_default(self) -> None:
        assert isinstance(build_method(MethodSettings(), Tuning()), FastKVProbe)
