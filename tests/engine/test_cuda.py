"""The engine on a GPU, beside the same on the CPU; skipped where there is no CUDA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import LENGTHS, every_case, load_tiny, make_prompt
from conftest import tiny_settings

from fastkv_cli import Engine, FastKVProbe, Full
from fastkv_cli.config import DecodeWeights
from fastkv_cli.engine.kernels.attention import Causality, Kernel, attend
from fastkv_cli.engine.methods import Method
from fastkv_cli.engine.reuse.states import MemoryStates, Reuse

if not torch.cuda.is_available():
    pytest.skip("needs CUDA", allow_module_level=True)

# Pooling makes neighbours equal, and which of equal tokens is chosen is the device's business.
PROBE = FastKVProbe(tsp_layer=2, tsp_rate=0.3, retention_rate=0.2, full_below=64, kernel_size=1)


def without_ties(method: Any) -> Any:
    """The method with no pooling."""
    return replace(method, kernel_size=1) if hasattr(method, "kernel_size") else method


def load_on_gpu(folder: Path, dtype: str = "float32") -> Engine:
    return Engine.load(str(folder), dtype=dtype, device="cuda")


@pytest.mark.parametrize("family", tiny_settings())
def test_a_gpu_answers_as_the_cpu_does(tiny_models: dict[str, Path], family: str) -> None:
    on_cpu, on_gpu = load_tiny(tiny_models[family]), load_on_gpu(tiny_models[family])
    for method in (Full(), PROBE):
        for length in LENGTHS:
            ids = make_prompt(length)
            expected, found = (
                engine.generate(ids, method, 12, ignore_eos=True) for engine in (on_cpu, on_gpu)
            )
            assert found.token_ids == expected.token_ids
            assert found.cache_lengths == expected.cache_lengths
            torch.testing.assert_close(
                found.first_logits.cpu(), expected.first_logits, atol=2e-3, rtol=1e-3
            )


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_any_gpu_answers_as_the_first_does(tiny_models: dict[str, Path]) -> None:
    expected, found = (
        Engine.load(str(tiny_models["llama"]), dtype="float32", device=device).generate(
            make_prompt(200), PROBE, 12, ignore_eos=True
        )
        for device in ("cuda:0", "cuda:1")
    )
    assert found.token_ids == expected.token_ids


@every_case
def test_every_method_runs_as_on_the_cpu(tiny_models: dict[str, Path], method: Method) -> None:
    engines = load_tiny(tiny_models["llama"]), load_on_gpu(tiny_models["llama"])
    expected, found = (
        engine.generate(make_prompt(200), without_ties(method), 8, ignore_eos=True)
        for engine in engines
    )
    assert found.token_ids == expected.token_ids
    assert found.cache_lengths == expected.cache_lengths


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_state_gives_the_same_bits(tiny_models: dict[str, Path], dtype: str) -> None:
    engine = load_on_gpu(tiny_models["llama"], dtype)
    reuse = Reuse(MemoryStates(), 2)
    shared = 300
    for seed in range(3):
        reuse.start()
        ids = make_prompt(shared) + make_prompt(30, seed=seed + 1)
        afresh = engine.generate(ids, PROBE, 8, shared=shared, ignore_eos=True)
        again = engine.generate(ids, PROBE, 8, shared=shared, reuse=reuse, ignore_eos=True)
        assert torch.equal(again.first_logits, afresh.first_logits)
        assert again.token_ids == afresh.token_ids
        assert again.token_scores == afresh.token_scores
    assert reuse.stats is not None
    assert reuse.stats.tokens_found == shared


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("sliding_window", [None, 300])
def test_attention_in_16_bits(chosen: bool, sliding_window: int | None) -> None:
    torch.manual_seed(0)
    num_keys = 3000
    query, key, value = (
        torch.randn(1, heads, num_keys, 64, device="cuda", dtype=torch.bfloat16)
        for heads in (9, 3, 3)
    )
    rows = None
    if chosen:
        rows = torch.randperm(num_keys, device="cuda")[:700].sort().values
        query = query[:, :, rows]
    causality = Causality(torch.arange(num_keys, device="cuda"), rows, sliding_window)
    expected = attend(
        query.double().cpu(),
        key.double().cpu(),
        value.double().cpu(),
        replace(
            causality,
            positions=causality.positions.cpu(),
            rows=None if rows is None else rows.cpu(),
        ),
        0.125,
        Kernel.SDPA,
    )
    found = attend(query, key, value, causality, 0.125, Kernel.SDPA)
    torch.testing.assert_close(found.double().cpu(), expected, atol=2e-2, rtol=2e-2)


def test_the_embedded_model_on_a_gpu(embedded_dir: Path) -> None:
    on_cpu = Engine.load(
        str(embedded_dir), device="cpu", dtype="float32", decode_weights=DecodeWeights.FULL
    )
    on_gpu = load_on_gpu(embedded_dir)
    method = FastKVProbe(tsp_layer=17, tsp_rate=0.2, retention_rate=0.2, kernel_size=1)
    ids = on_cpu.tokenizer("The dog sleeps on, and the fox jumps over it once more. " * 150)
    expected, found = (
        engine.generate(ids["input_ids"], method, 16, ignore_eos=True)
        for engine in (on_cpu, on_gpu)
    )
    torch.testing.assert_close(
        found.first_logits.cpu(), expected.first_logits, atol=0.05, rtol=0.01
    )
    assert found.token_ids == expected.token_ids
    assert found.stats.peak_memory_bytes is not None
    assert found.stats.peak_memory_bytes > 5e8  # the weights alone are 538 MB
