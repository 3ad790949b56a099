"""Nothing that documents, names or models hold drives the terminal, and JSON loses none of it."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from pathlib import Path

import pytest
from processes import finish, start_in_terminal
from rich.table import Table
from test_terminal import FakeTerminal, bars_on

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode
from fastkv_cli.output import console
from fastkv_cli.output.console import AnswerWriter, Messages, print_error, stderr_console
from fastkv_cli.output.render.to_json import to_json

# Whatever a terminal obeys, or shows otherwise than it is written.
DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
ATTACKS = {
    "colour": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;pwned\x07",
    "title, ended by ST": "\x1b]0;pwned\x1b\\",
    "clipboard": "\x1b]52;c;cHduZWQ=\x07",
    "link": "\x1b]8;;http://example.org\x1b\\here\x1b]8;;\x1b\\",
    "device control": "\x1bP1$r0m\x1b\\",
    "CSI of C1": "\x9b2J",
    "OSC of C1": "\x9d0;pwned\x9c",
    "NEL and IND": "\x85\x84",
    "backspaces": "safe\x08\x08\x08\x08evil",
    "return": "safe\revil",
    "bell": "\x07",
    "delete": "\x7f",
    "override": "\u202egnp.exe\u202c",
    "isolates": "\u2066a\u2069\u2067b\u2069\u2068c\u2069",
    "line separators": "a\u2028b\u2029c",
    "tags": "a\U000e0041\U000e0042",
    "never closed": "\x1b]0;all that follows",
}
attacks = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


def test_every_attack_is_one() -> None:
    assert all(DRIVING.search(attack) for attack in ATTACKS.values())


@attacks
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_answers_in_pieces_of_any_size(
    attack: str, size: int, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = AnswerWriter(None, force=False)
    text = f"before {attack} after\tד\u200fא 👩\u200d🚀\n"
    for at in range(0, len(text), size):
        writer.write(text[at : at + size])
    writer.finish()
    stdout = capfd.readouterr().out
    assert DRIVING.search(stdout) is None
    assert stdout.startswith("before ")
    assert stdout.endswith(" after\tד\u200fא 👩\u200d🚀\n")  # nothing that is text is swallowed


@attacks
def test_answers_in_files(attack: str, tmp_path: Path) -> None:
    writer = AnswerWriter(tmp_path / "out.txt", force=False)
    writer.write(f"before {attack} after")
    writer.finish()
    written = (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert DRIVING.search(written) is None
    assert written.endswith(" after\n")


@attacks
def test_messages_errors_and_tables(attack: str, capfd: pytest.CaptureFixture[str]) -> None:
    messages = Messages(stderr_console(), quiet=False)
    table = Table(title=f"title {attack}")
    table.add_column(f"column {attack}")
    table.add_row(f"cell {attack}")
    messages.warn(f"a {attack}\nb")
    messages.note(f"c {attack}\nd")
    messages.show(iter([f"string {attack}", table]))
    print_error(f"e {attack}\nf")
    stderr = capfd.readouterr().err
    assert DRIVING.search(stderr) is None
    lines = stderr.splitlines()
    assert lines[0].startswith("warning: a ")
    assert lines[0].endswith("b")
    assert lines[1].startswith("c ")
    assert lines[1].endswith("d")
    assert lines[-1].startswith("fastkv: e ")
    assert lines[-1].endswith("f")
    for word in ("string", "title", "column", "cell"):
        assert word in stderr


@attacks
def test_bars(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    screen = FakeTerminal()
    with bars_on(screen) as bars:
        bars.update(f"up {attack}", 1, 4)
        time.sleep(1.3)
        bars.update(f"up {attack}", 3, 4)
    shown = screen.getvalue()
    assert "up" in shown
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)  # what rich itself writes
    assert DRIVING.search(shown) is None


@pytest.mark.parametrize(
    "text", ["[bold]x", "x[/red]", "[link=http://a.b]x[/link]", "\\[x", ":smile:"]
)
def test_markup_in_messages_is_text(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    messages = Messages(stderr_console(), quiet=False)
    messages.warn(text)
    messages.note(text)
    messages.show(iter([text]))
    stderr = capfd.readouterr().err
    assert stderr.splitlines()[-2:] == [text, text]
    assert stderr.startswith(f"warning: {text}")


@attacks
def test_json_loses_nothing_and_drives_nothing(attack: str) -> None:
    value = {attack: [attack, "日本語", "\udcff"]}
    text = to_json(value)
    assert json.loads(text) == value
    assert DRIVING.search(text) is None
    assert "日本語" in text
    text.encode("utf-8")


NAME = "\x1b]0;pwned\x07\x9b2J\u202egnp.[bold]\u2066x[/red].txt"


class TestRuns:
    """Whole runs of the command line with a file whose name and text are attacks."""

    @pytest.fixture
    def nasty(self, options: list[str]) -> list[str]:
        path = Path(NAME)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(f"The café’s committee {attack} met. " for attack in ATTACKS.values())
        path.write_bytes(text.encode() + b"\xff\xfe once.\n")  # with a warning about it
        return options

    @pytest.mark.parametrize("more", [[], ["--json"], ["--json", "--stats"]])
    def test_no_stream_is_driven(
        self, nasty: list[str], more: list[str], capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["ask", NAME, "a.txt", "Who met?", *nasty, *more]) == 0
        stdout, stderr = capfd.readouterr()
        assert DRIVING.search(stdout) is None
        assert DRIVING.search(stderr) is None
        assert "2 places do not decode" in stderr
        assert "hidden characters removed" in stderr
        if more:
            report = json.loads(stdout)
            assert [document["path"] for document in report["documents"]] == [NAME, "a.txt"]
            assert any(warning.startswith(NAME) for warning in report["warnings"])

    def test_on_a_terminal(self, nasty: list[str]) -> None:
        child, terminal = start_in_terminal(["summarize", NAME, *nasty])
        shown = terminal.read_until()
        code, stdout = finish(child)
        assert code == 0
        assert DRIVING.search(stdout) is None
        own = r"\x1b\[[0-9;?]*[A-Za-z]|\r"  # rich's colours, its cursor, the terminal's line ends
        assert DRIVING.search(re.sub(own, "", shown)) is None
        assert "\x1b[2J" not in shown
        assert "x[/red].txt" in shown

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            (["summarize", "\x1b]0;pwned\x07\u202e.txt"], ExitCode.INPUT),
            (["summarize", "\x1b]0;pwned\x07\u202e*.txt"], ExitCode.INPUT),
            (["summarize", "a.txt", "--budget", "\x1b[31m1\x07"], ExitCode.USAGE),
            (["summarize", "a.txt", "--\x1b[31mx\x07"], ExitCode.USAGE),
            (["summarize", "a.txt", "--method", "\x9b2J"], ExitCode.USAGE),
            (["summarize", "a.txt", "--encoding", "\x1b[31m\u202ex"], ExitCode.USAGE),
            (["summarize", "a.txt", "--model", "./\x1b]0;pwned\x07"], ExitCode.MODEL),
            (["summarize", "a.txt", "-o", "no\x1b[31m/\x07out"], ExitCode.OUTPUT),
        ],
        ids=["file", "pattern", "budget", "option", "method", "encoding", "model", "output"],
    )
    @pytest.mark.parametrize("debug", [False, True])
    def test_errors(
        self,
        options: list[str],
        arguments: list[str],
        code: ExitCode,
        debug: bool,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        assert run([*arguments, *(["--debug"] if debug else [])]) == code
        stdout, stderr = capfd.readouterr()
        assert stdout == ""
        assert DRIVING.search(stderr) is None
        assert stderr.splitlines()[-1].startswith("fastkv: ")
        assert ("Traceback" in stderr) is debug


def test_stderr_may_be_any_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stderr", stream)
    console.print_error("grün \udcff \x1b[31m")
    stream.flush()
    assert stream.buffer.getvalue() == b"fastkv: gr\\xfcn ?\n"
