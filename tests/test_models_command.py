"""`fastkv models` from end to end, in a home with the stores of several programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_stores import LLAMA_CONFIG, hub_model, ollama_model, small_gguf
from processes import Capture

from fastkv_cli.cli import model_shelf
from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode
from fastkv_cli.models.embedded import GGUF_NAME


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_package: None) -> Path:
    """A home with a model of Ollama, one of the hub, one that is not supported, and our cache."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "fastkv"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    gguf = small_gguf(tmp_path / "a.gguf")
    library = "registry.ollama.ai/library"
    ollama_model(tmp_path / "ollama", f"{library}/qwen3/4b", gguf)
    ollama_model(tmp_path / "ollama", f"{library}/bert/335m", small_gguf(tmp_path / "b", "bert"))
    hub_model(tmp_path / "hf" / "hub", "org/[red]name", LLAMA_CONFIG)  # no markup
    prepared = tmp_path / "fastkv" / "models" / "small-0123-v2"
    prepared.mkdir(parents=True)
    (prepared / "model.safetensors").write_bytes(bytes(5000))
    downloads = tmp_path / "fastkv" / "downloads"
    downloads.mkdir()
    (downloads / GGUF_NAME).write_bytes(bytes(1000))
    return tmp_path


def outcome(arguments: str, capfd: Capture) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a run."""
    capfd.readouterr()
    code = run(["models", *arguments.split()])
    return code, *capfd.readouterr()


def test_the_list(home: Path, capfd: Capture) -> None:
    code, stdout, stderr = outcome("", capfd)
    assert (code, stderr) == (0, "")
    lines = stdout.splitlines()
    assert lines[0].split() == (
        ["Model", "Family", "Size", "Bits", "Window", "10", "pages", "300", "pages", "Calibrated"]
    )
    rows = {line.split()[0]: line.split() for line in lines[1:3]}
    assert rows["ollama:qwen3:4b"][1] == "Llama"
    assert rows["ollama:qwen3:4b"][5] == "4K"
    assert rows["org/[red]name"][-1] == "no"
    assert "\x1b" not in stdout
    assert "ollama:bert:335m: is a GGUF file of type 'bert', which is not supported" in lines
    at = lines.index("Stored by fastkv (fastkv models rm NAME):")
    assert lines[at + 1 :] == ["smollm2-135m: 1.0 kB", "small-0123-v2: 5.0 kB"]


def test_families_of_today(home: Path, capfd: Capture) -> None:
    """Models that take images, hybrids, and gpt-oss by Ollama's name, in the stores of others."""
    library, cache = "registry.ollama.ai/library", home / "hf" / "hub"
    for name, architecture in (("gpt-oss/20b", "gptoss"), ("lfm2/1b", "lfm2")):
        gguf = small_gguf(home / f"{architecture}.gguf", architecture)
        ollama_model(home / "ollama", f"{library}/{name}", gguf)
    for number, architecture in enumerate(("qwen3next", "qwen35", "qwen35moe", "gemma3")):
        gguf = small_gguf(home / f"{architecture}.gguf", architecture)
        ollama_model(home / "ollama", f"{library}/new/{number}", gguf)
    text = LLAMA_CONFIG | {"num_attention_heads": 4, "head_dim": 8}
    for repo, kind, prefix in (
        ("google/gemma-3-4b-it", "gemma3", "language_model.model"),
        ("Qwen/Qwen3.5-4B", "qwen3_5", "model.language_model"),
        ("Qwen/Qwen3.6-35B-A3B", "qwen3_5_moe", "model.language_model"),
    ):
        config = {"model_type": kind, "text_config": {**text, "model_type": f"{kind}_text"}}
        hub_model(cache, repo, config, prefix=prefix)
    hub_model(cache, "Qwen/Qwen3-Next-80B", LLAMA_CONFIG | {"model_type": "qwen3_next"})
    hub_model(cache, "org/llava", {"model_type": "llava", "text_config": LLAMA_CONFIG})
    listed = json.loads(outcome("--json", capfd)[1])["models"]
    models = {model["name"]: model for model in listed}
    families = {name: model["family"] for name, model in models.items() if model["family"]}
    del families["ollama:qwen3:4b"], families["org/[red]name"]
    assert families == {
        "ollama:gpt-oss:20b": "gpt-oss",
        "ollama:lfm2:1b": "LFM2",
        "ollama:new:0": "Qwen3-Next",
        "ollama:new:1": "Qwen3.5",
        "ollama:new:2": "Qwen3.5 MoE",
        "ollama:new:3": "Gemma 3",
        "google/gemma-3-4b-it": "Gemma 3",
        "Qwen/Qwen3.5-4B": "Qwen3.5",
        "Qwen/Qwen3.6-35B-A3B": "Qwen3.5 MoE",
        "Qwen/Qwen3-Next-80B": "Qwen3-Next",
    }
    assert all(models[name]["memory_bytes"]["10"] > 0 for name in families)
    assert all(models[name]["weights"] > 4000 for name in families)
    assert "'llava', which is not supported" in models["org/llava"]["problem"]


