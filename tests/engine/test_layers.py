"""Running layers: what is computed once, and how much of it there is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import (
    HEAD_SCORES,
    LAYERS,
    headwise_methods,
    make_prompt,
    name_of,
    read_prompt,
    shared_tiny,
)
from torch import Tensor

from fastkv_cli import H2O, AdaKV, Engine, FastKV, Full, GemFilter, HeadKV
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import Method
from fastkv_cli.engine.model.decoder_layer import DecoderLayer
from fastkv_cli.engine.prefill import PrefillResult
from fastkv_cli.engine.recording_runner import RecordingRunner

LENGTH = 150
FASTKV = FastKV(tsp_layer=1, tsp_rate=0.5, retention_rate=0.25)
IN_TURN: list[Method] = [
    FASTKV,
    AdaKV(retention_rate=0.25),
    GemFilter(retention_rate=0.25),
    Full(),
    FastKV(tsp_layer=0, tsp_rate=0.5, retention_rate=0.25),
    H2O(retention_rate=0.25),
    HeadKV(retention_rate=0.25, head_scores=HEAD_SCORES, per_query_head=True),
    GemFilter(retention_rate=0.25, filter_layer=3),
    FASTKV,
]

# One layer of the tiny models: Q and O 64 × 64, K and V 64 × 32, the MLP 3 × 64 × 128.
KV_WEIGHTS = 2 * 64 * 32
OTHER_WEIGHTS = 2 * 64 * 64 + 3 * 64 * 128
# q·k and the weighted sum of the values: 4 heads × 16 numbers each, of every pair of tokens.
PER_PAIR = 2 * 4 * 16


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return shared_tiny(tiny_models["llama"])


@pytest.fixture
def finished(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[int, int]]:
    """How many times each layer was finished for each number of tokens."""
    calls: Counter[tuple[int, int]] = Counter()
    finish = DecoderLayer.finish

    def counted(layer: DecoderLayer, hidden: Tensor, attended: Tensor) -> Tensor:
        calls[layer.index, hidden.shape[1]] += 1
        return finish(layer, hidden, attended)

    monkeypatch.setattr(DecoderLayer, "finish", counted)
    return calls


def assert_same(ours: PrefillResult, theirs: PrefillResult) -> None:
    assert torch.equal(ours.logits, theirs.logits)
    assert torch.equal(ours.hidden, theirs.hidden)
    assert (ours.plan, ours.tokens_seen, ours.flops) == (
        theirs.plan,
        theirs.tokens_seen,
        theirs.flops,
    )
    assert ours.cache.next_position == theirs.cache.next_position
    assert ours.cache.lengths == theirs.cache.lengths
    for layer in range(LAYERS):
        pairs = zip(ours.cache.groups(layer), theirs.cache.groups(layer), strict=True)
        for mine, other in pairs:
            assert torch.equal(mine.keys, other.keys)
            assert torch.equal(mine.values, other.values)
            assert torch.equal(mine.positions, other.positions)


@pytest.mark.parametrize("chunk_rows", [32, 1024])
@pytest.mark.parametrize("methods", [IN_TURN, IN_TURN[::-1]], ids=["in turn", "reversed"])
@pytest.mark.parametrize("family", ["llama", "mistral-sliding", "ministral3"])
def test_what_was_remembered_is_what_would_be_computed(
    tiny_models: dict[str, Path], family: str, methods: list[Method], chunk_rows: int
) -> None:
    engine, ids = shared_tiny(tiny_models[family]), make_prompt(LENGTH)
    recording = RecordingRunner(Kernel.SDPA, chunk_rows)
    for method in methods:
        plain = read_prompt(engine, ids, method, LayerRunner(Kernel.SDPA, chunk_rows))
        assert_same(read_prompt(engine, ids, method, recording), plain)


@pytest.mark.parametrize("methods", [IN_TURN, IN_TURN[::-1]], ids=["in turn", "reversed"])
def test_no_layer_reads_the_whole_prompt_twice(
    engine: Engine, finished: Counter[tuple[int, int]], methods: list[Method]
) -> None:
    recording = RecordingRunner(Kernel.SDPA)
    for method in methods:
        read_prompt(engine, make_prompt(LENGTH), method, recording)
    whole = {layer: calls for (layer, rows), calls in finished.items() if rows == LENGTH}
    assert whole == {0: 1, 1: 1, 2: 1}  # the last layer is finished for the last token alone


def test_without_a_memory_every_method_reads_the_whole_prompt(
    engine: Engine, finished: Counter[tuple[int, int]]
) -> None:
    for method in (Full(), AdaKV(retention_rate=0.25)):
        read_prompt(engine, make_prompt(LENGTH), method)
    assert {key: finished[key] for key in finished if key[1] == LENGTH} == {
        (0, LENGTH): 2,
        (1, LENGTH): 2,
        (2, LENGTH): 2,
    }


def test_another_prompt_is_not_mistaken_for_the_one_remembered(engine: Engine) -> None:
    recording = RecordingRunner(Kernel.SDPA)
    read_prompt(engine, make_prompt(LENGTH), Full(), recording)
    for ids in (make_prompt(LENGTH, seed=1), make_prompt(LENGTH)[:-1], make_prompt(LENGTH)):
        for method in (Full(), FASTKV):
            assert_same(
                read_prompt(engine, ids, method, recording), read_prompt(engine, ids, method)
            )


@pytest.mark.parametrize("method", [*headwise_methods(retention_rate=0.25), FASTKV], ids=name_of)
def test_reading_leaves_what_was_remembered_alone(engine: Engine, method: Any) -> None:
    recording = RecordingRunner(Kernel.SDPA)
    first = read_prompt(engine, make_prompt(LENGTH), Full(), recording)
    with torch.inference_mode():
        for group in (group for layer in range(LAYERS) for group in first.cache.groups(layer)):
            group.key.zero_()
            group.value.zero_()
    assert_same(
        read_prompt(engine, make_prompt(LENGTH), method, recording),
        read_prompt(engine, make_prompt(LENGTH), method),
    )


def layer_flops(num_tokens: int, num_rows: int, num_pairs: int) -> int:
    return 2 * (KV_WEIGHTS * num_tokens + OTHER_WEIGHTS * num_rows + PER_PAIR * num_pairs)


@pytest.mark.parametrize("length", [1, 2, 100])
def test_full_computes_all_but_the_last_layer_s_other_tokens(engine: Engine, length: int) -> None:
    pairs = length * (length + 1) // 2
    expected = 3 * layer_flops(length, length, pairs) + layer_flops(length, 1, length)
    assert read_prompt(engine, make_prompt(length), Full()).flops == expected
    assert engine.decoder.prefill_flops(length) == expected
    kv = engine.generate(make_prompt(length), Full(), 1).kv
    assert kv.prefill_flops == kv.full_flops == expected
    assert kv.compute_ratio == 1


def test_a_fused_projection_counts_as_the_three_apart(tiny_models: dict[str, Path]) -> None:
    phi3, llama = (shared_tiny(tiny_models[family]) for family in ("phi3", "llama"))
    assert phi3.decoder.prefill_flops(100) == llama.decoder.prefill_flops(100)


def test_fastkv_computes_what_goes_on(engine: Engine) -> None:
    """100 tokens, 50 of them go on from layer 1: at best the first 42 and the window of 8."""
    kv = engine.generate(make_prompt(100), FASTKV, 1).kv
    window = sum(range(93, 101))
    around_tsp = (
        layer_flops(100, 100, 5050) + layer_flops(50, 50, 50 * 51 // 2) + layer_flops(50, 1, 50)
    )
    least = around_tsp + layer_flops(100, 50, sum(range(1, 43)) + window)
    most = around_tsp + layer_flops(100, 50, sum(range(51, 93)) + window)
    assert least <= kv.prefill_flops <= most
    assert kv.full_flops == 3 * layer_flops(100, 100, 5050) + layer_flops(100, 1, 100)
    assert 0.65 < least / kv.full_flops <= kv.compute_ratio <= most / kv.full_flops < 0.7


def test_a_choice_for_the_cache_alone_saves_no_computing(engine: Engine) -> None:
    for method in headwise_methods(retention_rate=0.25):
        kv = engine.generate(make_prompt(100), method, 1).kv
        assert kv.prefill_flops == kv.full_flops


def test_gemfilter_computes_up_to_its_layer_and_the_chosen_again(engine: Engine) -> None:
    kv = engine.generate(make_prompt(100), GemFilter(capacity=40, filter_layer=2), 1).kv
    again = engine.decoder.prefill_flops(40)
    first = 2 * layer_flops(100, 100, 5050)
    assert first + again <= kv.prefill_flops <= first + again + layer_flops(100, 1, 100)
