"""Reading in a process of its own: no file hangs fastkv, exhausts the memory, or leaves a trace."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pdf_maker import FILES, SLOW_PAGE, make_pdf

from fastkv_cli.config import ReadOptions
from fastkv_cli.documents import Document, load_document, process
from fastkv_cli.documents.messages import (
    Done,
    Job,
    Opened,
    PageRead,
    Refused,
    decode,
    encode,
)
from fastkv_cli.errors import DocumentError, UsageError

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc")


def load(folder: Path, pages: list[str | bytes], limit_s: float = 60) -> Document:
    path = folder / "made.pdf"
    path.write_bytes(make_pdf(pages))
    return load_document(str(path), ReadOptions(extract_timeout_s=limit_s))


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are there still, ended ones counted in."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def wait_for_child(pid: int) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := children(pid):
            return found[0]
        time.sleep(0.01)
    raise AssertionError("no process was started")


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone, or ended and not yet collected by whoever is its parent."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z":
                time.sleep(0.05)
                continue
        return
    raise AssertionError("the process goes on")


@needs_proc
def test_at_the_limit_the_pages_so_far_are_kept(tmp_path: Path) -> None:
    read = load(tmp_path, ["first words", SLOW_PAGE, "last words"], limit_s=4)
    assert read.text == "first words"
    assert (read.num_pages, read.left_out, read.failed) == (3, (2, 3), ())
    assert read.warnings == (
        "stopped after 4 s: pages 2–3 were left out; allow more time with --extract-timeout",
    )
    assert children(os.getpid()) == []


def test_at_the_limit_without_a_page(tmp_path: Path) -> None:
    with pytest.raises(DocumentError) as caught:
        load(tmp_path, [SLOW_PAGE], limit_s=1)
    assert str(caught.value).endswith(
        "made.pdf gave no text (stopped after 1 s): allow more time with --extract-timeout"
    )


def test_pages_without_text_before_the_limit_are_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"stopped after 4 s; page 1 holds no text \(blank"):
        load(tmp_path, ["", SLOW_PAGE], limit_s=4)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit holds on Linux")
def test_memory_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MEMORY_LIMIT_BYTES", 200 * 2**20)
    large = b"BT /F1 9 Tf (" + b"a" * 30_000_000 + b") Tj ET"
    read = load(tmp_path, ["first words", large, "last words"])
    assert read.text == "first words\n\nlast words"
    assert read.warnings == ("page 2 could not be read (out of memory) and was left out",)
    path = tmp_path / "large.pdf"
    path.write_bytes(make_pdf(["words"]) + bytes(300 * 2**20))
    with pytest.raises(DocumentError, match=r"gave no text \(stopped at 200 MiB of memory\)"):
        load_document(str(path))
    path.unlink()


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_keeps_the_pages_so_far(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "made.pdf"
    path.write_bytes(make_pdf(["first words", SLOW_PAGE]))

    def crash(done: int, total: int) -> None:
        os.kill(children(os.getpid())[0], number)

    read = load_document(str(path), on_page=crash)
    assert read.text == "first words"
    assert read.left_out == (2,)
    assert read.warnings == (
        f"its parser crashed, {number.name}: page 2 was left out; "
        "convert it in another program, e.g. to plain text",
    )
    assert children(os.getpid()) == []


def test_a_long_document_comes_whole(tmp_path: Path) -> None:
    """More pages than are read between two clearings of the reader's memory."""
    read = load(tmp_path, [f"page of number {'x' * number}" for number in range(1, 231)])
    assert [page.number for page in read.pages] == list(range(1, 231))
    assert read.text.endswith(f"\n\npage of number {'x' * 230}")


@needs_proc
def test_the_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "made.pdf"
    path.write_bytes(make_pdf([SLOW_PAGE]))
    code = f"from fastkv_cli.documents import load_document; load_document({str(path)!r})"
    parent = subprocess.Popen([sys.executable, "-c", code])
    reader = wait_for_child(parent.pid)
    parent.kill()
    parent.wait(60)
    wait_for_end(reader)