def test_json_and_one_model(home: Path, capfd: Capture) -> None:
    code, stdout, stderr = outcome("--json", capfd)
    assert (code, stderr) == (0, "")
    listed = json.loads(stdout)
    models = {model["name"]: model for model in listed["models"]}
    qwen = models["ollama:qwen3:4b"]
    assert (qwen["place"], qwen["window"], qwen["calibrated"]) == ("Ollama", 4096, False)
    assert qwen["memory_bytes"].keys() == qwen["fits"].keys() == {"10", "300"}
    assert qwen["problem"] is None
    assert "not supported (take Qwen3" in models["ollama:bert:335m"]["problem"]
    assert [each["name"] for each in listed["stored_by_fastkv"]] == [
        "smollm2-135m",
        "small-0123-v2",
    ]

    one = json.loads(outcome("info qwen3-4b --json", capfd)[1])
    assert {key: one[key] for key in qwen if key != "memory_bytes"} == {
        key: value for key, value in qwen.items() if key != "memory_bytes"
    }
    shown = outcome("info ollama:qwen3:4b", capfd)[1]
    assert qwen["files"][0] in shown.replace("\n", "")
    assert "no, the paper's settings" in shown
    assert "Llama" in outcome(f"info {home / 'a.gguf'}", capfd)[1]
    why = outcome("info ollama:bert:335m", capfd)[1]
    assert "Cannot be used" in why

    code, stdout, stderr = outcome("info nothing", capfd)
    assert (code, stdout) == (ExitCode.MODEL, "")
    assert stderr.startswith("fastkv: unknown model 'nothing'")


def test_only_what_fastkv_stored_is_removed(
    home: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = home / "fastkv" / "models" / "small-0123-v2"
    code, _, stderr = outcome("rm ollama:qwen3:4b --yes", capfd)
    assert code == ExitCode.USAGE
    assert "ollama:qwen3:4b belongs to Ollama, and fastkv removes only" in stderr
    assert "stored nothing named 'nothing'" in outcome("rm nothing --yes", capfd)[2]
    assert "stored nothing named '../models'" in outcome("rm ../models --yes", capfd)[2]
    code, _, stderr = outcome("rm small-0123-v2", capfd)
    assert code == ExitCode.USAGE
    assert "add --yes" in stderr

    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return len(asked) > 1

    monkeypatch.setattr(model_shelf, "is_at_terminal", lambda: True)
    monkeypatch.setattr(model_shelf, "ask_yes", answer)
    assert outcome("rm small-0123-v2", capfd)[::2] == (0, "nothing was removed\n")
    assert prepared.is_dir()
    assert outcome("rm small-0123-v2", capfd)[::2] == (0, f"removed {prepared}, 5.0 kB\n")
    assert asked == [f"Remove {prepared}, 5.0 kB?"] * 2
    assert not prepared.exists()

    # A link is removed, not what it leads to.
    linked = home / "fastkv" / "models" / "smollm2-135m-abc-v2"
    linked.symlink_to(home / "ollama")
    assert outcome("rm smollm2-135m --yes -q", capfd) == (0, "", "")
    assert not linked.is_symlink()
    assert not (home / "fastkv" / "downloads" / GGUF_NAME).exists()
    assert (home / "ollama" / "blobs").is_dir()
