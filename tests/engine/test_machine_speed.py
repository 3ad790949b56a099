"""The measured speed of the machine, its cache, and the time that it foretells."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fastkv_cli import Engine
from fastkv_cli.config import DType
from fastkv_cli.engine.kernels.packing import can_pack
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.machine_speed import LayerSpeed, MachineSpeed, PrefillSpeed, cached_speed
from fastkv_cli.engine.methods import FastKV, Full, GemFilter, Method
from fastkv_cli.engine.model.decoder_opening import open_decoder
from fastkv_cli.engine.model.int8_decoder import SAMPLE, can_quantize
from fastkv_cli.engine.model.loader import load_model
from fastkv_cli.engine.prefill import prefill
from fastkv_cli.engine.sample_layers import kinds
from fastkv_cli.engine.speed_probe import measure_speed
from fastkv_cli.engine.time_forecast import (
    PlannedPrompt,
    answer_seconds,
    decode_seconds,
    prefill_seconds,
    start_seconds,
)

NOTHING = PrefillSpeed(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
KEY: dict[str, object] = {"cpu": "one", "threads": 2}


def speed_of(decode_s: float = 0.0, entry_s: float = 0.0, **prefill_s: float) -> MachineSpeed:
    """A machine on which only these take time."""
    layer = LayerSpeed(replace(NOTHING, **prefill_s), None, 0.0, decode_s, entry_s)
    return MachineSpeed((layer,), 0.0, 0.0, 0.0, 0.0)


SPEED = speed_of(
    decode_s=1e-4,
    entry_s=1e-8,
    layer_s=1e-3,
    kv_row_s=1e-6,
    row_s=5e-6,
    pair_s=1e-9,
    score_s=1e-8,
    ready_s=1e-3,
)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("llama", DType.FLOAT32),
        ("llama", DType.BFLOAT16),
        ("gemma3", DType.BFLOAT16),
        ("qwen3-moe", DType.FLOAT32),
        ("gpt-oss", DType.FLOAT32),
        ("lfm2", DType.FLOAT32),
        ("gguf", DType.AUTO),
    ],
)
def test_layers_of_a_model_without_weights_are_timed(
    tiny_models: dict[str, Path], tiny_gguf: Path, name: str, dtype: DType
) -> None:
    path = tiny_gguf if name == "gguf" else tiny_models[name]
    loaded = load_model(str(path), dtype=dtype, device="cpu", with_weights=False)
    decoder = open_decoder(loaded.model)
    packs = not (decoder.has_recurrent_layers or decoder.has_experts) and can_pack()
    uses_int8 = can_quantize(decoder, loaded.device)
    started = time.perf_counter()
    found = measure_speed(
        loaded.model,
        decoder,
        loaded.kernel,
        loaded.tokenizer(SAMPLE)["input_ids"] if uses_int8 else (),
        decodes_packed=packs,
        weights_bytes=10_000,
        keeps_int8=False,
    )
    assert time.perf_counter() - started < 60  # two seconds, on a machine of its own
    assert MachineSpeed.of_json(json.loads(json.dumps(asdict(found)))) == found
    num_kinds = 1 if name in ("llama", "gguf") else 2
    assert len(found.layers) == len(kinds(decoder)) == num_kinds
    assert 0 < found.head_s < 1
    for kind, layer in zip(kinds(decoder), found.layers, strict=True):
        assert 0 < layer.prefill.row_s < 1
        assert 0 < layer.decode_s < 1
        assert (layer.prefill.pair_s > 0) is not kind.is_recurrent
        assert (layer.prefill.ready_s > 0) is decoder.is_in_blocks
        assert (layer.int8 is not None) is (layer.quantize_s > 0) is uses_int8
    weights = [each for each in loaded.model.parameters() if each.dim() > 1]
    assert all(each.is_meta for each in weights)  # the model is as it was
    prompt = PlannedPrompt(300, Full().plan(decoder.shape(300)))
    assert 0 < prefill_seconds(decoder, prompt, found) < 60
    assert 0 < decode_seconds(decoder, prompt, found) < 60


def test_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is damaged, too old or of something else is measured again; what is not, is not."""
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    num_measured, busy_s = 0, 0.0

    def measure() -> MachineSpeed:
        nonlocal num_measured
        num_measured += 1
        time.sleep(busy_s)  # as of a thread that waits for its turn
        started = time.thread_time()
        while time.thread_time() < started + 0.02:
            pass
        return replace(SPEED, token_s=float(num_measured))

    def is_measured_again(key: dict[str, object] = KEY) -> bool:
        before = num_measured
        assert cached_speed(key, measure).token_s == num_measured
        return num_measured > before

    assert is_measured_again()
    assert not is_measured_again()
    (path,) = (tmp_path / "home" / "speed").iterdir()
    good: dict[str, Any] = json.loads(path.read_text()) | {"is_busy": False}
    path.write_text(json.dumps(good))
    old, early = good | {"measured_at": time.time() - 8 * 86_400}, good | {"measured_at": 9e12}
    speed = good["speed"]
    layer = speed["layers"][0]
    damaged = [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 90_000,
        *(
            json.dumps(each).encode()
            for each in (
                old,
                early,
                good | {"schema": "fastkv-speed/0"},
                good | {"key": KEY | {"cpu": "another"}},
                good | {"speed": speed | {"head_s": float("nan")}},
                good | {"speed": speed | {"head_s": -1.0}},
                good | {"speed": speed | {"head_s": "fast"}},
                good | {"speed": speed | {"layers": [layer | {"decode_s": -1.0}]}},
                good | {"speed": speed | {"layers": [layer | {"prefill": {}}]}},
                good | {"speed": speed | {"layers": 3}},
                good | {"speed": {}},
            )
        ),
    ]
    for content in damaged:
        path.write_bytes(content)
        assert is_measured_again(), content[:200]
        assert not is_measured_again()
    good = json.loads(path.read_text()) | {"is_busy": False, "measured_at": time.time() - 3600}
    path.write_text(json.dumps(good))
    assert not is_measured_again()
    path.write_text(json.dumps(good | {"is_busy": True}))
    busy_s = 1.0
    assert is_measured_again()  # of a busy machine after an hour, but not at once
    assert json.loads(path.read_text())["is_busy"]
    assert not is_measured_again()
    busy_s = 0.0
    assert is_measured_again(KEY | {"threads": 4})
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "file"))
    assert is_measured_again()  # it cannot be written, and that is no failure


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype=DType.FLOAT32, device="cpu")


