"""Time and memory of a document's text before a model reads it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import environment
from processes import Capture

from fastkv_cli.cli.app import run
from fastkv_cli.documents import Document, load_document
from fastkv_cli.errors import DocumentError, ExitCode, OutOfMemoryError
from fastkv_cli.tasks.text_limits import TextLimits

needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc")
COMMANDS = {
    "extract": ["extract", "long.txt"],
    "dry run": ["ask", "long.txt", "Who met?", "--dry-run"],
    "ask": ["ask", "long.txt", "Who met?"],
}
TOKENIZE = """
import sys
from pathlib import Path
from fastkv_cli.documents import Document
from fastkv_cli.errors import FastKVError
from fastkv_cli.system.free_memory import read_kibibytes
from fastkv_cli.tasks.corpus import join_documents
from prompt_families import FAMILIES, make_tokenizer
import numpy
tokenizer = make_tokenizer(FAMILIES["qwen-3"])
status = Path("/proc/self/status")
def document(text): return Document("a.txt", text, None, (), ())
join_documents([document("It met 14 times. " * 4000)], tokenizer)
"""
MEASURE = """
for unit in ("🤯🫠🧿😀", "0123456789", "x\\n", "rhythms"):
    text = unit * (200_000 // len(unit))
    Path("/proc/self/clear_refs").write_text("5")
    before = read_kibibytes(status, "VmRSS:")
    join_documents([document(text)], tokenizer)
    print(read_kibibytes(status, "VmHWM:") - before)
"""
REFUSE = """
import resource
text = "a" * 20_000_000
limit = read_kibibytes(status, "VmSize:") + 150 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    join_documents([document(text)], tokenizer)
except FastKVError as error:
    print(error.exit_code.value, error)
"""


def make_document(text: str, read_s: float, left_out: tuple[int, ...] = ()) -> Document:
    return Document("a.pdf", text, None, (), (), read_s=read_s, left_out=left_out)


def run_python(code: str) -> str:
    path = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", TOKENIZE + code],
        env=environment(PYTHONPATH=path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_proc
def test_memory_for_each_character() -> None:
    """At most 40 bytes each, and 40 MB for a piece; in one go, emoji took 906 bytes each."""
    taken = [int(line) for line in run_python(MEASURE).split()]
    assert len(taken) == 4
    assert max(taken) <= 40 * 200_000 + 40_000_000, taken


@needs_proc
def test_what_does_not_fit_is_refused_before_memory_is_gone() -> None:
    """An allocation that fails in Rust would abort the process."""
    said = run_python(REFUSE)
    assert said.startswith(f"{ExitCode.MEMORY.value} not enough memory for the text of a.txt: its ")
    assert "20,000,000 characters need about " in said
    assert said.endswith(" MiB are free: end other programs, or give a part of the document\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_tokenizing_counts_towards_the_limit(
    options: list[str], command: str, capfd: Capture
) -> None:
    Path("long.txt").write_text("1234567890" * 100_000)
    own = options[:2] if command == "extract" else options
    code = run([*COMMANDS[command], *own, "--extract-timeout", "0.05", "--quiet"])
    stdout, stderr = capfd.readouterr()
    assert (code, stdout) == (ExitCode.INPUT, "")
    assert stderr == (
        "fastkv: long.txt could not be prepared for the model (stopped after 0.05 s): "
        "allow more time with --extract-timeout\n"
    )


def test_the_time_of_reading_counts() -> None:
    TextLimits(make_document("text", read_s=59), 60).check()
    with pytest.raises(DocumentError, match=r"\(stopped after 60 s\)"):
        TextLimits(make_document("text", read_s=60), 60).check()
    TextLimits(make_document("text", read_s=1e6)).check()


def test_what_the_limit_cut_off_is_still_read() -> None:
    """Pages that were read in time are not lost because the others took all of it."""
    TextLimits(make_document("text", read_s=60, left_out=(2,)), 60).check()


def test_reading_tells_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("The committee met.")
    started = time.monotonic()
    document = load_document(str(path))
    assert 0 < document.read_s <= time.monotonic() - started


def test_a_piece_needs_room_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastkv_cli.tasks.text_limits.available_memory_bytes", lambda: 20 * 2**20)
    limits = TextLimits(make_document("text", read_s=0))
    limits.check(0, 1000)
    with pytest.raises(OutOfMemoryError, match="need about 32 MiB more, and 20 MiB are free"):
        limits.check(0, 16_384)
    monkeypatch.setattr("fastkv_cli.tasks.text_limits.available_memory_bytes", lambda: None)
    limits.check(0, 16_384)
