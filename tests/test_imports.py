"""What is imported when: a quick start, and dependencies that point one way."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import environment

import fastkv_cli

PACKAGE = Path(fastkv_cli.__file__).parent
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


def imports_of(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function, by its full name.

    What stands under `if TYPE_CHECKING` is for the type checker and never runs.
    """
    parents = ["fastkv_cli", *path.relative_to(PACKAGE).parts[:-1]]
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
            continue
        waiting.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def files_of(name: str) -> list[Path]:
    """The files of a module or of a whole subpackage."""
    folder = PACKAGE / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{name}.py"]


TORCH = {"torch", "transformers"}
UPWARDS = {
    *("cli", "commands", "options", "pipeline", "render", "console", "progress"),
    *("completions", "reference"),
}
FORBIDDEN = {
    "errors": UPWARDS | TORCH | {"engine", "documents", "models", "tasks", "prompts", "config"},
    "to_json": UPWARDS | TORCH | {"rich", "typer", "engine", "documents", "tasks", "stats"},
    "config": UPWARDS | TORCH | {"engine", "documents", "models", "tasks", "prompts", "typer"},
    "stats": UPWARDS | TORCH | {"rich", "engine", "documents", "models", "tasks", "prompts"},
    "documents": UPWARDS | TORCH | {"rich", "typer", "engine", "models", "tasks", "prompts"},
    "models": UPWARDS | TORCH | {"rich", "typer", "engine", "documents", "tasks", "prompts"},
    "disarm": UPWARDS | TORCH | {"rich", "typer", "engine", "documents", "tasks", "prompts"},
    "tokenizing": UPWARDS | TORCH | {"rich", "typer", "engine", "documents", "tasks", "prompts"},
    "free_memory": UPWARDS | TORCH | {"engine", "documents", "models", "tasks", "prompts"},
    "text_limits": UPWARDS | TORCH | {"rich", "typer", "engine", "models", "tasks", "prompts"},
    "prompts": UPWARDS | TORCH | {"rich", "typer", "engine", "documents", "tasks"},
    "templates": UPWARDS | TORCH | {"rich", "typer", "engine", "documents", "tasks", "jinja2"},
    "template_worker": UPWARDS
    | TORCH
    | {"rich", "typer", "engine", "documents", "tasks", "models"},
    "engine": UPWARDS | {"rich", "typer", "documents", "tasks", "prompts"},
    "tasks": UPWARDS | TORCH | {"rich", "typer", "engine"},
    "render": TORCH | {"engine", "documents", "tasks", "console", "pipeline", "commands", "cli"},
    "console": TORCH | {"engine", "documents", "tasks", "render", "pipeline", "commands", "cli"},
    "progress": TORCH | {"engine", "documents", "tasks", "render", "pipeline", "commands", "cli"},
    "commands": TORCH | {"engine", "render", "console", "cli"},
    "pipeline": TORCH | {"commands", "cli", "options", "typer"},
    "chat": TORCH | {"cli", "options", "typer", "engine", "pipeline"},
    "chat/transcript": TORCH | {"engine", "tasks", "console", "rich", "prompt_toolkit"},
    "questions": TORCH | {"commands", "cli", "options", "typer", "engine", "pipeline"},
    "render_questions": TORCH | {"engine", "documents", "tasks", "console", "commands", "cli"},
    "session": TORCH | {"commands", "cli", "options", "typer", "pipeline", "console"},
    "shown": TORCH | {"commands", "cli", "options", "typer", "pipeline", "engine", "documents"},
    "inventory": UPWARDS - {"render"} | TORCH | {"engine", "tasks", "models", "prompts"},
    "housekeeping": TORCH | {"commands", "cli", "options", "typer", "engine", "tasks", "models"},
    "preview": TORCH | {"commands", "cli", "options", "typer"},
    "reading": TORCH | {"commands", "cli", "options", "typer", "engine", "tasks", "pipeline"},
    "extraction": TORCH | {"commands", "cli", "options", "typer", "engine", "tasks", "console"},
    "dry_run": TORCH | {"commands", "cli", "options", "typer", "engine", "tasks", "console"},
    "loading": TORCH | {"commands", "cli", "options", "typer", "documents", "tasks", "pipeline"},
    "tuning": UPWARDS | TORCH | {"rich", "typer", "engine", "documents", "models", "tasks"},
    "journal": UPWARDS | TORCH | {"rich", "typer", "engine", "documents", "models", "tasks"},
    "store": UPWARDS | TORCH | {"rich", "typer", "numpy", "engine", "documents", "models", "tasks"},
    "workbench": TORCH | {"commands", "cli", "typer", "documents", "tasks", "pipeline"},
    "evaluation": TORCH | {"commands", "cli", "typer", "pipeline", "progress", "models"},
    "evaluation/speed_prompts": TORCH | {"commands", "cli", "typer", "engine", "progress", "rich"},
    "evaluation/speed_report": UPWARDS | TORCH | {"rich", "documents", "prompts", "workbench"},
    "evaluation/speed_render": TORCH | {"engine", "documents", "console", "workbench", "commands"},
    "evidence": UPWARDS | TORCH | {"rich", "typer", "engine", "models", "tasks", "prompts"},
    "evaluation/speed_plot": TORCH | {"engine", "documents", "console", "workbench", "commands"},
}


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_imports_point_one_way(name: str) -> None:
    ours = {forbidden for forbidden in FORBIDDEN[name] if (PACKAGE / forbidden).exists()}
    ours |= {forbidden for forbidden in FORBIDDEN[name] if (PACKAGE / f"{forbidden}.py").exists()}
    banned = {f"fastkv_cli.{module}" for module in ours} | (FORBIDDEN[name] - ours)
    wrong = [
        (path.name, imported)
        for path in files_of(name)
        for imported in imports_of(path)
        if any(imported == module or imported.startswith(f"{module}.") for module in banned)
    ]
    assert wrong == []


def test_only_the_engine_imports_torch() -> None:
    found = {
        path.relative_to(PACKAGE).parts[0]
        for path in PACKAGE.rglob("*.py")
        for imported in imports_of(path)
        if imported.split(".")[0] in TORCH
    }
    assert found == {"engine"}


def test_nobody_imports_click() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert "click" not in {imported.split(".")[0] for imported in imports_of(path)}, path
