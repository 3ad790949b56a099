"""What was measured of a model: kept in files, found again, and told."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import fastkv_cli
from fastkv_cli.config import Budget, MethodName, MethodSettings, Preset
from fastkv_cli.engine.methods import FastKV, HeadKV, PromptShape, build_method
from fastkv_cli.engine.tuning import (
    Tuning,
    load_measured,
    load_tuning,
    tuning_json,
    tuning_path,
)
from fastkv_cli.errors import FastKVError, UsageError

CALIBRATION: dict[str, Any] = {
    "scoring_layer": 2,
    "presets": {
        "fast": {"tsp_layer": 1, "tsp_rate": 0.1, "budget": 0.1},
        "balanced": {"tsp_layer": 2, "tsp_rate": 0.3, "budget": 0.25},
        "quality": {"tsp_layer": 3, "tsp_rate": 0.5, "budget": 0.5},
    },
}
HEADS: dict[str, Any] = {"scores": [[0.25, 0.05], [0.1, 0.6]]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path))
    return tmp_path


def save(kind: str, content: str, measured: dict[str, Any]) -> Path:
    path = tuning_path(kind, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tuning_json("org/name", content, measured), encoding="utf-8")
    return path


class TestFiles:
    """One a kind and a model, by the content of its weights."""

    def test_round_trip(self) -> None:
        save("calibration", "abc", CALIBRATION)
        save("heads", "abc", HEADS)
        found = load_tuning("org/name", "abc")
        assert found.is_calibrated
        assert found.model == "org/name"
        assert found.scoring_layer == 2
        assert found.head_scores == ((0.25, 0.05), (0.1, 0.6))
        assert {
            name: (chosen.tsp_layer, chosen.tsp_rate, chosen.budget.rate)
            for name, chosen in found.presets.items()
        } == {"fast": (1, 0.1, 0.1), "balanced": (2, 0.3, 0.25), "quality": (3, 0.5, 0.5)}

    def test_each_kind_comes_alone(self) -> None:
        save("heads", "abc", HEADS)
        found = load_tuning("org/name", "abc")
        assert (found.is_calibrated, found.scoring_layer) == (False, None)
        assert found.head_scores is not None
        save("calibration", "abd", CALIBRATION)
        found = load_tuning("org/name", "abd")
        assert found.is_calibrated
        assert found.head_scores is None

    def test_the_file_says_what_it_is_of(self) -> None:
        saved = json.loads(save("heads", "abc", HEADS).read_text())
        assert saved == {
            "schema": "fastkv-tuning/1",
            "model": "org/name",
            "content": "abc",
            "scores": HEADS["scores"],
        }

    @pytest.mark.parametrize("content", ["../../etc/passwd", "..", "/", "C:\\x", "a\nb", "größe"])
    def test_any_content_makes_a_safe_file_name(self, home: Path, content: str) -> None:
        path = tuning_path("heads", content)
        assert path.parent == home / "tuning"
        assert re.fullmatch(r"[A-Za-z0-9.-]+\.heads\.json", path.name)
        save("heads", content, HEADS)
        assert load_tuning("org/name", content).head_scores is not None

    def test_the_user_s_file_wins_over_the_one_that_ships(self) -> None:
        folder = Path(fastkv_cli.__file__).parent / "tuned"
        kinds = {path.name.split(".")[-2] for path in folder.glob("*.json")}
        assert kinds  # something ships
        for path in folder.glob("*.json"):
            shipped = json.loads(path.read_text(encoding="utf-8"))
            kind, content = path.name.split(".")[-2], shipped["content"]
            assert load_measured(kind, content) == shipped
            own = save(kind, content, shipped | {"seed": 12345})
            found = load_measured(kind, content)
            assert found is not None
            assert found["seed"] == 12345
            own.unlink()
            assert load_measured(kind, content) == shipped

    def test_what_ships_fits_the_embedded_model(self) -> None:
        for path in (Path(fastkv_cli.__file__).parent / "tuned").glob("*.json"):
            shipped = json.loads(path.read_text(encoding="utf-8"))
            found = load_tuning(shipped["model"], shipped["content"])
            for preset in Preset:
                method = build_method(MethodSettings(preset=preset), found)
                method.plan(PromptShape(4000, 30, 9, 3))
            if found.head_scores is not None:
                assert [len(row) for row in found.head_scores] == [9] * 30
                assert sum(map(sum, found.head_scores)) == pytest.approx(1, abs=1e-4)


class TestBrokenFiles:
    """One clear error that says what to delete."""

    @pytest.mark.parametrize("kind", ["calibration", "heads"])
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b"null",
            b'"text"',
            b'{"schema": "fastkv-tuning/1"}',
            b'{"schema": "fastkv-tuning/1", "presets": 3, "scores": 3, "scoring_layer": 1}',
            b'{"schema": "fastkv-tuning/1", "presets": {"fast": {}}, "scores": [3],'
            b' "scoring_layer": 1}',
            b'{"schema": "fastkv-tuning/1", "presets": {"huge": {}}, "scores": [["a"]],'
            b' "scoring_layer": 1}',
        ],
        ids=lambda value: str(value) if isinstance(value, bytes) else "",
    )
    def test_it_is_named(self, kind: str, content: bytes) -> None:
        path = save(kind, "abc", {})
        path.write_bytes(content)
        with pytest.raises(FastKVError) as caught:
            load_tuning("org/name", "abc")
        assert str(path) in str(caught.value)
        assert "delete" in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("scoring_layer", "1e999"),
            ("scoring_layer", "7" * 5000),
            ("scoring_layer", "[" * 90_000),
            ("tsp_layer", "Infinity"),
            ("tsp_layer", "-3"),
            ("tsp_rate", "NaN"),
            ("tsp_rate", "1e999"),
            ("budget", "NaN"),
            ("scores", "[[NaN, 1]]"),
            ("scores", "[[1e999]]"),
        ],
        ids=lambda text: text[:9],
    )
    def test_numbers_that_no_model_has(self, name: str, value: str) -> None:
        kind = "heads" if name == "scores" else "calibration"
        path = save(kind, "abc", HEADS if name == "scores" else CALIBRATION)
        text = path.read_text(encoding="utf-8")
        old = r"\[.*\]" if name == "scores" else r"[\d.]+"
        changed = re.sub(rf'("{name}": ){old}', lambda match: match[1] + value, text, flags=re.S)
        assert changed != text
        path.write_text(changed, encoding="utf-8")
        with pytest.raises(FastKVError, match="delete it, and measure again") as caught:
            load_tuning("org/name", "abc")
        assert str(path) in str(caught.value)
        assert len(str(caught.value)) < 1000

    def test_a_folder_in_its_place(self) -> None:
        tuning_path("heads", "abc").mkdir(parents=True)
        assert load_tuning("org/name", "abc").head_scores is None

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self) -> None:
        path = save("heads", "abc", HEADS)
        path.chmod(0)
        with pytest.raises(FastKVError, match=r"cannot read .*delete it"):
            load_tuning("org/name", "abc")

    def test_a_schema_to_come_is_left_alone(self) -> None:
        path = save("heads", "abc", HEADS)
        path.write_text(path.read_text().replace("tuning/1", "tuning/2"))
        assert load_tuning("org/name", "abc").head_scores is None


class TestUse:
    """What becomes of a tuning."""

    @pytest.mark.parametrize("num_layers", [4, 30, 32, 36, 40])
    def test_an_unmeasured_model_has_the_paper_s_layer(self, num_layers: int) -> None:
        found = load_tuning("org/nothing", "abc")
        for preset, rate, budget in (
            (Preset.FAST, 0.2, 0.1),
            (Preset.BALANCED, 0.2, 0.2),
            (Preset.QUALITY, 0.5, 0.4),
        ):
            method = build_method(MethodSettings(preset=preset), found)
            plan = method.plan(PromptShape(4000, num_layers))
            assert plan.tsp is not None
            assert (plan.tsp.layer, plan.tsp.length) == (num_layers // 2 - 1, int(4000 * rate))
            assert plan.capacities[0] == int(4000 * budget)

    def test_presets_are_what_was_measured(self) -> None:
        save("calibration", "abc", CALIBRATION)
        found = load_tuning("org/name", "abc")
        for preset, layer, rate, budget in (
            (Preset.FAST, 1, 0.1, 0.1),
            (None, 2, 0.3, 0.25),
            (Preset.QUALITY, 3, 0.5, 0.5),
        ):
            method = build_method(MethodSettings(preset=preset), found)
            assert isinstance(method, FastKV)
            settings = (method.tsp_layer, method.tsp_rate, method.retention_rate)
            assert settings == (layer, rate, budget)

    def test_headkv_has_the_scores(self) -> None:
        save("heads", "abc", HEADS)
        method = build_method(MethodSettings(MethodName.HEADKV), load_tuning("org/name", "abc"))
        assert isinstance(method, HeadKV)
        assert method.head_scores == ((0.25, 0.05), (0.1, 0.6))

    def test_headkv_without_scores_says_how_to_make_them(self) -> None:
        with pytest.raises(UsageError, match="fastkv profile-heads org/name"):
            build_method(MethodSettings(MethodName.HEADKV), load_tuning("org/name", "abc"))

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            (MethodSettings(), "preset balanced, {}"),
            (MethodSettings(preset=Preset.FAST), "preset fast, {}"),
            (MethodSettings(MethodName.SNAPKV), "preset balanced, {}"),
            (
                MethodSettings(preset=Preset.QUALITY, budget=Budget(rate=0.3)),
                "preset quality, {}; by hand: --budget",
            ),
            (
                MethodSettings(budget=Budget(tokens=99), tsp_layer=0, tsp_rate=0.5),
                "preset balanced, {}; by hand: --budget, --tsp-layer, --tsp-rate",
            ),
            (MethodSettings(MethodName.FULL), ""),
        ],
        ids=str,
    )
    def test_it_is_told_where_settings_come_from(
        self, settings: MethodSettings, words: str
    ) -> None:
        measured = Tuning("tiny", is_calibrated=True).describe(settings)
        assert measured == words.format("calibrated")
        coarse = Tuning("tiny", is_calibrated=True, is_coarse=True).describe(settings)
        assert coarse == words.format("calibrated coarsely")
        unmeasured = Tuning("tiny").describe(settings)
        assert unmeasured == words.format("not calibrated: the paper's settings")
