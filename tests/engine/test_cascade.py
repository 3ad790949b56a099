"""Several steps of propagation: fewer and fewer tokens, by fixed rates or by a share of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from cases import make_prompt, read_prompt, shared_tiny

from fastkv_cli import Engine, FastKVCascade, FastKVProbe, Full, UniPrefill
from fastkv_cli.config import (
    Budget,
    MethodName,
    MethodSettings,
    Preset,
)
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import PromptShape, Propagation, build_method
from fastkv_cli.engine.selection import count_of_share
from fastkv_cli.engine.tuning import PresetSettings, Tuning
from fastkv_cli.errors import UsageError
from fastkv_cli.propagation import PropagationStep

STEPS = (PropagationStep(0, 0.6), PropagationStep(1, 0.4), PropagationStep(2, 0.2))
QUESTION = slice(188, 196)  # the window is the last 12 tokens


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


def read(engine: Engine, method: Any, length: int = 200) -> Any:
    return read_prompt(engine, make_prompt(length), method, question=QUESTION)


def test_one_step_is_the_probe(engine: Engine) -> None:
    settings: dict[str, Any] = {"retention_rate": 0.2, "tsp_layer": 1, "tsp_rate": 0.4}
    probe = read(engine, FastKVProbe(**settings))
    for cascade in (
        FastKVCascade(**settings),
        FastKVCascade(retention_rate=0.2, tsp_steps=(PropagationStep(1, 0.4),)),
    ):
        ours = read(engine, cascade)
        assert ours.plan == probe.plan
        assert torch.equal(ours.logits, probe.logits)
        assert torch.equal(ours.propagated, probe.propagated)


def test_each_step_selects_among_the_tokens_still_there(engine: Engine) -> None:
    found = read(engine, FastKVCascade(retention_rate=0.1, tsp_steps=STEPS))
    assert found.tokens_seen == (200, 120, 80, 40)
    assert found.cache.lengths == [[20, 20]] * 4
    assert found.propagated.tolist() == sorted(set(found.propagated.tolist()))
    assert found.propagated[-12:].tolist() == list(range(188, 200))  # from the question on
    before = read(engine, FastKVCascade(retention_rate=0.1, tsp_steps=STEPS[:2]))
    assert {*found.propagated.tolist()} < {*before.propagated.tolist()}
    assert found.flops < before.flops < read(engine, Full()).flops


def test_scores_of_earlier_layers_still_count_behind_a_step(engine: Engine) -> None:
    """With a decay of 1 the sum over layers 0 and 1 decides, of the tokens that layer 1 sees."""
    steps = (PropagationStep(0, 0.6), PropagationStep(1, 0.25))
    method = FastKVCascade(retention_rate=0.1, tsp_steps=steps, decay=1.0)
    scored: list[Any] = []

    class Recording(FastKVCascade):
        def scores(self, observed: Any, plan: Any) -> Any:
            scored.append(FastKVCascade.scores(self, observed, plan)[0].sum(dim=0))
            return FastKVCascade.scores(self, observed, plan)

    found = read(engine, Recording(retention_rate=0.1, tsp_steps=steps, decay=1.0))
    first, second = scored[:2]
    kept = first.topk(120 - 12).indices.sort().values
    best = (first[kept] + second).topk(50 - 12).indices.sort().values
    assert found.propagated[:-12].tolist() == kept[best].tolist()
    assert torch.equal(found.logits, read(engine, method).logits)


def test_top_p_takes_as_few_tokens_as_hold_the_scores(engine: Engine) -> None:
    seen = {}
    for top_p in (0.2, 0.6, 0.95):
        step = PropagationStep(1, 0.9, top_p=top_p, floor=0.2)
        seen[top_p] = read(engine, FastKVCascade(retention_rate=0.1, tsp_steps=(step,)))
    counts = [each.tokens_seen[2] for each in seen.values()]
    assert 40 <= counts[0] < counts[1] < counts[2] <= 180
    stats = seen[0.6].kv_stats(engine.decoder, FastKVCascade(), 200, seen[0.6].cache.lengths)
    assert [(each.layer, each.rate) for each in stats.steps] == [(1, 0.9)]
    assert (stats.steps[0].tokens_seen, stats.steps[0].tokens_propagated) == (200, counts[1])
    least = PropagationStep(1, 0.9, top_p=0.01, floor=0.5)
    most = PropagationStep(1, 0.5, top_p=1.0)
    for step in (least, most):
        assert read(engine, FastKVCascade(tsp_steps=(step,))).tokens_seen[2] == 100


def test_count_of_share() -> None:
    scores = torch.tensor([1.0, 5.0, 2.0, 2.0])
    assert [count_of_share(scores, share) for share in (0.4, 0.5, 0.51, 0.9, 1.0)] == [
        1,
        1,
        2,
        3,
        4,
    ]
    assert [count_of_share(scores, share, block=2) for share in (0.6, 0.61)] == [2, 4]
    assert count_of_share(torch.tensor([3.0, 0.0, 0.0]), 1.0) == 1
    assert count_of_share(torch.zeros(3), 0.5) == 1
    assert count_of_share(torch.ones(5), 1.0, block=2) == 5


def test_uniprefill_keeps_both_ends_and_whole_blocks(engine: Engine) -> None:
    method = UniPrefill(retention_rate=1.0, window_size=16, leading=32, block=8, top_p=0.8)
    found = read(engine, method, 400)
    assert found.plan.tsp is not None
    assert [step.layer for step in found.plan.steps] == [0, 1, 2, 3]
    seen = found.tokens_seen
    assert seen[0] == 400 > seen[1] >= seen[2] >= seen[3] >= 48
    positions = found.cache.positions(1)[0].tolist()
    assert positions[:32] == list(range(32))
    assert positions[-16:] == list(range(384, 400))
    middle = positions[32:-16]
    assert len(middle) % 8 == 0
    assert all(at + 1 in middle for at in middle if at % 8 != 7)
    assert found.cache.lengths == [[each] * 2 for each in seen]  # budget 100%: all that it sees
    evicting = read(engine, UniPrefill(retention_rate=0.1, window_size=16, leading=32), 400)
    assert [max(each) for each in evicting.cache.lengths] == [40] * 4


def test_uniprefill_s_published_depths() -> None:
    plan = UniPrefill(retention_rate=1.0).plan(PromptShape(8000, 32))
    assert [step.layer for step in plan.steps] == [7, 11, 15, 19, 23, 27]
    step = plan.steps[0]
    assert (step.block, step.top_p, step.leading, plan.window) == (64, 0.99, 128, 128)
    assert UniPrefill(retention_rate=1.0).plan(PromptShape(256, 32)).steps == ()


def test_a_window_behind_a_step_is_propagated_whole() -> None:
    windows = (None, 16, None, 16)
    shape = PromptShape(400, 4, 4, 2, windows=windows)
    plan = FastKVCascade(tsp_steps=(PropagationStep(0, 0.5), PropagationStep(2, 0.25))).plan(shape)
    assert [step.last_window for step in plan.steps] == [16, 16]
    assert [step.length for step in plan.steps] == [192 + 16, 96 + 16]
    with pytest.raises(UsageError, match="TSP layer 1 attends to the last 16 tokens only"):
        FastKVCascade(tsp_steps=(PropagationStep(1, 0.5),)).plan(shape)
    with pytest.raises(UsageError, match="TSP layer 9 is out of range"):
        FastKVCascade(tsp_steps=(PropagationStep(9, 0.5),)).plan(shape)


@pytest.mark.parametrize("kernel", [Kernel.SDPA, Kernel.BLOCKED])
def test_all_kernels_propagate_alike(engine: Engine, kernel: Kernel) -> None:
    method = FastKVCascade(retention_rate=0.2, tsp_steps=STEPS)
    runner = LayerRunner(kernel, chunk_rows=64)
    found = read_prompt(engine, make_prompt(200), method, runner, question=QUESTION)
    torch.testing.assert_close(found.logits, read(engine, method).logits, atol=1e-4, rtol=0)


class TestSettings:
    TUNING = Tuning(
        presets={
            preset: PresetSettings(2, 0.5, Budget(rate=0.2), STEPS if preset == "fast" else ())
            for preset in Preset
        }
    )

    def build(self, **changes: Any) -> Any:
        return build_method(MethodSettings(MethodName.CASCADE, **changes), self.TUNING)

    def test_the_user_s_else_the_preset_s(self) -> None:
        assert self.build(preset=Preset.FAST).tsp_steps == STEPS
        assert self.build().tsp_steps == ()
        assert (self.build().tsp_layer, self.build().full_below) == (2, 512)
        assert self.build(preset=Preset.FAST, tsp_rate=0.3).tsp_steps == ()
        assert self.build(tsp_steps=STEPS[:1]).tsp_steps == STEPS[:1]
        assert self.build(tsp_steps=STEPS[:1]).full_below == 0
        assert self.build(budget=Budget(rate=0.9), tsp_steps=STEPS).retention_rate == 0.9

    @pytest.mark.parametrize("name", ["fastkv", "fastkv-probe", "gemfilter", "snapkv", "full"])
    def test_other_methods_take_none(self, name: str) -> None:
        with pytest.raises(UsageError, match="--tsp-steps"):
            build_method(MethodSettings(MethodName(name), tsp_steps=STEPS), self.TUNING)

    def test_how_steps_are_written(self) -> None:
        text = "10:0.5,17:0.25:p=0.95:floor=0.1:block=16"
        steps = PropagationStep.parse_all(text)
        assert steps == (
            PropagationStep(10, 0.5),
            PropagationStep(17, 0.25, top_p=0.95, floor=0.1, block=16),
        )
        assert ",".join(map(str, steps)) == text

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("10", "cannot read the step"),
            ("", "cannot read the step"),
            ("10:half", "cannot read the step"),
            ("10:0.5:q=1", "cannot read the step"),
            ("10:0.5:p", "cannot read the step"),
            ("-1:0.5", "layers count from 0"),
            ("10:1.5", "rate 1.5 is out of range"),
            ("10:nan", "rate nan is out of range"),
            ("10:0.5:p=2", "top-p 2 is out of range"),
            ("10:0.5:floor=0.6", "floor 0.6 is out of range"),
            ("10:0.5:block=0", "block 0 is out of range"),
            ("17:0.5,10:0.2", "out of order"),
            ("10:0.2,17:0.5", "out of order"),
        ],
    )
    def test_what_cannot_be_read(self, text: str, words: str) -> None:
        with pytest.raises(UsageError, match=words):
            PropagationStep.parse_all(text)


def test_forecasts_count_every_step() -> None:
    plan = FastKVCascade(retention_rate=0.1, tsp_steps=STEPS).plan(PromptShape(200, 4))
    assert plan.tsp == plan.steps[0]
    assert [plan.share_from(layer) for layer in range(4)] == [0.6, 0.4, 0.2, 0.2]
    assert isinstance(plan.step_at(1), Propagation)
    assert plan.step_at(3) is None
    assert [plan.propagates_by(layer) for layer in range(4)] == [True, True, True, False]
