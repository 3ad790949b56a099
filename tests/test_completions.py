"""The completion scripts: fresh, well-formed, and answered by the program."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from model_stores import ollama_model, small_gguf

from fastkv_cli.cli.completions import completion_scripts, write_completions
from fastkv_cli.config import EMBEDDED_MODEL, MethodName

FOLDER = Path(__file__).parents[1] / "completions"


def test_scripts_are_those_of_the_app() -> None:
    """Stale? Run: python -m fastkv_cli.cli.completions."""
    there = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert there == completion_scripts()


def test_scripts_are_written(tmp_path: Path) -> None:
    write_completions(tmp_path / "new")
    written = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert written == ["_fastkv", "fastkv.bash", "fastkv.fish"]
    assert (tmp_path / "new" / "_fastkv").read_text().startswith("#compdef fastkv\n")


@pytest.mark.parametrize(
    ("shell", "flag", "name"),
    [
        ("bash", "-n", "fastkv.bash"),
        ("zsh", "-n", "_fastkv"),
        ("fish", "--no-execute", "fastkv.fish"),
    ],
)
def test_shells_can_read_them(shell: str, flag: str, name: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell, flag, str(FOLDER / name)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def complete(shell: str, words: str) -> str:
    """What the program answers to a shell at TAB."""
    variables: dict[str, dict[str, object]] = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": len(words.split(" ")) - 1},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }
    done = subprocess.run(
        [sys.executable, "-m", "fastkv_cli"],
        env=environment(_FASTKV_COMPLETE=f"complete_{shell}", **variables[shell]),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_methods_models_and_commands_complete(shell: str) -> None:
    methods = complete(shell, "fastkv summarize --method ")
    assert all(method in methods for method in MethodName)
    assert EMBEDDED_MODEL in complete(shell, "fastkv ask --model smo")
    assert "summarize" in complete(shell, "fastkv su")


def test_models_on_disk_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--org--tiny-llama" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"model_type": "llama"}')
    refs = tmp_path / "models--org--tiny-llama" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert "org/tiny-llama" in complete("bash", "fastkv summarize --model org").split()


def test_what_does_not_begin_so_is_left_out() -> None:
    assert complete("bash", "fastkv summarize --method fu").split() == ["full"]
    assert complete("bash", "fastkv summarize --model nothing").split() == []


def test_bash_completes_for_real(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    program = tmp_path / "fastkv"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fastkv_cli "$@"\n')
    program.chmod(0o755)
    script = f"""
    source "{FOLDER / "fastkv.bash"}"
    COMP_WORDBREAKS=$' \\t\\n:'
    COMP_WORDS=(fastkv summarize --method fu) COMP_CWORD=3
    _fastkv_completion "{program}"
    echo "${{COMPREPLY[@]}}"
    COMP_WORDS=(fastkv ask --model ollama : qwen3 : 4 more) COMP_CWORD=7
    _fastkv_completion "{program}"
    echo "${{COMPREPLY[@]}}"
    """
    gguf = small_gguf(tmp_path / "small.gguf")
    for tag in ("4b", "4b-q8", "8b"):
        ollama_model(tmp_path / "ollama", f"registry.ollama.ai/library/qwen3/{tag}", gguf)
    done = subprocess.run(
        ["bash", "-c", script],
        env=environment(OLLAMA_MODELS=tmp_path / "ollama"),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    # bash replaces only what stands behind the last colon
    assert done.stdout.split() == ["full", "4b", "4b-q8"]
