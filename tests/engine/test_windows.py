"""Layers with a sliding window: never scored or compressed, they hold their window."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import CASES, HEADS, KV_HEADS, make_prompt, read_prompt, shared_tiny
from checks import Checks

from fastkv_cli import Engine, FastKV, FastKVProbe, Full, GemFilter, HeadKV, PyramidKV, SnapKV
from fastkv_cli.engine.cache_entries import HeadGroup
from fastkv_cli.engine.decode import extend
from fastkv_cli.engine.methods import Method, PromptShape
from fastkv_cli.engine.reuse.state import StateShape
from fastkv_cli.errors import UsageError

WINDOW = 48  # of the first and the last layer; the two between attend to all tokens
GLOBAL, LOCAL = (1, 2), (0, 3)
# Gemma 3 270M: 15 layers of 512 tokens, every sixth attends to all.
GEMMA = PromptShape(4000, 18, 4, 1, windows=tuple([*[512] * 5, None] * 3))


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["ministral"])


@pytest.mark.parametrize("length", [40, 200])
def test_every_method_leaves_the_windows_whole(engine: Engine, length: int) -> None:
    ids = make_prompt(length)
    full = read_prompt(engine, ids, Full())
    with Checks() as check:
        for name, method in CASES.items():
            if name.endswith(("layer 0", "last layer")):
                with check(f"{name}: refused for its layer"), pytest.raises(UsageError, match="48"):
                    read_prompt(engine, ids, method)
                continue
            read = read_prompt(engine, ids, method)
            seen = read.cache.next_position
            for layer in LOCAL:
                with check(f"{name}: layer {layer} holds its last window"):
                    expected = list(range(max(seen - WINDOW, 0), seen))
                    assert [row.tolist() for row in read.cache.positions(layer)] == (
                        [expected] * KV_HEADS
                    )
            for layer in GLOBAL:
                with check(f"{name}: layer {layer} has the budget"):
                    capacity = read.plan.capacities[layer]
                    held = sum(read.cache.lengths[layer]) / len(read.cache.lengths[layer])
                    if isinstance(capacity, int):
                        assert abs(held - min(capacity, seen)) <= 1.5
                    else:
                        assert read.cache.lengths[layer] == list(capacity)
            if read.plan.tsp is None and all(
                isinstance(each, int) and each >= length
                for each in (read.plan.capacities[layer] for layer in GLOBAL)
            ):
                with check(f"{name}: a budget of everything is full"):
                    assert torch.equal(read.logits, full.logits)
                    assert read.cache.nbytes == full.cache.nbytes
                    assert read.flops == full.flops


def test_the_last_window_is_propagated_whole(engine: Engine) -> None:
    """Its tokens pass the TSP layer whatever their scores; the rate is that of those before it."""
    for method in (
        FastKV(tsp_layer=1, tsp_rate=0.25, retention_rate=0.1),
        FastKVProbe(tsp_layer=2, tsp_rate=0.25, retention_rate=0.1),
        FastKV(tsp_layer=2, tsp_length=60, capacity=20),
    ):
        read = read_prompt(engine, make_prompt(400), method, question=slice(380, 390))
        assert read.propagated is not None
        selected = 60 if method.tsp_length else int((400 - WINDOW) * 0.25)
        assert len(read.propagated) == selected + WINDOW
        assert read.propagated[selected:].tolist() == list(range(400 - WINDOW, 400))
        assert read.token_scores is not None
        if method.name == "fastkv":
            best = read.token_scores[: 400 - WINDOW].topk(selected).indices.sort().values
            assert read.propagated[:selected].tolist() == best.tolist()


@torch.no_grad()
def test_windows_count_original_positions_behind_the_tsp_layer(engine: Engine) -> None:
    """Layer 3 sees the propagated tokens; each attends to those less than 48 positions away."""
    ids = torch.tensor(make_prompt(300))
    method = FastKV(tsp_layer=2, tsp_rate=0.4, retention_rate=0.4)
    read = read_prompt(engine, ids, method)
    rows = read.propagated
    assert rows is not None
    model = engine.loaded.model
    model.set_attn_implementation("sdpa")
    hidden = model(ids[None], output_hidden_states=True).hidden_states[3][:, rows]
    distance = rows.unsqueeze(1) - rows
    mask = (distance >= 0) & (distance < WINDOW)
    rope = model.model.rotary_emb(hidden, rows[None])
    hidden = model.model.layers[3](
        hidden, position_embeddings=rope, attention_mask=mask[None, None]
    )
    expected = model.lm_head(model.model.norm(hidden[:, -1]))[0]
    torch.testing.assert_close(read.logits, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("family", ["ministral", "mistral-sliding"])
def test_decoding_drops_what_has_left_the_window(
    tiny_models: dict[str, Path], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastkv_cli.engine.cache_entries._SPARE", 16)
    engine = shared_tiny(tiny_models[family])
    ids = make_prompt(180)
    for method, room in ((Full(), 0), (Full(), 200), (SnapKV(capacity=30), 5)):
        cache = read_prompt(engine, ids[:60], method, room=room).cache
        at_once = extend(engine.decoder, deepcopy(cache), ids[60:])
        singly = torch.cat([extend(engine.decoder, cache, [each]) for each in ids[60:]])
        torch.testing.assert_close(singly, at_once, atol=1e-4, rtol=1e-4)
        for layer in engine.decoder.attention_layers:
            [group] = cache.groups(layer.index)
            if layer.sliding_window is None:
                continue
            assert group.key.shape[2] <= WINDOW + 3 * 16
            assert group.positions[:, -WINDOW:].tolist() == [list(range(132, 180))] * KV_HEADS
            assert group.positions.shape[1] == group.length
            if method == Full():
                assert group.kept_positions.tolist() == [list(range(12, 60))] * KV_HEADS


def test_entries_are_moved_with_their_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of two heads that kept different entries drops what both have left behind."""
    monkeypatch.setattr("fastkv_cli.engine.cache_entries._SPARE", 5)
    kept = torch.tensor([[3, 8, 20, 21], [5, 9, 10, 21]])
    key = kept.float().view(1, 2, 4, 1).clone()
    group = HeadGroup(key, key.clone(), kept, length=4, window=12)
    for position in range(22, 60):
        new = torch.full((1, 2, 1, 1), float(position))
        group.append(new, new, position)
        assert torch.equal(group.keys[0, :, :, 0], group.positions.float())
        assert torch.equal(group.values, group.keys)
        visible = group.positions[0][group.positions[0] > position - 12].tolist()
        assert visible[-1] == position
        assert set(range(22, position + 1)) & set(range(position - 11, position + 1)) <= set(
            visible
        )
    assert group.num_dropped > 0