def test_a_file_in_the_current_folder_is_not_taken_for_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("json", "pypdf", "signal", "fastkv_cli"):
        Path(f"{name}.py").write_text("raise SystemExit('taken')\n")
    assert load_document(str(FILES / "r6-empty-password.pdf")).num_pages == 1


def test_pypdf_stays_out_of_the_process_that_asks() -> None:
    path = str(FILES / "pdflatex-4-pages.pdf")
    code = f"import sys, fastkv_cli.documents as d; d.load_document({path!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"pypdf", "cryptography"}.isdisjoint(done.stdout.split())


def test_no_process_to_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(DocumentError, match=r"no process could be started to read .*pdf \(No such"):
        load_document(str(FILES / "pdflatex-4-pages.pdf"))


def test_what_nobody_foresaw_is_an_error_with_a_reason() -> None:
    job = Job("no such format", "a.doc", None, None, None, 60, process.MEMORY_LIMIT_BYTES)
    with process.ReadingProcess(job) as reading:
        reading.send([b"words"])
        (message,) = reading.messages()
    assert isinstance(message, Refused)
    assert "a.doc could not be read (" in str(process.as_error(message))


@pytest.mark.parametrize("limit_s", [0, -1, float("nan"), float("inf"), 86_401])
def test_limits_out_of_range(limit_s: float) -> None:
    with pytest.raises(UsageError, match=r"--extract-timeout .* is out of range"):
        ReadOptions(extract_timeout_s=limit_s)


def test_messages_are_lines() -> None:
    for message in (
        Opened(3, is_cut_off=True),
        PageRead(2, "a\nb\u2028c\ud800", hidden={"tag character": 2}),
        Done(),
    ):
        line = encode(message)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert decode(line) == message
    for line in (b'["PageRead", 1, "half a', b"[]", b"{}", b'["Nothing"]', b'["Opened", 1]', b"\n"):
        with pytest.raises(ValueError, match="no message: b"):
            decode(line)
    assert json.loads(encode(Done())) == ["Done"]


TEXTS = {
    "a.txt": b"one\r\n\r\n\r\n\x0ctwo\n  \n\n\nthree\xe2\x80\xa8four\n",
    "a.md": b"# A\n\n<!-- b\n\nc -->\nd\n\n\n\ne\n",
    "b.md": b"```\nwords\n```\n\n\n[//]: # (x)\n\n" * 20_000,
    "b.txt": b"\xc3\xa9\n\n\n\n\xf0\x9f\x98\x80 words\n" * 60_000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_the_same_in_a_process_of_its_own(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the lines of the file; the longer ones come in several parts."""
    path = tmp_path / name
    path.write_bytes(TEXTS[name])
    monkeypatch.setattr("fastkv_cli.documents.load._MAX_SHORT_BYTES", 0)
    apart = load_document(str(path))
    assert len(apart.gaps.starts) > 0
    monkeypatch.setattr("fastkv_cli.documents.load._MAX_SHORT_BYTES", len(TEXTS[name]))
    monkeypatch.setattr("fastkv_cli.documents.load.read_in_process", None)
    assert load_document(str(path)) == apart


def cpu_s(pid: int) -> float:
    """The seconds that a process has computed."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@needs_proc
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends it on Linux")
def test_the_process_ends_with_its_parent_even_in_a_long_call(tmp_path: Path) -> None:
    """Such a selector is looked for in one call that holds the interpreter: no thread gets in."""
    path = tmp_path / "a.html"
    selector = "x" + " *" * 9
    path.write_text(f"<style>{selector}{{display:none}}</style><body>{'<div>' * 60}words")
    code = f"from fastkv_cli.documents import load_document; load_document({str(path)!r})"
    parent = subprocess.Popen([sys.executable, "-c", code])
    reader = wait_for_child(parent.pid)
    deadline = time.monotonic() + 60
    while cpu_s(reader) < 1.5:  # 0.3 s are imports
        assert time.monotonic() < deadline
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    killed = time.monotonic()
    parent.wait(60)
    wait_for_end(reader)
    assert time.monotonic() - killed < 5
