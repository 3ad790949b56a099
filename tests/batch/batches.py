"""Batches for the tests: folders of texts, runs in processes of their own, and what is kept."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from processes import start
from toy_worker import PACE

from fastkv_cli.batch import local_pool
from fastkv_cli.batch.batch_task import BatchTask
from fastkv_cli.batch.job import WorkSettings
from fastkv_cli.config import DType, StoreMode
from fastkv_cli.session.options import SessionOptions
from fastkv_cli.system.isolated import start_module

TASK = ["--ask", "How often did the committee meet?", "--max-tokens", "4", "--store", "off"]
TOYS = (str(Path(__file__).with_name("toy_batch.py")),)


def write_texts(folder: Path, number: int) -> list[Path]:
    """Short texts, all different."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"text-{at:03}.txt" for at in range(number)]
    for at, path in enumerate(paths):
        path.write_text(f"In {1900 + at} the committee met {at} times, and wrote it down.\n")
    return paths


def settings_for(options: list[str], **changes: Any) -> WorkSettings:
    """Of a question, with the model that the options of the command line name."""
    model = options[options.index("--model") + 1]
    session = SessionOptions(
        model=model, dtype=DType.FLOAT32, store=StoreMode.OFF, max_tokens=4, check=False
    )
    task = BatchTask("ask", {"question": "How often did the committee meet?"})
    chosen = {"keeps_scans": True, "makes_reports": False, "document_timeout_s": 300.0}
    return WorkSettings((task,), session, **chosen | {"worker_bytes": 0} | changes)


def use_workers(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Start another module as a worker."""
    monkeypatch.setattr(local_pool, "start_module", lambda _, **more: start_module(module, **more))


def start_batch(options: list[str], *arguments: str, **changes: Any) -> subprocess.Popen[str]:
    """`fastkv batch` with a line of JSON for each result on stdout."""
    return start(["batch", *arguments, "--out", "out", "--jsonl", "-", *options], **changes)


def start_toys(options: list[str], *arguments: str) -> subprocess.Popen[str]:
    """As `start_batch`, with workers that have no model, and take 50 ms for a document."""
    return start_batch([*TASK, *options], *arguments, program=TOYS, **{PACE: 0.05})


def finish_batch(child: subprocess.Popen[str]) -> tuple[int, list[str], str]:
    """The exit code, the names of the documents that were worked on, and stderr."""
    stdout, stderr = child.communicate(timeout=300)
    return child.returncode, names_in(stdout), stderr


def names_in(stdout: str) -> list[str]:
    return [Path(json.loads(line)["path"]).name for line in stdout.splitlines()]


def results(out: Path) -> dict[str, Any]:
    """All results by the names of their documents, as they are on the disk."""
    found = [json.loads(path.read_text()) for path in out.glob("results/*/*.json")]
    return {Path(each["path"]).name: each for each in found}


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    """A result without what two runs measure differently."""
    changed: dict[str, Any] = json.loads(json.dumps(result))
    for each in changed["results"]:
        each.pop("stats")
        each["reading"].pop("parts_s")
    return changed


def wait_for(out: Path, number: int, timeout_s: float = 300) -> None:
    """Wait until there are so many results."""
    deadline = time.monotonic() + timeout_s
    while len(list(out.glob("results/*/*.json"))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(path.parent.name))
    return found


def workers_of(pid: int) -> list[int]:
    """The workers of a batch, by their modules."""
    found = []
    for child in children_of(pid):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"worker_process" in command or b"toy_worker" in command:
            found.append(child)
    return found


def wait_for_end(pids: list[int], timeout_s: float = 60) -> None:
    """Wait until none of the processes runs (Linux)."""
    deadline = time.monotonic() + timeout_s
    while any(map(_is_alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for long to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
