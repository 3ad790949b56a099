"""A conversation through a pipe: questions and commands a line each, answers on stdout."""

from __future__ import annotations

import html
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment
from processes import Capture

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

TOO_LONG = "Why? " * 3000
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def chat(options: list[str]) -> list[str]:
    return ["chat", "a.txt", "--no-check", "--no-store", *options]


def say(text: str | bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    data = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def talk(
    arguments: list[str], text: str | bytes, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a conversation."""
    say(text, monkeypatch)
    capfd.readouterr()
    code = run(arguments)
    return code, *capfd.readouterr()


def test_lines_are_questions_and_answers_stand_apart(
    chat: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\ufeffWho met?\r\n\n   \nWhen, \\\nand why?"
    code, stdout, _ = talk([*chat, "--json", "-q"], text, capfd, monkeypatch)
    assert code == 0
    told = [json.loads(line) for line in stdout.splitlines()]
    assert [(each["command"], each["question"]) for each in told] == [
        ("chat", "Who met?"),
        ("chat", "When, \nand why?"),
    ]
    code, stdout, stderr = talk([*chat, "-q"], text, capfd, monkeypatch)
    assert code == 0
    assert stdout == "\n".join(
        CONTROL.sub("", each["answer"]).removesuffix("\n") + "\n" for each in told
    )
    assert stderr == ""


def test_earlier_turns_are_read(
    chat: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "When?\nWhen?\n/clear\nWhen?\n"
    _, stdout, stderr = talk([*chat, "--json"], text, capfd, monkeypatch)
    first, behind, cleared = (json.loads(line) for line in stdout.splitlines())
    prompts = [each["stats"]["prompt_tokens"] for each in (first, behind, cleared)]
    assert prompts[0] == prompts[2] < prompts[1]
    assert cleared["answer"] == first["answer"]
    assert "The conversation is cleared" in stderr


def test_statistics_where_they_are_asked_for(
    chat: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, stderr = talk(chat, "When?\n", capfd, monkeypatch)
    assert "TTFT" not in stderr
    _, _, stderr = talk([*chat, "-q"], "/stats\nWhen?\n/stats\n", capfd, monkeypatch)
    assert stderr.startswith("fastkv: there is no answer yet: ask a question first\n")
    assert stderr.count("TTFT") == 1
    assert "Decode weights" in stderr
    _, _, stderr = talk([*chat, "--stats"], "When?\nWho?\n", capfd, monkeypatch)
    assert stderr.count("TTFT") == stderr.count("Decode weights") == 2
    _, _, stderr = talk([*chat, "--stats", "brief"], "When?\nWho?\n", capfd, monkeypatch)
    assert stderr.count("Speed  ") == 2
    assert "Decode weights" not in stderr
    _, _, stderr = talk([*chat, "--stats", "--no-stats"], "When?\n", capfd, monkeypatch)
    assert "TTFT" not in stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/nonsense x\n", "unknown command /nonsense: /help lists all; type // to begin"),
        ("/save\n", "no file given: name one, as in: /save chat.md"),
        ("/save a.md\n", "the conversation is empty: ask a question first"),
        ("/report\n", "no file given: name one, as in: /report chat.html"),
        ("When?\n/report b.txt\n", "b.txt exists already: /report! b.txt replaces it"),
        ("/sources\n", "there is no answer yet: ask a question first"),
        ("When?\n/save b.txt\n", "b.txt exists already: /save! b.txt replaces it"),
        ("When?\n/save! no/a.md\n", "cannot write no/a.md: make the folder no first"),
        ("When?\n/save .\n", r"cannot write \.: it is a folder; give a file"),
        (f"When?\n/save {'x' * 300}\n", r"cannot write x+ \(File name too long\)"),
        ("When?\n/save a\0b\n", r"cannot write a b \(embedded null byte\)"),
        ("When?\n/save b.txt/a\n", r"cannot write b.txt/a \(Not a directory\)"),
        ("When?\n/save ~nobody-knows/a\n", "cannot write ~nobody-knows/a: make the folder"),
        ("/\x1b[31m\n", "unknown command /"),
    ],
)
def test_commands_that_cannot_be_obeyed(
    chat: list[str], text: str, words: str, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in Path().iterdir()}
    code, stdout, stderr = talk([*chat, "-q"], f"{text}Who?\n", capfd, monkeypatch)
    assert code == 0
    assert stdout.count("\n\n") == (1 if "When" in text else 0)  # the chat goes on
    assert re.fullmatch(rf"fastkv: .*{words}.*\n", stderr), stderr
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_slashes_ending_and_help(
    chat: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "//help?\n/help\n/quit\nWho?\n"
    code, stdout, stderr = talk([*chat, "--json"], text, capfd, monkeypatch)
    assert code == 0
    assert [json.loads(line)["question"] for line in stdout.splitlines()] == ["/help?"]
    for name in (
        "/help",
        "/stats",
        "/sources",
        "/save FILE",
        "/report FILE",
        "/clear",
        "/exit",
        "Ctrl-C",
    ):
        assert re.search(rf"^{re.escape(name)}\b.* {{2}}\w", stderr, re.MULTILINE)


def test_saving(
    chat: list[str], tmp_path: Path, capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = "When\x1b[31m?\n/save ~/my chat.md\nWho?\n/save! ~/my chat.md\n"
    code, _, stderr = talk(chat, text, capfd, monkeypatch)
    assert code == 0
    assert "1 answer written to ~/my chat.md" in stderr
    assert "2 answers written to ~/my chat.md" in stderr
    saved = (tmp_path / "my chat.md").read_text(encoding="utf-8")
    assert saved.startswith("# a.txt\n\n> When?\n\n")
    assert "\n\n> Who?\n\n" in saved
    assert CONTROL.search(saved) is None


def test_a_page_of_the_answers(
    chat: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "When <b>did</b> they meet?\n/report r.html\nWho?\n/report! r.html\n"
    code, stdout, stderr = talk(chat, text, capfd, monkeypatch)
    assert code == 0
    assert "1 answer written to r.html" in stderr
    assert "2 answers written to r.html" in stderr
    page = Path("r.html").read_text(encoding="utf-8")
    assert "When &lt;b&gt;did&lt;/b&gt; they meet?" in page
    assert page.count('<article class="answer') == 2
    for word in stdout.split()[:3]:
        assert html.escape(word) in page


def test_a_question_that_fails_ends_nothing(
    chat: list[str], capfd: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"Who?\n{TOO_LONG}\nWhen?\n"
    code, stdout, stderr = talk([*chat, "-q"], text, capfd, monkeypatch)
    assert code == ExitCode.CONTEXT
    assert stdout.count("\n\n") == 1
    first, last = stderr.splitlines()
    assert first.startswith("fastkv: no room for text: ")
    assert last == "fastkv: 1 of 3 questions could not be answered"
    code, stdout, _ = talk([*chat, "--json"], text, capfd, monkeypatch)
    told = [json.loads(line) for line in stdout.splitlines()]
    assert [(each["command"], each.get("exit_code")) for each in told] == [
        ("chat", None),
        ("chat", ExitCode.CONTEXT),
        ("chat", None),
    ]
    text = "x" * (2**20 + 1)
    assert talk(chat, text, capfd, monkeypatch)[0] == ExitCode.USAGE


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], ExitCode.USAGE, "no document given: name a file"),
        (["-"], ExitCode.USAGE, "chat reads its questions from standard input: name a file"),
        (["no.txt"], ExitCode.INPUT, "no.txt does not exist"),
    ],
)
def test_no_conversation(
    options: list[str],
    arguments: list[str],
    code: ExitCode,
    words: str,
    capfd: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, stdout, stderr = talk(["chat", *arguments, *options], "Who?\n", capfd, monkeypatch)
    assert (found, stdout) == (code, "")
    assert re.fullmatch(rf"fastkv: .*{words}.*\n", stderr)


class TestStopped:
    """A conversation in a process of its own, whose answers never end."""

    def begin(self, endless: list[str]) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "fastkv_cli", "chat", "a.txt", "--no-check", *endless],
            env=environment(FASTKV_STORE="off"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("Who?\n" * 40)
        child.stdin.flush()
        os.read(child.stdout.fileno(), 1)  # the first answer has begun
        return child

    def test_interrupted(self, endless: list[str]) -> None:
        child = self.begin(endless)
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
        assert child.returncode == ExitCode.INTERRUPTED
        assert stdout.endswith("\n")
        assert stderr.endswith("fastkv: interrupted\n")

    def test_nobody_reads_any_more(self, endless: list[str]) -> None:
        child = self.begin(endless)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        child.stdin.close()
        stderr = child.stderr.read()
        child.stderr.close()
        assert child.wait(timeout=120) == ExitCode.CLOSED_PIPE
        assert "fastkv:" not in stderr
