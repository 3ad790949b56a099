"""A slice of the fuzz runs, and whether they would notice what goes wrong.

No broken document or model ends in anything but a result or a line that says why.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import environment
from gguf_files import write_gguf

from fastkv_cli.models.gguf_header import read_header

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from fuzz_archives import Archive, break_archive  # noqa: E402
from fuzz_documents import ARCHIVES, make_input  # noqa: E402
from fuzz_folders import break_folder  # noqa: E402
from fuzz_gguf import Header, break_header  # noqa: E402
from fuzz_gguf_files import retype  # noqa: E402
from fuzz_inputs import make_originals  # noqa: E402
from fuzz_worker import Check, Job, Limits, Result, Worker  # noqa: E402

MIB = 64  # that a worker of these tests may grow


def run_slice(script: str, *options: str) -> dict[str, Any]:
    """The report of a fuzz run, which has to find nothing."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *options],
        env=environment(OMP_NUM_THREADS=1),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert report["failures"] == []
    assert sum(report["outcomes"].values()) == report["inputs"]
    return report


def test_two_dozen_documents() -> None:
    report = run_slice("fuzz_documents.py", "--inputs", "24", "--seed", "7", "--limit", "20")
    assert report["inputs"] == 24
    assert len(report["outcomes"]) >= 5, "too few classes to show much"
    assert any(name.startswith("document") for name in report["outcomes"])


@pytest.mark.parametrize("kind", ["folders", "gguf"])
def test_half_a_dozen_models(kind: str) -> None:
    options = ("--inputs", "6", "--seed", "7", "--limit", "60")
    report = run_slice("fuzz_models.py", kind, *options)
    assert report["inputs"] == 6
    assert set(report["outcomes"]) >= {"works", "ModelError"}
    assert len(report["originals"]) > 2


def test_other_blocks_leave_a_file_consistent(tiny_llama: Path, tmp_path: Path) -> None:
    header = Header.of(write_gguf(tmp_path / "tiny.gguf", tiny_llama))
    kinds = set[str]()
    for number in range(30):
        changed, rng = header.copy(), random.Random(number)
        recipe = retype(changed, rng)
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(changed.join(random.Random(1))[0])
        tensors = read_header(path, path.name).tensors.values()
        kinds.update(tensor.kind for tensor in tensors)
        assert len(tensors) == len(header.tensors), recipe
    assert len(kinds) > 10


def test_a_number_makes_its_input_again(tmp_path: Path) -> None:
    again = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        jobs = [make_input(folder, random.Random(number)) for number in range(20)]
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        again.append((files, [(job.recipe, job.seed, job.password) for job in jobs]))
    assert again[0] == again[1]


def test_archives_without_lies_are_what_they_were() -> None:
    archives = {n: data for n, data in make_originals().items() if n.endswith(ARCHIVES)}
    assert {Path(name).suffix for name in archives} == set(ARCHIVES)
    for name, data in archives.items():
        assert Archive.of(data).join() == data, name
        broken = {break_archive(data, random.Random(number))[0] for number in range(20)}
        assert len(broken) > 15


@pytest.fixture
def tiny_llama(tiny_models: dict[str, Path]) -> Path:
    return tiny_models["llama"]


def test_headers_without_lies_are_what_they_were(tiny_llama: Path, tmp_path: Path) -> None:
    gguf = write_gguf(tmp_path / "tiny.gguf", tiny_llama)
    header, data = Header.of(gguf), gguf.read_bytes()
    assert header.join(random.Random(1))[0] == data
    broken = {break_header(header, random.Random(number))[0] for number in range(40)}
    assert len(broken - {data}) > 35
    assert header.join(random.Random(1))[0] == data, "breaking a header must leave it as it is"


def test_folders_are_broken_in_all_files(tiny_llama: Path, tmp_path: Path) -> None:
    changed = set()
    for number in range(40):
        folder = tmp_path / str(number)
        shutil.copytree(tiny_llama, folder)
        break_folder(folder, random.Random(number))
        for path in tiny_llama.iterdir():
            copy = folder / path.name
            if not copy.is_file() or copy.read_bytes() != path.read_bytes():
                changed.add(path.name)
    assert changed == {path.name for path in tiny_llama.iterdir()}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    log = tmp_path_factory.mktemp("worker") / "stderr.log"
    worker = Worker(make_misbehaved, Limits(1.0, MIB), log)
    yield worker
    worker.close()


def make_misbehaved() -> Check:
    """The check of these tests: the recipe says what goes wrong."""
    return misbehave


def misbehave(job: Job) -> Result:
    match job.recipe:
        case "abort":
            os.abort()
        case "loop":
            while True:
                pass
        case "grow":
            return Result(str(len(b"x" * (2 * MIB << 20))))
        case "too large":
            return Result(str(len(bytearray(1 << 40))))
        case "leave":
            sys.exit(3)
        case "raise":
            raise KeyError(job.recipe)
    return Result("fine")


@pytest.mark.parametrize(
    ("recipe", "outcome", "group"),
    [
        ("nothing", "fine", ""),
        ("raise", "another exception", "KeyError, at tests/test_fuzz.py:misbehave"),
        ("leave", "another exception", "SystemExit, at tests/test_fuzz.py:misbehave"),
        ("too large", "another exception", "MemoryError, at tests/test_fuzz.py:misbehave"),
        ("abort", "died", "died, SIGABRT, at tests/test_fuzz.py:misbehave"),
        ("loop", "no result in time", "time, at tests/test_fuzz.py:misbehave"),
        ("grow", "too much memory", "memory"),
    ],
)
def test_what_goes_wrong_is_noticed(worker: Worker, recipe: str, outcome: str, group: str) -> None:
    result = worker.check(Job("", recipe, ""))
    assert (result.outcome, result.group) == (outcome, group)
    assert bool(result.failure) == (recipe != "nothing")
    assert worker.check(Job("", "nothing", "")).outcome == "fine", "the next input is served"
