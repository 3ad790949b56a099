"""The password of a PDF: asked for on a terminal, hidden, three times at most."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from conftest import environment
from pdf_maker import FILES
from processes import finish, start_at_terminal

from fastkv_cli.errors import ExitCode

NAME = "libreoffice-writer-password.pdf"
PASSWORD = "openpassword"
PROMPT = f"Password for {NAME}"


@pytest.fixture
def locked(options: list[str]) -> list[str]:
    """Arguments that summarize a PDF that needs a password."""
    shutil.copy(FILES / NAME, NAME)
    return ["summarize", NAME, *options]


def test_a_password_is_asked_for_and_not_shown(locked: list[str]) -> None:
    child, terminal = start_at_terminal(locked)
    shown = terminal.read_until(f"{PROMPT}: ")
    os.write(terminal.ours, b"wrong\n")
    shown += terminal.read_until(f"{PROMPT} (that was not it): ")
    os.write(terminal.ours, f"{PASSWORD}\n".encode())
    shown += terminal.read_until()
    code, stdout = finish(child)
    assert code == 0, shown
    assert stdout.strip()
    assert PASSWORD not in shown
    assert "wrong" not in shown
    assert f"{NAME}: 1 page, " in shown


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (["a\n", "b\n", "c\n"], ExitCode.ENCRYPTED, f"fastkv: the password for {NAME} is wrong"),
        (["\x04"], ExitCode.ENCRYPTED, f"fastkv: {NAME} needs a password: give it with --password"),
        (["a\n", "\x03"], ExitCode.INTERRUPTED, "fastkv: interrupted"),
    ],
    ids=["three times wrong", "Ctrl-D", "Ctrl-C"],
)
def test_giving_up(locked: list[str], typed: list[str], code: ExitCode, said: str) -> None:
    child, terminal = start_at_terminal(locked)
    for keys in typed:
        terminal.read_until(": ")
        os.write(terminal.ours, keys.encode())
    *_, last = terminal.read_until().splitlines()
    assert finish(child) == (code, "")
    assert last.startswith(said)


@pytest.mark.parametrize("password", [None, "wrong"])
def test_nobody_is_asked_who_has_answered_or_is_not_there(
    locked: list[str], password: str | None
) -> None:
    """A password that was given is the answer; and with a pipe as stdin nobody types."""
    if password is not None:
        child, terminal = start_at_terminal(locked, FASTKV_PDF_PASSWORD=password)
        shown = terminal.read_until()
        assert finish(child) == (ExitCode.ENCRYPTED, "")
    else:
        done = subprocess.run(
            [sys.executable, "-m", "fastkv_cli", *locked],
            env=environment(),
            input=f"{PASSWORD}\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (ExitCode.ENCRYPTED, "")
        shown = done.stderr
    assert "Password for" not in shown
    assert len(shown.splitlines()) == 1
