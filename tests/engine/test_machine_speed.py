"""The measured speed of the machine, its cache, and the time that it foretells."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fastkv_cli import Engine
from fastkv_cli.config import DType
from fastkv_cli.engine import machine_speed as module
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.kernels.packing import can_pack
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.machine_speed import MachineSpeed, machine_speed, measure_speed
from fastkv_cli.engine.methods import FastKV, Full, GemFilter, Method
from fastkv_cli.engine.prefill import prefill
from fastkv_cli.engine.time_forecast import PlannedPrompt, decode_seconds, prefill_seconds

SPEED = MachineSpeed(1e10, 1e11, 1e10, 1e10, 1e-4, 1e-3, 1e9)
ARGUMENTS = (torch.float32, Kernel.SDPA, 0)


def test_it_is_measured_in_seconds_in_every_format() -> None:
    cases = [(torch.float32, Kernel.SDPA, 0), (torch.bfloat16, Kernel.BLOCKED, 0)]
    if can_pack():
        cases += [(torch.float32, Kernel.SDPA, bits) for bits in (4, 8)]
    for dtype, kernel, bits in cases:
        started = time.perf_counter()
        found = measure_speed(dtype, kernel, bits)
        assert time.perf_counter() - started < 60, dtype  # a second, on a machine of its own
        assert found.matrix_flops_per_s(576) == pytest.approx(found.narrow_flops_per_s)
        assert found.matrix_flops_per_s(8192) == pytest.approx(found.wide_flops_per_s)
        assert 1e6 < found.attention_flops_per_s < 1e15
        assert 1e6 < found.decode_bytes_per_s < 1e13
        assert 1e5 < found.unpack_weights_per_s < 1e13


def test_a_rate_between_the_two_that_were_measured() -> None:
    between = SPEED.matrix_flops_per_s(1024)
    assert SPEED.narrow_flops_per_s < between < SPEED.wide_flops_per_s
    assert SPEED.matrix_flops_per_s(64) == pytest.approx(SPEED.narrow_flops_per_s)


def test_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is damaged, too old or of something else is measured again; what is not, is not."""
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    measured: list[torch.dtype] = []

    busy_s = 0.0

    def measure(dtype: torch.dtype, *_: object) -> MachineSpeed:
        measured.append(dtype)
        time.sleep(busy_s)  # as of a thread that waits for its turn
        started = time.thread_time()
        while time.thread_time() < started + 0.02:
            pass
        return replace(SPEED, decode_token_s=float(len(measured)))

    monkeypatch.setattr(module, "measure_speed", measure)

    def is_measured_again() -> bool:
        before = len(measured)
        found = machine_speed(*ARGUMENTS)
        assert found.decode_token_s == len(measured)
        return len(measured) > before

    assert is_measured_again()
    assert not is_measured_again()
    (path,) = (tmp_path / "home" / "speed").iterdir()
    good = json.loads(path.read_text()) | {"is_busy": False}
    path.write_text(json.dumps(good))
    old, early = good | {"measured_at": time.time() - 8 * 86_400}, good | {"measured_at": 9e12}
    rates = dict(good["speed"])
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
                good | {"key": good["key"] | {"cpu": "another"}},
                good | {"key": good["key"] | {"threads": 99}},
                good | {"speed": rates | {"attention_flops_per_s": float("nan")}},
                good | {"speed": rates | {"attention_flops_per_s": 0.0}},
                good | {"speed": rates | {"attention_flops_per_s": -1.0}},
                good | {"speed": rates | {"attention_flops_per_s": "fast"}},
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
    machine_speed(torch.bfloat16, Kernel.SDPA, 0)
    assert measured[-1] is torch.bfloat16
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "file"))
    assert is_measured_again()  # it cannot be written, and that is no failure


@pytest.fixture(scope="module")
def engine(tiny_models: dict[str, Path]) -> Engine:
    return Engine.load(str(tiny_models["llama"]), dtype=DType.FLOAT32, device="cpu")


class TestTime:
    """Seconds of prompts, against the operations that a real prefill counts."""

    @pytest.mark.parametrize(
        ("method", "tolerance"),
        [
            (Full(), 0.001),
            (FastKV(tsp_layer=1, tsp_rate=0.2, retention_rate=0.2), 0.05),
            (GemFilter(filter_layer=1, retention_rate=0.3), 0.05),
        ],
        ids=lambda value: getattr(value, "name", ""),
    )
    def test_operations_by_rate(self, engine: Engine, method: Method, tolerance: float) -> None:
        """At one rate for everything, without scores and head, seconds are operations ÷ rate."""
        decoder, num_tokens = engine.decoder, 1500
        plan = method.plan(decoder.shape(num_tokens))
        ids = torch.randint(3, 300, (num_tokens,), generator=torch.Generator().manual_seed(1))
        done = prefill(decoder, ids, method, LayerRunner(engine.kernel), plan)
        speed = MachineSpeed(1e9, 1e9, 1e9, 1e30, 0.0, 0.0, 1e9)
        prompt = PlannedPrompt(num_tokens, replace(plan, num_rows=None))
        scored = FastKV(tsp_layer=1, tsp_length=9, capacity=9, window_size=8)
        seconds = prefill_seconds(decoder, prompt, speed)
        no_scores = seconds
        if plan.tsp is not None:  # the scores of 8 rows, or of 1, are not counted as operations
            layers = 1 if plan.tsp.restart else decoder.num_layers
            most = (
                4 * 4 * decoder.attention_layers[0].num_heads * decoder.attention_layers[0].head_dim
            )
            no_scores -= most * plan.window * num_tokens * layers / 1e9
        assert no_scores <= done.flops / 1e9 * (1 + tolerance)
        assert seconds >= done.flops / 1e9 * (1 - tolerance)
        alone = PlannedPrompt(num_tokens, scored.plan(decoder.shape(num_tokens)), is_scored=True)
        assert prefill_seconds(decoder, alone, speed) < seconds

    def test_a_stored_state_saves_the_early_layers(self, engine: Engine) -> None:
        decoder = engine.decoder
        plan = FastKV(tsp_layer=2, tsp_rate=0.2, retention_rate=0.2).plan(decoder.shape(1500))
        afresh = PlannedPrompt(1500, plan)
        found = replace(afresh, num_known=1450, state_layer=2)
        first, second = (prefill_seconds(decoder, each, SPEED) for each in (afresh, found))
        assert second < 0.6 * first
        assert prefill_seconds(decoder, replace(found, state_layer=0), SPEED) == first

    def test_decoding_reads_weights_and_kept_entries(self, engine: Engine) -> None:
        decoder, methods = engine.decoder, (Full(), FastKV(retention_rate=0.1))
        full_s, kept_s = (
            decode_seconds(
                decoder, PlannedPrompt(1500, each.plan(decoder.shape(1500))), SPEED, 10**8
            )
            for each in methods
        )
        least = SPEED.decode_token_s + decoder.num_layers * SPEED.decode_layer_s + 10**8 / 1e10
        assert least < kept_s < full_s == pytest.approx(least + decoder.kv_bytes(1500) / 1e10)
