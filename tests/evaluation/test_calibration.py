"""Which setting is chosen of those that were measured, and what a calibration leaves behind."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from measuring import content_of
from processes import start

from fastkv_cli.cli.app import run
from fastkv_cli.config import Budget, MethodSettings, Preset
from fastkv_cli.engine.methods import FastKV, build_method
from fastkv_cli.engine.tuning import load_tuning, tuning_path
from fastkv_cli.errors import ExitCode
from fastkv_cli.evaluation.quality.calibration import CalibrationReport, candidate_layers
from fastkv_cli.evaluation.quality.preset_choice import (
    RATES,
    Setting,
    choose,
    choose_presets,
    scoring_layer,
)
from fastkv_cli.output.render.quality_tables import calibration_tables
from fastkv_cli.output.render.table_text import render_text


def setting(layer: int, rate: float, of_full: float, compute: float, far: float = 0.0) -> Setting:
    return Setting(layer, rate, far, of_full / 2, of_full, compute)


@pytest.mark.parametrize("num_layers", [1, 2, 4, 16, 30, 32, 80])
def test_candidate_layers_are_inside_the_model(num_layers: int) -> None:
    layers = candidate_layers(num_layers, range(num_layers))
    assert layers == sorted(set(layers))
    assert layers
    assert min(layers) >= 0
    assert max(layers) < num_layers
    if num_layers >= 4:
        assert max(num_layers // 2 - 1, 1) in layers  # the paper's is among them
        assert min(layers) > 0


def test_candidate_layers_attend_to_all_tokens() -> None:
    assert candidate_layers(34, [5, 11, 17, 23, 29]) == [11, 17, 23]
    assert candidate_layers(18, [5, 11, 17]) == [5, 11]  # Gemma 3 270M
    assert candidate_layers(18, [5, 17]) == [5]
    assert candidate_layers(12, [1, 11]) == [1]  # none from 3 to 9: the nearest to the middle


class TestChoose:
    """The cheapest one that is good and near enough."""

    CHEAP = setting(1, 0.1, 0.90, 0.30, far=0.3)
    FAIR = setting(2, 0.2, 0.96, 0.50, far=0.2)
    DEAR = setting(3, 0.5, 1.00, 0.80, far=0.1)

    @pytest.mark.parametrize(
        ("loss", "distance", "chosen"),
        [
            (0.2, 1.0, CHEAP),
            (0.05, 1.0, FAIR),
            (0.0, 1.0, DEAR),
            (0.2, 0.25, FAIR),  # what loses few answers may be far from the full model
            (0.2, 0.15, DEAR),
            (0.05, 0.25, FAIR),
        ],
    )
    def test_the_cheapest_that_passes_both(
        self, loss: float, distance: float, chosen: Setting
    ) -> None:
        for settings in ([self.DEAR, self.CHEAP, self.FAIR], [self.CHEAP, self.FAIR, self.DEAR]):
            assert choose(settings, loss, distance) is chosen

    def test_better_than_full_is_good_enough(self) -> None:
        better = setting(1, 0.1, 1.1, 0.3)
        assert choose([setting(2, 0.5, 1.0, 0.8), better], 0.0, 1.0) is better

    @pytest.mark.parametrize("dearer", [0.0, 0.004])
    def test_of_equally_cheap_ones_the_nearest(self, dearer: float) -> None:
        """Costs are equal where they are to the percent."""
        far = setting(1, 0.1, 1.0, 0.300, far=0.3)
        near = setting(2, 0.1, 1.0, 0.300 + dearer, far=0.2)
        assert choose([far, near], 0.01, 1.0) is near
        assert choose([near, far], 0.01, 1.0) is near

    def test_none_is_near_enough(self) -> None:
        settings = [self.CHEAP, self.FAIR, self.DEAR]
        assert choose(settings, 0.2, 0.01) is self.DEAR
        lost = setting(3, 0.5, 0.1, 0.8, far=0.02)  # nearer yet, but its answers are gone
        assert choose([*settings, lost], 0.2, 0.01) is self.DEAR

    def test_none_is_good_enough(self) -> None:
        nearest = setting(3, 0.5, 0.7, 0.9, far=0.1)
        settings = [
            setting(1, 0.1, 0.5, 0.3, far=0.0),
            setting(2, 0.5, 0.7, 0.8, far=0.2),
            nearest,
        ]
        assert choose(settings, 0.01, 1.0) is nearest

    def test_the_presets(self) -> None:
        settings = [
            setting(1, 0.1, 0.85, 0.3, far=0.015),
            setting(1, 0.5, 0.97, 0.6),
            setting(2, 0.2, 0.992, 0.5, far=0.008),
            setting(2, 0.5, 1.0, 0.7, far=0.004),
            setting(3, 0.5, 0.995, 0.8),
        ]
        presets = choose_presets(settings, tolerance=0.01)
        chosen = {
            preset: (found["tsp_layer"], found["tsp_rate"], found["budget"])
            for preset, found in presets.items()
        }
        assert chosen == {
            Preset.FAST: (1, 0.1, 0.1),  # no layer keeps more than it sees
            Preset.BALANCED: (2, 0.2, 0.2),
            Preset.QUALITY: (2, 0.5, 0.5),
        }
        assert json.loads(json.dumps(presets))["balanced"]["of_full"] == 0.992

    def test_fast_is_never_stricter_than_balanced(self) -> None:
        settings = [setting(1, 0.1, 0.6, 0.3), setting(2, 0.5, 1.0, 0.7)]
        presets = choose_presets(settings, tolerance=0.5)
        assert presets[Preset.FAST]["tsp_layer"] == presets[Preset.BALANCED]["tsp_layer"] == 1

    def test_the_scoring_layer_finds_most_at_low_rates(self) -> None:
        settings = [
            setting(1, 0.1, 0.2, 0.3),
            setting(1, 0.2, 0.4, 0.3),
            setting(1, 0.5, 1.0, 0.3),
            setting(2, 0.1, 0.5, 0.3),
            setting(2, 0.2, 0.3, 0.3),
            setting(2, 0.5, 0.6, 0.3),
        ]
        assert scoring_layer(settings) == 2
        assert scoring_layer([*settings, setting(3, 0.5, 1.0, 0.3)]) == 2  # tried at one rate only


class TestTables:
    """What a person sees of it."""

    def show(self, of_full: float, far: float = 0.001) -> str:
        settings = [
            setting(layer, rate, of_full, 0.3 + rate / 2 + layer / 100, far=far)
            for layer in range(20)
            for rate in RATES
        ]
        report = CalibrationReport(settings, choose_presets(settings, 0.01), 0.01, {})
        return render_text(*calibration_tables(report))

    @pytest.mark.parametrize("far", [0.001, 9.87654])
    def test_every_layer_and_rate(self, far: float) -> None:
        lines = self.show(1.0, far).splitlines()
        assert max(map(len, lines)) <= 100
        assert lines[1].split("  ")[0] == "TSP layer"
        assert [line.split()[0] for line in lines[2:22]] == [str(layer) for layer in range(20)]
        assert all(line.count(f"100% · {far:.1%} · ") == len(RATES) for line in lines[2:22])
        assert [line.split(":")[0] for line in lines[22:25]] == ["fast", "balanced", "quality"]

    def test_it_says_when_nothing_was_good_enough(self) -> None:
        assert "No setting stays within 1.00% of full" in self.show(0.5)
        assert "No setting stays within 1.00% of full" in self.show(1.0, far=0.02)
        assert "No setting" not in self.show(1.0)

    def test_what_a_time_limit_left_out(self) -> None:
        settings = [setting(4, 0.2, 1.0, 0.3), setting(4, 0.5, 1.0, 0.5), setting(8, 0.2, 1.0, 0.4)]
        presets = choose_presets(settings, 0.01)
        report = CalibrationReport(
            settings, presets, 0.01, {}, coarse="3 of 56 settings were tried"
        )
        lines = render_text(*calibration_tables(report)).splitlines()
        (row,) = (line for line in lines if line.split()[0] == "8")
        assert row.split() == ["8", "100%", "·", "0.0%", "·", "40%", "–"]
        assert "Coarse: 3 of 56 settings were tried." in lines


class TestCommand:
    """`fastkv calibrate`, on a tiny model."""

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)
        Path("a.txt").write_text("The committee met 14 times in 1999. " * 60)
        return tmp_path / "home"

    def ask(self, model: str, capfd: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
        arguments = ["ask", "a.txt", "When?", "-m", model, "--json", "--max-tokens", "2"]
        assert run([*arguments, *options]) == 0
        kv: dict[str, Any] = json.loads(capfd.readouterr().out)["kv"]
        return kv

    def test_it_keeps_what_ask_uses(
        self, tiny_models: dict[str, Path], capfd: pytest.CaptureFixture[str], home: Path
    ) -> None:
        model = str(tiny_models["llama"])
        before = self.ask(model, capfd)
        assert before["settings"] == "preset balanced, not calibrated: the paper's settings"

        assert run(["calibrate", model, "--samples", "1", "--dtype", "float32"]) == 0
        stdout, stderr = capfd.readouterr()
        path = tuning_path("calibration", content_of(model))
        assert stderr.splitlines()[-1] == f"saved for {model} in {path}"
        lines = stdout.splitlines()
        assert [line.split()[0] for line in lines[2:5]] == ["1", "2", "3"]
        assert [line.split(":")[0] for line in lines[5:8]] == ["fast", "balanced", "quality"]

        written = json.loads(path.read_text(encoding="utf-8"))
        assert written["model"] == model
        assert len(written["settings"]) == 3 * len(RATES)
        assert all(one["distance"] >= 0 for one in written["settings"])
        # the later and the more tokens go on, the nearer to the full model, on the whole
        ends = {(one["tsp_layer"], one["tsp_rate"]): one for one in written["settings"]}
        assert ends[1, 0.1]["distance"] > ends[3, 0.5]["distance"]
        assert ends[1, 0.1]["compute_ratio"] < ends[3, 0.5]["compute_ratio"] <= 1
        assert max(written["lengths"]) <= 2048
        assert list(home.glob("evaluations/*.jsonl")) == []  # nothing to go on with

        found = load_tuning(model, content_of(model))
        assert found.is_calibrated
        for preset in Preset:
            method = build_method(MethodSettings(preset=preset), found)
            chosen = written["presets"][preset]
            assert isinstance(method, FastKV)
            assert (method.tsp_layer, method.tsp_rate) == (chosen["tsp_layer"], chosen["tsp_rate"])
        assert found.presets[Preset.BALANCED].budget == Budget(
            rate=written["presets"]["balanced"]["budget"]
        )

        after = self.ask(model, capfd, "--preset", "balanced")
        assert after["settings"] == "preset balanced, calibrated"
        assert after["tsp_layer"] == written["presets"]["balanced"]["tsp_layer"]
        assert after["tsp_rate"] == written["presets"]["balanced"]["tsp_rate"]
        by_hand = self.ask(model, capfd, "--tsp-layer", "0")
        assert by_hand["settings"] == "preset balanced, calibrated; by hand: --tsp-layer"

    def test_json_is_what_is_kept(
        self, tiny_models: dict[str, Path], capfd: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "texts").mkdir()
        (tmp_path / "texts" / "a.md").write_text("The committee met once more. " * 400)
        model = str(tiny_models["llama"])
        arguments = ["calibrate", model, "--samples", "1", "--texts", "texts", "--json", "-q"]
        assert run([*arguments, "--tolerance", "0.05"]) == 0
        stdout, stderr = capfd.readouterr()
        assert stderr == ""
        assert json.loads(stdout)["tolerance"] == 0.05
        path = tuning_path("calibration", content_of(model))
        assert stdout == path.read_text(encoding="utf-8")

    def test_interrupted_it_keeps_nothing_but_its_journal(
        self, tiny_models: dict[str, Path], home: Path
    ) -> None:
        model = str(tiny_models["llama"])
        child = start(["calibrate", model, "--samples", "40", "--dtype", "float32"])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(home.glob("evaluations/*.jsonl")):
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
        assert child.returncode == ExitCode.INTERRUPTED
        assert stdout == ""
        told = "fastkv: interrupted: run the same command again to continue"
        assert stderr.splitlines()[-1] == told
        assert not list(home.glob("tuning/*"))
        assert len(list(home.glob("evaluations/*.jsonl"))) == 1

    def test_a_model_with_a_small_window(
        self, tiny_models: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Either it is calibrated on what it holds, or it is told why not."""
        folder = tmp_path / "small"
        shutil.copytree(tiny_models["llama"], folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 1024}))
        assert run(["calibrate", str(folder), "--samples", "1"]) in {
            ExitCode.OK,
            ExitCode.USAGE,
            ExitCode.MODEL,
            ExitCode.CONTEXT,
        }
        assert "unexpected" not in capfd.readouterr().err


def test_an_uncalibrated_model_says_so_wherever_statistics_are_shown(
    tiny_models: dict[str, Path],
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("The committee met 14 times in 1999. " * 60)
    options = ["-m", str(tiny_models["llama"]), "--max-tokens", "2"]
    words = "preset balanced, not calibrated: the paper's settings"
    for level in ("brief", "full"):
        assert run(["ask", "a.txt", "When?", *options, "--stats", level]) == 0
        assert words in capfd.readouterr().err, level
    assert run(["ask", "a.txt", "When?", *options, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["kv"]["settings"] == words
    assert run(["ask", "a.txt", "When?", *options, "--dry-run"]) == 0
    assert words in capfd.readouterr().out
    assert run(["summarize", "a.txt", *options, "--style", "extractive"]) == 0
    assert words.replace("balanced", "quality") in capfd.readouterr().err
