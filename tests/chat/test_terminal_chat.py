"""A conversation at a terminal: prompt, Ctrl-C, Ctrl-D, a history, and nothing of it on stdout."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from processes import Terminal, finish, start_at_terminal

ASKED = ("chat", "a.txt", "--no-check")
PROMPT = "\x1b[?2004h"  # what prompt_toolkit says first; the terminal is raw then
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
CTRL_C, CTRL_D, CTRL_J, ENTER, ALT_ENTER, UP, TAB = "\x03", "\x04", "\n", "\r", "\x1b\r", "\x1b[A", "\t"  # fmt: skip


class Chat:
    """A conversation in a process of its own."""

    def __init__(self, arguments: list[str], home: Path, **changes: object) -> None:
        home.mkdir(exist_ok=True)
        self.child: subprocess.Popen[bytes]
        self.terminal: Terminal
        changes = {"TERM": "xterm", "FASTKV_HOME": home, **changes}
        self.child, self.terminal = start_at_terminal(arguments, **changes)
        self.shown = self.wait()

    def wait(self, words: str = PROMPT) -> str:
        """What is shown until these words, or the next prompt."""
        shown = self.terminal.read_until(words)
        assert words in shown, shown
        return ANSI.sub("", shown)

    def type(self, text: str) -> None:
        os.write(self.terminal.ours, text.encode())

    def say(self, text: str) -> str:
        """Type a line; gives what is shown until the next prompt."""
        self.type(text + ENTER)
        return self.wait()

    def leave(self) -> tuple[int, str, str]:
        """Ctrl-D; gives the exit code, stdout and the rest of what is shown."""
        self.type(CTRL_D)
        rest = ANSI.sub("", self.terminal.read_until())
        return *finish(self.child), rest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_a_conversation(options: list[str], home: Path) -> None:
    chat = Chat([*ASKED, *options], home)
    assert "a.txt: 26 tokens\r\nAsk a question. /help lists the commands" in chat.shown
    assert "there is no answer yet" in chat.say("/stats")
    chat.say("How often did it meet?")
    assert re.search(r"TTFT .*= prefill", chat.say("/stats"))
    assert re.search(r"line 1 \(\d+%\)|no sources in the documents", chat.say("/sources"))
    assert "1 answer written to talk.md" in chat.say("/save talk.md")
    code, stdout, _ = chat.leave()
    assert code == 0
    assert stdout.strip()
    assert stdout.endswith("\n")
    assert CONTROL.search(stdout) is None
    said = Path("talk.md").read_text(encoding="utf-8").split("\n\n", 2)
    assert said[:2] == ["# a.txt", "> How often did it meet?"]
    assert said[2].startswith(stdout.strip())


def test_ctrl_c_ends_the_answer_and_not_the_chat(endless: list[str], home: Path) -> None:
    chat = Chat([*ASKED, *endless], home)
    assert chat.child.stdout is not None
    chat.type("Who met?" + ENTER)
    begun = os.read(chat.child.stdout.fileno(), 1)
    chat.type(CTRL_C)
    assert "(interrupted)\r\n" in chat.wait()
    assert "the last answer was interrupted" in chat.say("/stats")
    assert "1 answer written" in chat.say("/save talk.md")
    chat.type(CTRL_C)
    assert "Ctrl-D or /exit leaves\r\n" in chat.wait()
    chat.type("/unfinished" + CTRL_C)  # empties the line
    assert "Leave the chat." in chat.say("/help")
    code, stdout, rest = chat.leave()
    assert code == 0
    assert "fastkv:" not in rest
    saved = Path("talk.md").read_text(encoding="utf-8")
    assert saved.endswith("*(interrupted)*\n")
    answer = begun.decode("utf-8", "replace") + stdout
    assert len(answer) > 1
    assert answer.endswith("\n")


def test_questions_of_several_lines(options: list[str], home: Path) -> None:
    chat = Chat([*ASKED, *options], home)
    chat.say(f"Who met?{CTRL_J}And when?{ALT_ENTER}How often?\\{ENTER}And where?")
    chat.say("/sa" + TAB + " talk.md")  # the slash commands are completed
    chat.leave()
    saved = Path("talk.md").read_text(encoding="utf-8")
    assert "\n\n> Who met?\n> And when?\n> How often?\n> And where?\n\n" in saved


def test_what_was_typed_is_there_in_the_next_conversation(options: list[str], home: Path) -> None:
    history = home / "chat-history"
    chat = Chat([*ASKED, *options], home)
    chat.say("/sources")
    assert chat.leave()[0] == 0
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    chat = Chat([*ASKED, *options], home)
    assert "there is no answer yet" in chat.say(UP)
    chat.leave()
    assert history.read_text().count("+/sources\n") == 1  # the same again is not kept twice


@pytest.mark.parametrize("off", ["--no-store", "FASTKV_STORE"])
def test_nothing_is_kept_where_nothing_may_be(options: list[str], home: Path, off: str) -> None:
    changes: dict[str, object] = {} if off == "--no-store" else {off: "off"}
    chat = Chat([*ASKED, *options, *([] if changes else [off])], home, **changes)
    chat.say("/sources")
    assert "there is no answer yet" in chat.say(UP)  # but in memory
    chat.leave()
    assert list(home.iterdir()) == []


def test_a_home_that_cannot_be_used_costs_the_history_alone(options: list[str], home: Path) -> None:
    home.mkdir()
    (home / "chat-history").mkdir()
    chat = Chat([*ASKED, *options], home)
    assert "chat-history (Is a directory): the chat history is not saved" in chat.shown.replace(
        "\r\n", ""
    )
    assert "Leave the chat." in chat.say("/help")
    assert chat.leave()[0] == 0


def test_what_is_typed_drives_no_terminal(options: list[str], home: Path) -> None:
    """Pasted text is shown and answered as text, and a name of a command as well."""
    chat = Chat([*ASKED, *options], home)
    pasted = "\x1b[200~/\x1b]0;title\x07\x1b[31m\x1b[201~"
    chat.type(pasted + ENTER)
    shown = chat.terminal.read_until(PROMPT)
    assert "unknown command" in shown
    assert "\x1b]" not in shown
    assert "\x07" not in shown
    assert "\x1b[31m" not in shown
    chat.leave()


def test_colours_that_are_pasted_into_an_answer_are_passed_over(
    options: list[str], home: Path
) -> None:
    """No brackets stand around what a terminal sends while nobody reads it."""
    chat = Chat([*ASKED, *options], home)
    assert "unknown command /red" in chat.say("/\x1b[31mred\x1b[0m")
    assert chat.leave()[0] == 0
