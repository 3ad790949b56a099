"""Scans as they are used: asked again, stopped in the middle, in a batch, at another resolution."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from PIL import Image
from processes import Capture, start
from scan_maker import DPI, draw_page, write_scan

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode
from fastkv_cli.store.ocr_pages import OcrPageStore

LINES = "\n".join(f"On day {{}} the crew of {n} repaired the lighthouse." for n in range(4))


@pytest.fixture
def no_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded_dir: Path) -> Path:
    """The folder of kept pages, empty; the test runs in a folder of its own."""
    assert embedded_dir.is_dir()  # its tokenizer counts
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTKV_EXTRACT_TIMEOUT", "600")  # a busy machine takes a minute for a page
    shutil.rmtree(OcrPageStore().folder, ignore_errors=True)
    return OcrPageStore().folder


def write_log(number: int) -> Path:
    """A scan of so many pages, all different."""
    pages = [
        draw_page([(40, 40, LINES.replace("{}", str(n)))], size=(1000, 280)) for n in range(number)
    ]
    return write_scan(Path("log.pdf"), pages)


def kept() -> dict[str, int]:
    """The pages that are kept, with their inodes: a page that is written again has another."""
    return {path.name: path.stat().st_ino for path in OcrPageStore().folder.glob("*.json")}


def test_ctrl_c_keeps_what_is_recognized(no_pages: Path, capfd: Capture) -> None:
    path = write_log(6)
    with start(["extract", str(path)]) as child:
        deadline = time.monotonic() + 120
        while not kept() and time.monotonic() < deadline and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
    assert (child.returncode, stdout) == (ExitCode.INTERRUPTED, ""), stderr
    before = kept()
    assert 1 <= len(before) < 6
    assert not list(no_pages.glob(".*")), "no half a page"
    assert run(["extract", str(path), "--json"]) == ExitCode.OK
    (document,) = json.loads(capfd.readouterr().out)["documents"]
    assert [page["number"] for page in document["pages"]] == list(range(1, 7))
    assert all(0.9 < page["confidence"] <= 1 for page in document["pages"])
    after = kept()
    assert len(after) == 6
    assert before.items() <= after.items()
    assert run(["extract", str(path)]) == ExitCode.OK
    text = capfd.readouterr().out
    assert all(f"On day {day} the crew" in text for day in range(6))
    assert kept() == after


@pytest.mark.usefixtures("no_pages")
def test_another_resolution_is_read_anew_and_bad_ones_are_refused(capfd: Capture) -> None:
    path = write_log(1)
    assert run(["extract", str(path)]) == ExitCode.OK
    assert run(["extract", str(path), "--ocr-dpi", str(DPI)]) == ExitCode.OK
    assert len(kept()) == 2
    capfd.readouterr()
    assert run(["extract", str(path), "--ocr-dpi", "5"]) == ExitCode.USAGE
    assert "--ocr-dpi 5 is out of range" in capfd.readouterr().err
    assert run(["extract", str(path), "--ocr", "off"]) == ExitCode.INPUT
    assert "a scan; leave out --ocr off" in capfd.readouterr().err
    assert run(["extract", str(path), "--ocr", "perhaps"]) == ExitCode.USAGE


@pytest.mark.begin
@pytest.mark.usefixtures("no_pages")
def test_a_batch_keeps_pages_and_uses_kept_ones(options: list[str]) -> None:
    path = write_log(1)
    command = ["batch", str(path), "--ask", "What was repaired?", "--workers", "1", *options]
    assert run([*command, "--out", "off", "--store", "off"]) == ExitCode.OK
    assert not kept()
    assert run([*command, "--out", "one"]) == ExitCode.OK
    first = kept()
    assert len(first) == 1
    Image.new("L", (10, 10), 255).save("blank.png")
    assert run([*command, "blank.png", "--out", "two"]) == ExitCode.PARTLY
