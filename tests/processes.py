"""Runs of the command line for the tests: quick ones, endless ones, and ones in a terminal."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import environment

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

Capture = pytest.CaptureFixture[str]


def quick_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: dict[str, Path]
) -> list[str]:
    """Options for a quick run, in a folder of its own with a text in it."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("The committee met 14 times in 1999, and 3 times in 1998.\n")
    Path("b.txt").write_text("The quick brown fox jumps over the lazy dog.\n")
    return ["--model", str(tiny_models["llama"]), "--max-tokens", "12", "--dtype", "float32"]


def endless_options(options: list[str], tiny_models: dict[str, Path], tmp_path: Path) -> list[str]:
    """Options for a model that never ends by itself: it knows no end token, and has no loops."""
    import transformers

    folder = tmp_path / "models" / "endless"
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_models["llama"])
    tokenizer.add_special_tokens({"eos_token": "<|never|>"})
    tokenizer.save_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_models["llama"])
    assert tokenizer.eos_token_id >= model.config.vocab_size  # the model has no score for it
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    return [*options, "--model", str(folder), "--max-tokens", "1900", "--temperature", "1"]


FASTKV = ("-m", "fastkv_cli")


def start(
    arguments: list[str], *, program: Sequence[str] = FASTKV, **changes: object
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


class Terminal:
    """A pseudo-terminal that a program has as its stderr (or as all its streams)."""

    def __init__(self) -> None:
        pty = pytest.importorskip("pty")
        self.ours, self.theirs = pty.openpty()
        termios = pytest.importorskip("termios")
        termios.tcsetwinsize(self.theirs, (30, 80))

    def read_until(self, words: str = "", timeout_s: float = 120) -> str:
        """What is shown, until it holds these words, or (without) until everyone is done."""
        read = b""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not select.select([self.ours], [], [], 1)[0]:
                continue
            try:
                new = os.read(self.ours, 65536)
            except OSError:  # Linux: everyone else has closed it
                break
            read += new
            if not new or (words and words.encode() in read):
                break
        return read.decode("utf-8", "replace")


def start_in_terminal(
    arguments: list[str], *, program: Sequence[str] = FASTKV, **changes: object
) -> tuple[subprocess.Popen[bytes], Terminal]:
    """A process whose stderr is a terminal, and whose stdout is a pipe."""
    terminal = Terminal()
    child = subprocess.Popen(
        [sys.executable, *program, *arguments],
        env=environment(TERM="xterm-256color", COLUMNS="80", **changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
    )
    os.close(terminal.theirs)
    return child, terminal


def start_at_terminal(
    arguments: list[str], **changes: object
) -> tuple[subprocess.Popen[bytes], Terminal]:
    """A process whose stdin and stderr are a terminal that is its own, as a shell's child has."""
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    terminal = Terminal()
    child = subprocess.Popen(
        [sys.executable, "-m", "fastkv_cli", *arguments],
        env=environment(**{"TERM": "dumb", **changes}),
        stdin=terminal.theirs,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
        start_new_session=True,
        # What getpass opens as /dev/tty, and where Ctrl-C comes from.
        preexec_fn=lambda: fcntl.ioctl(terminal.theirs, termios.TIOCSCTTY, 0),  # noqa: PLW1509
    )
    os.close(terminal.theirs)
    return child, terminal


def finish(child: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The exit code and stdout."""
    assert child.stdout is not None
    stdout = child.stdout.read().decode("utf-8", "replace")
    child.stdout.close()
    return child.wait(timeout=60), stdout


def failure(arguments: list[str], code: ExitCode, words: str, capfd: Capture) -> str:
    """Run what must fail: one line on stderr, nothing on stdout, no file written or touched.

    The folder holds there.png, with `something` in it. Gives what stderr says.
    """
    before = sorted(Path().rglob("*"))
    capfd.readouterr()
    found = run(arguments)
    stdout, stderr = capfd.readouterr()
    assert (found, stdout) == (code, ""), stderr
    assert re.fullmatch(r"fastkv: [^\n]+\n", stderr)
    assert re.search(words, stderr), stderr
    assert sorted(Path().rglob("*")) == before
    assert Path("there.png").read_bytes() == b"something"
    return stderr
