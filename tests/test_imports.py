"""What is imported when: a quick start. Who may import whom is checked by `lint-imports`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import environment

import fastkv_cli

# What is imported stays imported, so one process serves many runs: what it lacks at its end, none
# of them has imported.
SPY = """
import json, os, sys
from fastkv_cli.cli.app import main
for sys.argv[1:], changes in json.loads(sys.argv[1]):
    os.environ.update(changes)
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (sys.argv, ended.code)
    print(end="\\0", flush=True)
print(*sys.modules)
"""
HELP = [
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
    ["models", "--help"],
]
OWN = {f"fastkv_cli.{name}" for name in ("session.session", "tasks", "documents.load")}  # 0.3 s
LISTED = ["models", "--json"]  # reads headers of GGUF files with the package gguf, which has numpy
COMPLETED = {
    "fastkv summarize --model smo": "smollm2-135m",
    "fastkv summarize --method f": "full",
    "fastkv su": "summarize",
}


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def spy(runs: list[tuple[list[str], dict[str, str]]]) -> tuple[list[str], set[str]]:
    """What each run of the command line prints, and the modules that they have imported."""
    *printed, modules = run_python(SPY, json.dumps(runs)).split("\0")
    assert len(printed) == len(runs)
    assert "typer" in modules.split()
    return printed, set(modules.split())


def test_help_imports_neither_torch_nor_transformers() -> None:
    printed, modules = spy([(arguments, {}) for arguments in HELP])
    assert all(stdout.strip() for stdout in printed)
    heavy = {"torch", "transformers", "numpy", "huggingface_hub", "pypdf", "prompt_toolkit"}
    assert modules & (heavy | OWN) == set()
    assert spy([(LISTED, {})])[1] & heavy <= {"numpy"}


def test_completion_imports_neither_torch_nor_transformers() -> None:
    variables = [
        {
            "_FASTKV_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        for words in COMPLETED
    ]
    printed, modules = spy([([], each) for each in variables])
    for stdout, expected in zip(printed, COMPLETED.values(), strict=True):
        assert expected in stdout.split()
    assert modules & ({"torch", "transformers", "huggingface_hub"} | OWN) == set()


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("fastkv_cli config", "torch transformers rich pypdf typer"),
        ("documents", "torch transformers rich pypdf fastkv_cli.documents.pdf_tables"),
        ("session.session", "torch transformers rich numpy fastkv_cli.fields.shapes"),
        ("stats output.render.answer_tables output.console tasks", "torch transformers rich"),
        ("documents.pdf models cli.run cli.completions", "torch transformers"),
        ("prompts.prompt", "torch transformers jinja2"),
        ("prompts.template_worker", "torch transformers numpy rich"),
        ("store", "torch transformers numpy rich safetensors"),
        ("cli.chat.chat_loop", "torch transformers prompt_toolkit"),
        ("evaluation.speed.speed_run", "torch transformers rich matplotlib"),
        ("output.render.quality_tables", "torch transformers numpy rich"),
        ("output.render.speed_plot", "torch transformers rich matplotlib"),
    ],
)
def test_modules_stay_light(modules: str, heavy: str) -> None:
    names = [f"fastkv_cli.{name}".removesuffix(".fastkv_cli") for name in modules.split()]
    imported = run_python(f"import sys, {', '.join(names)}; print(*sys.modules)")
    assert set(imported.split()) & set(heavy.split()) == set()


@pytest.mark.parametrize("name", fastkv_cli.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(fastkv_cli, name) is not None