class TestPlans:
    """Of Gemma 3's shape, without a model."""

    @pytest.mark.parametrize(
        ("method", "layer"),
        [
            (FastKV(), 11),
            (FastKV(tsp_layer=5), 5),
            (GemFilter(), 5),
            (GemFilter(filter_layer=17), 17),
        ],
    )
    def test_only_global_layers_are_scored(self, method: Method, layer: int) -> None:
        """L/2 − 1 is 8, as far from 5 as from 11; 0.4 · L is 7."""
        tsp = method.plan(GEMMA).tsp
        assert tsp is not None
        assert tsp.layer == layer

    @pytest.mark.parametrize("method", [FastKV(tsp_layer=8), GemFilter(filter_layer=0)])
    def test_window_layers_are_refused(self, method: Method) -> None:
        with pytest.raises(UsageError, match=r"512 tokens only: take .*: 5, 11, 17"):
            method.plan(GEMMA)

    def test_budgets_apply_to_global_layers(self) -> None:
        scores = [[0.0] * 4 if layer % 6 != 5 else [1.0, 2, 3, 4] for layer in range(18)]
        methods: list[Method] = [
            SnapKV(retention_rate=0.1),
            FastKV(tsp_rate=0.2, retention_rate=0.1),
            PyramidKV(retention_rate=0.1),
            HeadKV(retention_rate=0.1, head_scores=tuple(map(tuple, scores))),
        ]
        for method in methods:
            capacities = method.plan(GEMMA).capacities
            held = [sum(c) / len(c) if isinstance(c, tuple) else c for c in capacities]
            local = [capacities[layer] for layer in range(18) if layer % 6 != 5]
            assert local == [512] * 15
            assert sum(held[layer] for layer in (5, 11, 17)) == pytest.approx(1200, abs=2)

    def test_the_last_window_adds_to_what_is_propagated_not_to_what_is_kept(self) -> None:
        plan = FastKV(tsp_rate=0.2, retention_rate=0.1).plan(GEMMA)
        assert plan.tsp is not None
        assert plan.tsp.length == int((4000 - 512) * 0.2) + 512
        assert plan.tsp.rate == plan.tsp.length / 4000
        assert [plan.capacities[layer] for layer in (5, 11, 17)] == [400] * 3
        none_behind = FastKV(tsp_layer=17).plan(GEMMA).tsp
        assert none_behind is not None
        assert (none_behind.length, none_behind.rate) == (800, 0.2)

    def test_a_window_longer_than_the_prompt_propagates_all(self) -> None:
        plan = FastKV(tsp_rate=0.2, retention_rate=0.1).plan(replace(GEMMA, num_tokens=512))
        assert plan.tsp is None
        assert plan.capacities[0] == 512
        assert plan.capacities[5] == 51

    def test_two_windows(self) -> None:
        """The larger one that follows counts."""
        windows = (64, None, 64, None, 256, None, 128, None)
        shape = PromptShape(1000, 8, windows=windows)
        for layer, last in ((1, 256), (3, 256), (5, 128), (7, 0)):
            tsp = FastKV(tsp_layer=layer).plan(shape).tsp
            assert tsp is not None
            assert tsp.last_window == last

    def test_a_model_of_windows_only_is_compressed_in_all_layers(self) -> None:
        shape = PromptShape(1000, 4, HEADS, KV_HEADS, windows=(256,) * 4)
        assert SnapKV(retention_rate=0.1).plan(shape).capacities == (100,) * 4
        assert SnapKV(retention_rate=0.5).plan(shape).capacities == (256,) * 4
        plan = FastKV().plan(shape)
        assert plan.tsp is not None
        assert (plan.tsp.layer, plan.tsp.length, plan.tsp.last_window) == (1, 200, 0)