class TestTime:
    """Seconds of prompts, against what a real prefill computes."""

    @pytest.mark.parametrize(
        "method",
        [
            Full(),
            FastKV(tsp_layer=1, tsp_rate=0.2, retention_rate=0.2),
            GemFilter(filter_layer=1, retention_rate=0.3),
        ],
        ids=lambda value: value.name,
    )
    def test_rows_and_pairs_are_those_computed(self, engine: Engine, method: Method) -> None:
        """With time for nothing else, seconds are rows, or pairs, times that of one."""
        decoder, num_tokens = engine.decoder, 1500
        plan = method.plan(decoder.shape(num_tokens))
        ids = torch.randint(3, 300, (num_tokens,), generator=torch.Generator().manual_seed(1))
        done = prefill(decoder, ids, method, LayerRunner(engine.kernel), plan)
        layer = decoder.attention_layers[0]
        prompt = PlannedPrompt(num_tokens, plan)
        kv_flops = 4 * layer.hidden_size * layer.num_kv_heads * layer.head_dim
        rows_flops = 2 * layer.num_weights - kv_flops
        flops = sum(
            prefill_seconds(decoder, prompt, speed_of(**{of: 1.0})) * each
            for of, each in (
                ("kv_row_s", kv_flops),
                ("row_s", rows_flops),
                ("pair_s", 4 * layer.num_heads * layer.head_dim),
            )
        )
        assert flops == pytest.approx(done.flops, rel=0.001 if method == Full() else 0.05)

    def test_scores_are_counted_where_tokens_are_scored(self, engine: Engine) -> None:
        decoder = engine.decoder
        scoring = FastKV(tsp_layer=1, tsp_length=9, capacity=9, window_size=8)
        alone = PlannedPrompt(1500, scoring.plan(decoder.shape(1500)), is_scored=True)
        assert prefill_seconds(decoder, alone, speed_of(score_s=1.0)) == 2 * 8 * 1500
        full = PlannedPrompt(1500, Full().plan(decoder.shape(1500)))
        assert prefill_seconds(decoder, full, speed_of(score_s=1.0)) == 0
        assert prefill_seconds(decoder, alone, SPEED) < prefill_seconds(decoder, full, SPEED)

    def test_a_stored_state_saves_the_early_layers(self, engine: Engine) -> None:
        decoder = engine.decoder
        plan = FastKV(tsp_layer=2, tsp_rate=0.2, retention_rate=0.2).plan(decoder.shape(1500))
        afresh = PlannedPrompt(1500, plan)
        found = replace(afresh, num_known=1450, state_layer=2)
        speed = speed_of(kv_row_s=1.0, row_s=5.0)
        first, second = (prefill_seconds(decoder, each, speed) for each in (afresh, found))
        assert second < 0.6 * first
        assert prefill_seconds(decoder, replace(found, state_layer=0), speed) == first

    def test_weights_in_8_bits_are_made_once(self, engine: Engine) -> None:
        decoder = engine.decoder
        slow, fast = replace(NOTHING, row_s=1.0), replace(NOTHING, row_s=0.5)
        speed = MachineSpeed((LayerSpeed(slow, fast, 3.0, 0.0, 0.0),), 0.0, 0.0, 2.0, 0.0)
        short = PlannedPrompt(700, Full().plan(decoder.shape(700)))
        long = replace(short, is_int8=True)
        assert prefill_seconds(decoder, long, speed) == prefill_seconds(decoder, short, speed) / 2
        assert start_seconds(decoder, [short, short], speed) == 2
        assert start_seconds(decoder, [long, short, long], speed) == 2 + 3 * decoder.num_layers

    def test_decoding_reads_kept_entries(self, engine: Engine) -> None:
        decoder = engine.decoder
        full, kept = (
            PlannedPrompt(1500, each.plan(decoder.shape(1500)))
            for each in (Full(), FastKV(retention_rate=0.1))
        )
        assert decode_seconds(decoder, full, speed_of(entry_s=1.0)) == 1500 * decoder.num_layers
        assert decode_seconds(decoder, full, speed_of(decode_s=1.0)) == decoder.num_layers
        assert decode_seconds(decoder, kept, SPEED) < decode_seconds(decoder, full, SPEED)

    def test_the_first_decoded_tokens_of_a_process_take_longer(self, engine: Engine) -> None:
        decoder = engine.decoder
        prompt = PlannedPrompt(700, Full().plan(decoder.shape(700)))
        speed = replace(SPEED, decode_start_s=0.5)
        one_s = decode_seconds(decoder, prompt, speed)
        assert answer_seconds(decoder, prompt, speed, 0) == 0
        assert answer_seconds(decoder, prompt, speed, 1) == 0
        assert answer_seconds(decoder, prompt, speed, 21) == pytest.approx(0.5 + 20 * one_s)
