"""Which models are the same: those with the same weights, whatever they are called."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from fastkv_cli.config import LOCAL_REVISION
from fastkv_cli.engine.model.loader import load_model
from fastkv_cli.engine.tuning import load_tuning, loaded_content, tuning_json, tuning_path
from fastkv_cli.models.content import content_id, fingerprint


def test_a_calibration_belongs_to_the_weights(
    tiny_models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It follows a copy of the model, and not another model under the same name."""
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    copy, other = tmp_path / "copy", tmp_path / "other"
    shutil.copytree(tiny_models["llama"], copy)
    shutil.copytree(tiny_models["llama"], other)
    weights = load_file(other / "model.safetensors")
    weights["model.layers.1.mlp.down_proj.weight"] += 1.0
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    loaded = load_model(str(copy), device="cpu", with_weights=False)
    path = tuning_path("heads", loaded_content(loaded))
    path.parent.mkdir(parents=True)
    path.write_text(tuning_json(str(copy), "", {"scores": [[0.5]]}), encoding="utf-8")

    def is_scored(folder: Path, revision: str) -> bool:
        found = load_tuning(str(folder), content_id(str(folder), folder, revision))
        return found.head_scores is not None

    assert is_scored(copy, LOCAL_REVISION)
    assert is_scored(tiny_models["llama"], LOCAL_REVISION)
    assert is_scored(tiny_models["llama"], "0123456789abcdef" * 2 + "01234567")  # a hub's commit
    assert not is_scored(other, LOCAL_REVISION)
    other.rename(tmp_path / "moved")
    copy.rename(other)
    assert is_scored(other, LOCAL_REVISION)
    assert not is_scored(tmp_path / "gone", LOCAL_REVISION)


def test_what_a_fingerprint_sees(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(bytes(range(256)) * 4000)
    first = fingerprint(paths)
    assert len(first) == 12
    assert fingerprint([tmp_path / "a"]) != first
    for at in (0, 500_000, 1_023_999):
        changed = bytearray(paths[1].read_bytes())
        changed[at] ^= 1
        paths[1].write_bytes(changed)
        assert fingerprint(paths) != first, at
        changed[at] ^= 1
        paths[1].write_bytes(changed)
    paths[1].write_bytes(paths[1].read_bytes() + b"x")
    assert fingerprint(paths) != first
    paths[1].write_bytes(b"")
    assert fingerprint(paths) != first


def test_a_gguf_file_s_revision_is_its_content(tmp_path: Path) -> None:
    assert content_id("x.gguf", tmp_path / "nowhere", "b179c9523d0e") == "b179c9523d0e"