def test_statistics_count_windows(engine: Engine) -> None:
    entry = 2 * KV_HEADS * 16 * 4  # K and V in float32
    kv = engine.generate(make_prompt(400), SnapKV(retention_rate=0.1), 2).kv
    assert kv.global_layers == 2
    assert kv.full_bytes == entry * 2 * (400 + WINDOW)
    assert kv.kept_bytes == entry * 2 * (40 + WINDOW)
    full = engine.generate(make_prompt(400), Full(), 2).kv
    assert full.kept_bytes == full.full_bytes
    assert full.prefill_flops == full.full_flops
    shape = StateShape.of(engine.decoder, 400, layer=2)
    assert shape.tensors()["key.0"].shape == (KV_HEADS, WINDOW, 16)
    assert shape.tensors()["key.1"].shape == (KV_HEADS, 400, 16)


def test_flops_count_the_pairs_inside_the_window(engine: Engine) -> None:
    local, full = engine.decoder.layers[0], engine.decoder.layers[1]
    pairs = sum(min(row + 1, WINDOW) for row in range(300))
    spared = 2 * 2 * HEADS * 16 * (300 * 301 // 2 - pairs)
    assert full.flops(300, None) - local.flops(300, None) == spared
    rows = torch.tensor([3, 100, 299])
    spared = 2 * 2 * HEADS * 16 * (101 + 300 - 2 * WINDOW)
    assert full.flops(300, rows) - local.flops(300, rows) == spared
    seen = local.flops(300, None) - local.flops(300, None, first=200)
    assert seen == local.flops(200, None)
