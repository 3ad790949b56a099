"""Prefill in 8 bits: how far it is off, where it applies, and that states know of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from cases import make_prompt

from fastkv_cli import Engine, FastKVProbe, Full
from fastkv_cli.config import DType, PrefillWeights
from fastkv_cli.engine.kernels.int8_product import Int8Weights, Int8Workspace, multiplies_int8
from fastkv_cli.engine.model import hardware
from fastkv_cli.engine.model.decoder_opening import open_decoder
from fastkv_cli.engine.model.int8_decoder import (
    MOST_ERROR,
    can_quantize,
    kept_bytes,
    quantize_decoder,
)
from fastkv_cli.engine.model.int8_layer import Int8Layer, LayerWeights
from fastkv_cli.engine.model.loader import load_model
from fastkv_cli.engine.prefill_models import uses_int8
from fastkv_cli.engine.reuse.states import MemoryStates, Reuse
from fastkv_cli.engine.run_forecast import plan_prompts
from fastkv_cli.engine.tuning import tuning_of
from fastkv_cli.errors import UsageError
from fastkv_cli.forecasts import PromptForecast, PromptUse

METHOD = FastKVProbe(tsp_layer=2, tsp_rate=0.3, retention_rate=0.2)
SAMPLE_IDS = make_prompt(60)
needs_vnni = pytest.mark.skipif(not multiplies_int8(), reason="the CPU has no AVX-512 VNNI")


both_dtypes = pytest.mark.parametrize("dtype", ["bfloat16", "float32"])


def random_rows(*shape: int, seed: int = 0, dtype: str = "bfloat16") -> torch.Tensor:
    rows = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return rows.to(getattr(torch, dtype))


def load(folder: Path, dtype: str = "bfloat16", weights: str = "auto") -> Engine:
    return Engine.load(str(folder), device="cpu", dtype=dtype, prefill_weights=weights)


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return load(tiny_models["llama"])


@both_dtypes
def test_rows_are_quantized_to_half_a_step(dtype: str) -> None:
    rows = random_rows(5, 96, dtype=dtype)
    rows[2] = 0
    rows[3] *= 1000
    levels, steps = Int8Workspace().quantize(rows)
    assert steps.dtype is rows.dtype
    assert levels.abs().max() == 127
    assert levels[2].abs().max() == 0
    # a step is rounded to bfloat16, so that the largest level may be 127.25
    off = (levels * steps.float() - rows.float()).abs()
    assert (off <= 0.501 * steps.float()).all()


@both_dtypes
def test_weights_are_scaled_by_row_and_column(dtype: str) -> None:
    weight = random_rows(300, 64, dtype=dtype)
    columns = torch.ones(64)
    columns[7] = 16
    levels, scales = Int8Weights.of(weight, columns)
    assert scales.dtype is weight.dtype
    off = (levels * scales.float().unsqueeze(1) - weight.float() * columns).abs()
    assert (off <= 0.501 * scales.float().unsqueeze(1)).all()


@needs_vnni
@both_dtypes
def test_products_are_near_those_in_float32(dtype: str) -> None:
    work = Int8Workspace()
    rows, weight = random_rows(40, 128, dtype=dtype), random_rows(96, 128, seed=1, dtype=dtype)
    quantized = work.quantize(rows)
    product = work.multiply(quantized, Int8Weights.of(weight))
    assert product.dtype is rows.dtype
    product = product.float() * quantized.steps
    exact = rows.float() @ weight.float().t()
    assert torch.dist(product, exact) < 0.02 * exact.norm()


def test_buffers_are_used_again_and_not_without_end() -> None:
    work = Int8Workspace()
    first = work.quantize(random_rows(8, 64)).levels
    assert work.quantize(random_rows(8, 64, seed=1)).levels.data_ptr() == first.data_ptr()
    for count in range(1, 100):
        work.quantize(random_rows(count, 64))
    assert len(work._buffers) <= 32


@needs_vnni
@both_dtypes
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "phi3", "gemma3", "granite", "glm4"])
def test_every_product_is_off_by_little(
    tiny_models: dict[str, Path], family: str, dtype: str
) -> None:
    """Or stays in the model's format; and so the logits are near those of the model."""
    engine = load(tiny_models[family], dtype, weights="int8")
    quantized = quantize_decoder(engine.decoder, SAMPLE_IDS)
    assert len(quantized.plans.errors) > 0
    assert max(quantized.plans.errors) <= MOST_ERROR
    prompt = make_prompt(150)
    near, exact = (
        engine_of.generate(prompt, Full(), 1).first_logits
        for engine_of in (engine, load(tiny_models[family], dtype, weights="bf16"))
    )
    assert not torch.equal(near, exact)
    assert torch.dist(near, exact) < 0.15 * exact.norm()


@needs_vnni
def test_large_columns_cost_no_accuracy(tiny_models: dict[str, Path]) -> None:
    """One column of the norms 60 times the others: without scales, products are off by 10%."""
    engine = load(tiny_models["llama"])
    with torch.no_grad():
        for layer in engine.decoder.attention_layers:
            for norm in (layer.input_norm, layer.mlp_norm):
                assert norm is not None
                norm.gain[5] *= 60
            first = LayerWeights.of(layer)
            first.query[:, 5] /= 60
    quantized = quantize_decoder(engine.decoder, SAMPLE_IDS)
    layer = quantized.decoder.attention_layers[0]
    assert isinstance(layer, Int8Layer)
    assert layer.plan.input_scales is not None
    assert layer.plan.input_scales[5] > 8
    assert all(torch.log2(layer.plan.input_scales) % 1 == 0)


