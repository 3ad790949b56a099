"""Hybrid models: layers that mix tokens by a convolution or a recurrence, beside attention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import CASES, load_tiny, make_prompt, read_prompt, shared_tiny
from checks import Checks

from fastkv_cli import Engine, FastKV, FastKVProbe, Full, SnapKV
from fastkv_cli.engine.compare import Comparison
from fastkv_cli.engine.decode import extend
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.kernels.packed import PackedDecoder
from fastkv_cli.engine.kernels.packing import can_pack
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import GemFilter
from fastkv_cli.engine.recording_runner import RecordingRunner
from fastkv_cli.errors import UsageError

HYBRIDS = ["lfm2", "qwen3_5", "qwen3_5-moe", "qwen3-next"]
ATTENTION = (1, 2)  # the layers of the tiny hybrids that attend

every_hybrid = pytest.mark.parametrize("family", HYBRIDS)


@every_hybrid
def test_every_method_runs(tiny_models: dict[str, Path], family: str) -> None:
    engine, prompt = shared_tiny(tiny_models[family]), make_prompt(200)
    full = engine.generate(prompt, Full(), 6, ignore_eos=True)
    with Checks() as check:
        for label, method in CASES.items():
            if label.endswith(("layer 0", "last layer")):  # layers without attention
                with check(f"{label} is refused"), pytest.raises(UsageError, match="1, 2"):
                    engine.generate(prompt, method, 6)
                continue
            found = engine.generate(prompt, method, 6, ignore_eos=True)
            with check(f"{label}: the cache"):
                assert [bool(heads) for heads in found.cache_lengths] == [False, True, True, False]
                assert [layer.tokens_kept for layer in found.kv.layers][::3] == [0, 0]
                assert found.kv.kept_ratio <= 1
            with check(f"{label}: keeps all or less"):
                keeps_all = found.cache_lengths == full.cache_lengths
                assert not keeps_all or torch.equal(found.first_logits, full.first_logits)
                assert not keeps_all or found.token_ids == full.token_ids


@every_hybrid
def test_keeping_everything_gives_the_bits_of_full(
    tiny_models: dict[str, Path], family: str
) -> None:
    engine = shared_tiny(tiny_models[family])
    for kernel in (Kernel.SDPA, Kernel.BLOCKED):
        runner = LayerRunner(kernel, chunk_rows=100)
        full = read_prompt(engine, make_prompt(330), Full(), runner)
        for method in (
            FastKV(tsp_layer=1, tsp_rate=1.0, retention_rate=1.0),
            FastKVProbe(tsp_layer=2, tsp_rate=1.0, retention_rate=1.0),
            SnapKV(retention_rate=1.0),
            GemFilter(filter_layer=1, retention_rate=1.0),
        ):
            ours = read_prompt(engine, make_prompt(330), method, runner)
            assert torch.equal(ours.logits, full.logits)
            assert ours.cache.lengths == full.cache.lengths


@every_hybrid
def test_chunks_and_boundaries_carry_the_state(tiny_models: dict[str, Path], family: str) -> None:
    engine, prompt = shared_tiny(tiny_models[family]), make_prompt(330)
    whole = read_prompt(engine, prompt, Full())
    # an expert's share multiplies the rounding of all layers before
    atol = 1e-3 if engine.decoder.has_experts else 1e-4
    with Checks() as check:
        for chunk_rows, boundary in ((1, 0), (7, 0), (64, 33), (128, 200), (1024, 329)):
            for kernel in (Kernel.SDPA, Kernel.BLOCKED):
                runner = LayerRunner(kernel, chunk_rows, boundary=boundary)
                ours = read_prompt(engine, prompt, Full(), runner)
                with check(f"{kernel}, chunks of {chunk_rows}, boundary {boundary}"):
                    torch.testing.assert_close(ours.logits, whole.logits, atol=atol, rtol=1e-4)
                    check_states_close(ours.cache, whole.cache)


def check_states_close(ours: object, theirs: object) -> None:
    for layer in set(range(4)) - set(ATTENTION):
        states = (cache.state(layer) for cache in (ours, theirs))  # type: ignore[attr-defined]
        for mine, other in zip(*states, strict=True):
            if mine is not None:
                torch.testing.assert_close(mine, other, atol=1e-3, rtol=1e-3)


@every_hybrid
def test_decoding_updates_the_state(tiny_models: dict[str, Path], family: str) -> None:
    engine, prompt = shared_tiny(tiny_models[family]), make_prompt(120)
    whole = read_prompt(engine, prompt, Full())
    for steps in ([1] * 20, [20], [3, 1, 9, 7]):
        cache, at = read_prompt(engine, prompt[:100], Full(), room=20).cache, 100
        for count in steps:
            logits = extend(engine.decoder, cache, prompt[at : at + count])[-1]
            at += count
        torch.testing.assert_close(logits, whole.logits, atol=1e-3, rtol=1e-3)
        check_states_close(cache, whole.cache)


@every_hybrid
def test_blocks_of_neighbours_are_propagated(tiny_models: dict[str, Path], family: str) -> None:
    engine, prompt = shared_tiny(tiny_models[family]), make_prompt(400)
    with Checks() as check:
        for method in (
            FastKV(tsp_layer=1, tsp_rate=0.4, retention_rate=0.2),
            FastKVProbe(tsp_layer=2, tsp_rate=0.4, retention_rate=0.2),
            GemFilter(filter_layer=2, retention_rate=0.4),
        ):
            found = read_prompt(engine, prompt, method)
            with check(f"{method.name}: whole blocks, one part of a block, and the window"):
                assert found.propagated is not None
                propagated = set(found.propagated.tolist())
                assert len(propagated) == 160
                blocks = [set(range(at, min(at + 32, 400))) for at in range(0, 400, 32)]
                parts = [block for block in blocks if propagated & block not in (set(), block)]
                assert len(parts) <= 2
                assert set(range(400 - found.plan.window, 400)) <= propagated
    # attention alone does not need neighbours
    llama = read_prompt(shared_tiny(tiny_models["llama"]), prompt, FastKV(tsp_rate=0.4))
    assert llama.plan.tsp is not None
    assert llama.plan.tsp.block == 1


def test_tokens_cannot_be_dropped_and_comparisons_decode(tiny_models: dict[str, Path]) -> None:
    engine, prompt = load_tiny(tiny_models["lfm2"]), make_prompt(200)
    cache = read_prompt(engine, prompt, Full()).cache
    with pytest.raises(ValueError, match="recurrent state"):
        cache.drop_last(1)
    method = FastKV(tsp_layer=1, tsp_rate=0.3, retention_rate=0.1)
    compared = Comparison(engine, prompt, slice(190, 200), 8).compare(method)
    assert compared.token_ids == engine.generate(prompt, method, 8).token_ids
    runner = RecordingRunner(engine.kernel)  # methods that share it do not share their states
    first, second = (read_prompt(engine, prompt, Full(), runner).cache for _ in range(2))
    before = second.state(0).inputs.clone()
    extend(engine.decoder, first, [5, 6, 7])
    assert torch.equal(second.state(0).inputs, before)
    assert not torch.equal(first.state(0).inputs, before)


@pytest.mark.skipif(not can_pack(), reason="torch has no packed kernels here")
def test_weights_in_memory_are_packed_unless_there_are_experts(
    tiny_models: dict[str, Path],
) -> None:
    for family in HYBRIDS:
        engine = Engine.load(str(tiny_models[family]), dtype="bfloat16", device="cpu")
        has_experts = family in {"qwen3_5-moe", "qwen3-next"}
        assert isinstance(engine.decoding_model, PackedDecoder) is not has_experts
        assert ("experts" in engine.decode_weights.problem) is has_experts
        assert engine.generate(make_prompt(40), Full(), 4, ignore_eos=True).token_ids


@every_hybrid
def test_prefill_work_is_counted(tiny_models: dict[str, Path], family: str) -> None:
    decoder = shared_tiny(tiny_models[family]).decoder
    one, two = decoder.layers[0], decoder.layers[1]
    assert one.flops(200, None) == 2 * one.flops(100, None)  # no attention, so it is linear
    assert two.flops(200, None) > 2 * two.flops(100, None)
    assert one.flops(200, torch.tensor([199])) < one.flops(200, None)
    assert one.flops(200, None, first=150) * 4 == one.flops(200, None)
    assert replace(decoder, layers=decoder.attention_layers).state_bytes == 0 < decoder.state_bytes
