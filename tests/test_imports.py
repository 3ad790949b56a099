"""What is imported when: a quick start. Who may import whom is checked by `lint-imports`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

import fastkv_cli

SPY = """
import atexit, os, sys
atexit.register(lambda: open(os.environ["FASTKV_SPY"], "w").write(" ".join(sys.modules)))
from fastkv_cli.cli.app import main
main()
"""


def modules_of(path: Path, arguments: list[str], **changes: object) -> tuple[set[str], str]:
    """The modules that a run of the command line has imported at its end, and its stdout."""
    done = subprocess.run(
        [sys.executable, "-c", SPY, *arguments],
        env=environment(FASTKV_SPY=path, **changes),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(path.read_text().split()), done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["summarize", "--help"],
        ["ask", "--help"],
        ["chat", "--help"],
        ["eval", "--help"],
        ["bench", "--help"],
        ["cache", "ls", "--help"],
        ["cache", "path"],
        ["cache", "ls", "--json"],
        ["cache", "verify", "--json"],
    ],
    ids=" ".join,
)
def test_help_imports_neither_torch_nor_transformers(tmp_path: Path, arguments: list[str]) -> None:
    modules, stdout = modules_of(tmp_path / "modules", arguments)
    assert stdout.strip()
    heavy = {"torch", "transformers", "numpy", "huggingface_hub", "pypdf", "prompt_toolkit"}
    assert modules.isdisjoint(heavy)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fastkv summarize --model smo", "smollm2-135m"),
        ("fastkv summarize --method f", "full"),
        ("fastkv su", "summarize"),
    ],
)
def test_completion_imports_neither_torch_nor_transformers(
    tmp_path: Path, words: str, expected: str
) -> None:
    modules, stdout = modules_of(
        tmp_path / "modules",
        [],
        _FASTKV_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=len(words.split()) - 1,
    )
    assert expected in stdout.split()
    assert modules.isdisjoint({"torch", "transformers", "huggingface_hub"})


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("fastkv_cli", {"torch", "transformers", "rich", "pypdf", "typer"}),
        ("fastkv_cli.config", {"torch", "transformers", "rich", "pypdf", "typer"}),
        ("fastkv_cli.documents", {"torch", "transformers", "rich", "pypdf"}),
        ("fastkv_cli.documents.pdf", {"torch", "transformers"}),
        ("fastkv_cli.stats", {"torch", "transformers", "rich"}),
        ("fastkv_cli.output.render.answer_tables", {"torch", "transformers", "rich"}),
        ("fastkv_cli.output.console", {"torch", "transformers", "rich"}),
        ("fastkv_cli.tasks", {"torch", "transformers", "rich"}),
        ("fastkv_cli.prompts.prompt", {"torch", "transformers", "jinja2"}),
        ("fastkv_cli.prompts.template_worker", {"torch", "transformers", "numpy", "rich"}),
        ("fastkv_cli.models", {"torch", "transformers"}),
        ("fastkv_cli.cli.run", {"torch", "transformers"}),
        ("fastkv_cli.store", {"torch", "transformers", "numpy", "rich", "safetensors"}),
        ("fastkv_cli.cli.chat.chat_loop", {"torch", "transformers", "prompt_toolkit"}),
        ("fastkv_cli.cli.completions", {"torch", "transformers"}),
        ("fastkv_cli.evaluation.speed.speed_run", {"torch", "transformers", "rich", "matplotlib"}),
        ("fastkv_cli.output.render.quality_tables", {"torch", "transformers", "numpy", "rich"}),
        ("fastkv_cli.output.render.speed_plot", {"torch", "transformers", "rich", "matplotlib"}),
    ],
)
def test_modules_stay_light(module: str, heavy: set[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    assert heavy.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("name", fastkv_cli.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(fastkv_cli, name) is not None
