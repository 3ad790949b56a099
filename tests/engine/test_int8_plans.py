"""What is multiplied in 8 bits is found once for a model, and read from a file afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from cases import make_prompt

from fastkv_cli import Engine, FastKVProbe
from fastkv_cli.config import EMBEDDED_MODEL
from fastkv_cli.engine import int8_plans
from fastkv_cli.engine.int8_plans import load_plans, open_int8
from fastkv_cli.engine.kernels.int8_product import multiplies_int8
from fastkv_cli.engine.model import int8_decoder
from fastkv_cli.engine.model.decoder_opening import open_decoder
from fastkv_cli.engine.model.int8_layer import Int8Layer
from fastkv_cli.engine.model.loader import load_model
from fastkv_cli.engine.tuning import loaded_content, tuning_path

METHOD = FastKVProbe(tsp_layer=2, tsp_rate=0.3, retention_rate=0.2)
needs_vnni = pytest.mark.skipif(not multiplies_int8(), reason="the CPU has no AVX-512 VNNI")


def load(folder: Path) -> Engine:
    return Engine.load(str(folder), device="cpu", dtype="bfloat16")


@pytest.fixture
def engine(tiny_models: dict[str, Path]) -> Engine:
    """A model with a norm whose columns differ, in a cache without plans."""
    engine = load(tiny_models["qwen3"])
    with torch.no_grad():
        for layer in engine.decoder.attention_layers:
            assert layer.input_norm is not None
            layer.input_norm.gain[5] *= 60
    tuning_path("int8", loaded_content(engine.loaded)).unlink(missing_ok=True)
    return engine


@needs_vnni
def test_plans_from_their_file_make_the_same_matrices(engine: Engine) -> None:
    loaded, decoder = engine.loaded, engine.decoder
    assert load_plans(loaded, decoder) is None
    made, read = open_int8(loaded, decoder), open_int8(loaded, decoder)
    assert load_plans(loaded, decoder) is not None
    assert made.plans.errors == pytest.approx(read.plans.errors, abs=1e-5)
    has_scales = False
    for one, other in zip(made.decoder.layers, read.decoder.layers, strict=True):
        assert isinstance(one, Int8Layer)
        assert isinstance(other, Int8Layer)
        assert one.plan[:4] == other.plan[:4]
        has_scales |= one.plan.input_scales is not None
        assert one.input_norm is not None
        assert other.input_norm is not None
        assert torch.equal(one.input_norm.gain, other.input_norm.gain)
        for matrices, same in zip(one.store.of(one), other.store.of(other), strict=True):
            for matrix, again in zip(matrices, same, strict=True):
                assert torch.equal(matrix.levels, again.levels)
                assert torch.equal(matrix.scales, again.scales)
    assert has_scales


@needs_vnni
def test_plans_of_nothing_in_8_bits_are_kept_too(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_decoder, "MOST_ERROR", 0.0)
    assert open_int8(engine.loaded, engine.decoder).plans.errors == ()
    read = load_plans(engine.loaded, engine.decoder)
    assert read is not None
    assert read.errors == ()
    assert not any(any(plan[:4]) for plan in read.layers)


@needs_vnni
def test_a_further_process_answers_the_same_and_passes_no_sample(
    tiny_models: dict[str, Path], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = make_prompt(600)
    first = load(tiny_models["qwen3"]).generate(prompt, METHOD, 4, ignore_eos=True)

    def fail(*_: object) -> None:
        raise AssertionError("the sample passed again")

    monkeypatch.setattr(int8_plans, "quantize_decoder", fail)
    further = load(tiny_models["qwen3"])
    again = further.generate(prompt, METHOD, 4, ignore_eos=True)
    assert torch.equal(first.first_logits, again.first_logits)
    assert further.prefill_models.format.int8_products > 0


@needs_vnni
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("form", 0),
        ("layers", []),
        ("layers", None),
        ("errors", [0.5]),
        ("errors", [float("nan")]),
        ("schema", "another"),
    ],
)
def test_damaged_plans_are_made_anew(engine: Engine, name: str, value: object) -> None:
    loaded, decoder = engine.loaded, engine.decoder
    open_int8(loaded, decoder)
    path = tuning_path("int8", loaded_content(loaded))
    whole = path.read_text("utf-8")
    path.write_text(json.dumps({**json.loads(whole), name: value}), "utf-8")
    assert load_plans(loaded, decoder) is None
    open_int8(loaded, decoder)
    assert path.read_text("utf-8") == whole


@needs_vnni
@pytest.mark.parametrize(
    "exponents", [{"9999": 1}, {"-1": 1}, {"0": 99}, {"0": 0.5}, {"x": 1}, [], 7]
)
def test_columns_out_of_range_are_damage(engine: Engine, exponents: object) -> None:
    open_int8(engine.loaded, engine.decoder)
    path = tuning_path("int8", loaded_content(engine.loaded))
    measured = json.loads(path.read_text("utf-8"))
    measured["layers"][0]["input_scales"] = exponents
    path.write_text(json.dumps(measured), "utf-8")
    assert load_plans(engine.loaded, engine.decoder) is None


@needs_vnni
def test_a_cache_that_cannot_be_written_costs_time_alone(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "file"))
    assert open_int8(engine.loaded, engine.decoder).plans.errors
    assert load_plans(engine.loaded, engine.decoder) is None


@pytest.mark.usefixtures("embedded_dir")
def test_the_embedded_models_plans_ship() -> None:
    loaded = load_model(EMBEDDED_MODEL, device="cpu", offline=True)
    plans = load_plans(loaded, open_decoder(loaded.model))
    assert plans is not None
    assert len(plans.layers) == 30
    assert not tuning_path("int8", loaded_content(loaded)).exists()