@needs_vnni
def test_larger_models_keep_one_layer_at_a_time(engine: Engine) -> None:
    quantized = quantize_decoder(engine.decoder, SAMPLE_IDS)
    layers = quantized.decoder.attention_layers
    first = layers[0]
    assert isinstance(first, Int8Layer)
    held = first.store.of(first)
    first.store.keeps_all = False
    last = layers[-1]
    assert isinstance(last, Int8Layer)
    first.store._products.clear()
    first.store.of(last)
    made = first.store.of(first)
    assert len(first.store._products) == 1
    for one, other in zip(held, made, strict=True):
        for before, after in zip(one, other, strict=True):
            assert torch.equal(before.levels, after.levels)
    assert kept_bytes(10**8) == 10**8
    assert kept_bytes(10**9) == 0


def test_auto_takes_8_bits_for_compressed_prompts_alone(engine: Engine) -> None:
    auto, can = PrefillWeights.AUTO, can_quantize(engine.decoder, engine.loaded.device)
    assert uses_int8(engine.loaded, engine.decoder, auto, METHOD, 512) == can
    assert not uses_int8(engine.loaded, engine.decoder, auto, Full(), 512)
    assert not uses_int8(engine.loaded, engine.decoder, auto, METHOD, 511)
    assert not uses_int8(engine.loaded, engine.decoder, PrefillWeights.BF16, METHOD, 512)


@needs_vnni
def test_statistics_say_what_was_multiplied(tiny_models: dict[str, Path]) -> None:
    engine = load(tiny_models["llama"], weights="int8")
    assert engine.prefill_models.format.int8_products == 0
    engine.generate(make_prompt(100), METHOD, 1)
    used = engine.prefill_models.format
    assert used.num_products == 16
    assert 0 < used.int8_products <= 16
    assert 0 < used.largest_error <= MOST_ERROR


def test_float32_by_name_is_exact(tiny_models: dict[str, Path]) -> None:
    engine = load(tiny_models["llama"], dtype="float32")
    assert engine.prefill_models.choose(METHOD, 5000) is engine.decoder
    assert engine.prefill_models.wanted is PrefillWeights.BF16


@needs_vnni
def test_float32_by_auto_may_be_in_8_bits(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a CPU with VNNI that does not multiply bfloat16."""
    monkeypatch.setattr(hardware, "_cpu_multiplies_bfloat16", lambda: False)
    engine = load(tiny_models["llama"], dtype="auto")
    assert engine.decoder.dtype is torch.float32
    assert engine.prefill_models.choose(METHOD, 511) is engine.decoder
    assert engine.prefill_models.choose(Full(), 5000) is engine.decoder
    assert engine.prefill_models.choose(METHOD, 512).weights_format == "int8"
    exact = load(tiny_models["llama"], dtype="float32")
    prompt = make_prompt(150)
    torch.testing.assert_close(  # blocks of rows round differently from torch's attention
        engine.generate(prompt, Full(), 1).first_logits,
        exact.generate(prompt, Full(), 1).first_logits,
        atol=1e-4,
        rtol=1e-4,
    )


def test_float16_is_never_in_8_bits(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="--prefill-weights int8 is not available"):
        load(tiny_models["llama"], dtype="float16", weights="int8")


@needs_vnni
@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_a_forecast_knows_which_prompts_are_in_8_bits(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    monkeypatch.setattr(hardware, "_cpu_multiplies_bfloat16", lambda: False)
    loaded = load_model(
        str(tiny_models["llama"]), dtype=DType(dtype), device="cpu", with_weights=False
    )
    decoder, prompts = open_decoder(loaded.model), [PromptForecast(PromptUse.ANSWERED, 512)]
    planned = plan_prompts(
        loaded, decoder, prompts, METHOD, tuning_of(loaded), None, PrefillWeights.AUTO
    )
    assert [each.is_int8 for each in planned] == [dtype == "auto"]


@needs_vnni
@both_dtypes
def test_states_are_of_their_weights(tiny_models: dict[str, Path], dtype: str) -> None:
    """A state in 8 bits answers as if afresh, and is not found by a prefill in the model's."""
    document, question = make_prompt(600), make_prompt(30, seed=2)
    states = MemoryStates()

    def ask(engine: Engine, reuse: Reuse | None) -> tuple[torch.Tensor, int]:
        answer = engine.generate(
            document + question, METHOD, 4, shared=600, reuse=reuse, ignore_eos=True
        )
        found = 0 if reuse is None or reuse.stats is None else reuse.stats.tokens_found
        return answer.first_logits, found

    engine = load(tiny_models["llama"], dtype, weights="int8")
    afresh, _ = ask(engine, None)
    recorded, found = ask(engine, Reuse(states, layer=2))
    assert (torch.equal(recorded, afresh), found) == (True, 0)
    again, found = ask(engine, Reuse(states, layer=2))
    assert (torch.equal(again, afresh), found) == (True, 600)
    exact, found = ask(load(tiny_models["llama"], dtype, weights="bf16"), Reuse(states, layer=2))
    assert (torch.equal(exact, afresh), found) == (False, 0)
