"""Several questions in one run: a line of JSON for each, as soon as it is answered."""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from processes import Capture, finish, start, start_in_terminal

from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode

QUESTIONS = ["Who met?", "How often did the committee meet in 1999?", "When?"]
TOO_LONG = "Why? " * 3000


@pytest.fixture
def file(options: list[str]) -> str:
    text = f"\ufeff{QUESTIONS[0]}\r\n\n   \n# a comment\n  {QUESTIONS[1]}  \n{QUESTIONS[2]}"
    Path("q.txt").write_text(text, encoding="utf-8")
    return "q.txt"


def lines_of(stdout: str) -> list[dict[str, Any]]:
    assert stdout.endswith("\n")
    return [json.loads(line) for line in stdout.splitlines()]


def without_times(report: dict[str, Any]) -> dict[str, Any]:
    reading = {key: value for key, value in report["reading"].items() if key != "parts_s"}
    return {key: value for key, value in report.items() if key != "stats"} | {"reading": reading}


def test_a_line_for_each_is_the_object_of_json(
    options: list[str], file: str, capfd: Capture
) -> None:
    assert run(["ask", "a.txt", "b.txt", "--questions", file, *options]) == 0
    stdout, stderr = capfd.readouterr()
    told = lines_of(stdout)
    assert [each["question"] for each in told] == QUESTIONS
    for question, each in zip(QUESTIONS, told, strict=True):
        assert run(["ask", "a.txt", "b.txt", question, *options, "--json"]) == 0
        alone = json.loads(capfd.readouterr().out)
        assert without_times(each) == without_times(alone)
        assert set(each["stats"]) == set(alone["stats"])
    assert [each["stats"]["load_s"] > 0 for each in told] == [True, False, False]
    for words in (
        "Documents  a.txt and 1 more: ",
        r"# +Question +TTFT +Tokens",
        r"3 +When\? +\d+.* m?s +\d+",
    ):
        assert re.search(rf"^ *{words}", stderr, re.MULTILINE), stderr


def test_options_and_a_file_add_up(options: list[str], file: str, capfd: Capture) -> None:
    asked = ["--question", "One?", "--question", "# Two?", "--questions", file]
    assert run(["ask", "a.txt", *asked, *options, "--json", "-q"]) == 0
    stdout, stderr = capfd.readouterr()
    assert [each["question"] for each in lines_of(stdout)] == ["One?", "# Two?", *QUESTIONS]
    assert stderr == ""


@pytest.mark.parametrize("from_document", [False, True])
def test_standard_input_is_the_one_or_the_other(
    options: list[str], monkeypatch: pytest.MonkeyPatch, from_document: bool, capfd: Capture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Who met?\nWhen?\n")))
    asked = ["--question", "Where?"] if from_document else ["a.txt", "--questions", "-"]
    assert run(["ask", *asked, *options]) == 0
    told = lines_of(capfd.readouterr().out)
    assert [each["question"] for each in told] == (
        asked[1:] if from_document else ["Who met?", "When?"]
    )
    assert told[0]["documents"][0]["path"] == ("-" if from_document else "a.txt")


@pytest.mark.parametrize(
    ("data", "arguments", "words"),
    [
        (b"# nothing\n\n", ["a.txt", "--questions", "q.txt"], "q.txt holds no question: write"),
        (b"Who?\nWh\xffn?\n", ["a.txt", "--questions", "q.txt"], "q.txt: line 2 is not UTF-8"),
        (b"", ["a.txt", "--questions", "no.txt"], r"no.txt cannot be read \(No such file"),
        (b"", ["a.txt", "--questions", "."], r"\. cannot be read"),
        (b"x" * (2**23 + 1), ["a.txt", "--questions", "q.txt"], "q.txt is larger than"),
        (b"", ["a.txt", "--question", " "], "a --question is empty"),
        (b"", ["-", "--questions", "-"], "standard input cannot be both"),
        (b"", ["--questions", "-"], "standard input cannot be both"),
    ],
)
def test_no_questions(
    options: list[str], data: bytes, arguments: list[str], words: str, capfd: Capture
) -> None:
    Path("q.txt").write_bytes(data)
    capfd.readouterr()
    assert run(["ask", *arguments, *options]) == ExitCode.USAGE
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    assert re.fullmatch(rf"fastkv: .*{words}.*\n", stderr), stderr


def test_one_that_fails_costs_no_other(options: list[str], capfd: Capture) -> None:
    Path("q.txt").write_text(f"Who met?\n{TOO_LONG}\nWhen?\n")
    asked = ["ask", "a.txt", "--questions", "q.txt", *options]
    assert run([*asked, "-o", "out.jsonl"]) == ExitCode.CONTEXT
    stdout, stderr = capfd.readouterr()
    assert stdout == ""
    first, second, third = lines_of(Path("out.jsonl").read_text(encoding="utf-8"))
    assert first["answer"]
    assert third["answer"]
    assert (second["question"], second["answer"]) == (TOO_LONG.strip(), None)
    assert second["error"].startswith("no room for text: ")
    assert second["exit_code"] == ExitCode.CONTEXT
    assert "warning: question 2: no room for text" in stderr
    assert re.search(r"^ *2 +Why\?.*… .*failed", stderr, re.MULTILINE)
    assert stderr.endswith("fastkv: 1 of 3 questions could not be answered\n")
    assert run([*asked, "-q"]) == ExitCode.CONTEXT
    stdout, stderr = capfd.readouterr()
    assert len(lines_of(stdout)) == 3
    assert stderr == "fastkv: 1 of 3 questions could not be answered\n"


def test_a_dry_run_foresees_the_longest(options: list[str], capfd: Capture) -> None:
    longest = "Why did the committee meet, and how often? " * 4
    Path("q.txt").write_text(f"Who met?\n{longest}\nWhen?\n")
    prompts = []
    for asked in (["--questions", "q.txt"], [longest.strip()], ["Who met?"]):
        assert run(["ask", "a.txt", *asked, *options, "--dry-run", "--json"]) == 0
        prompts.append(json.loads(capfd.readouterr().out)["reading"]["longest_prompt"])
    assert prompts[0] == prompts[1] > prompts[2]
    Path("q.txt").write_text(f"Who met?\n{TOO_LONG}\n")
    asked = ["ask", "a.txt", "--questions", "q.txt", *options]
    assert run([*asked, "--dry-run"]) == ExitCode.CONTEXT


class TestStopped:
    """What was answered is out, whatever comes then."""

    ASKED = ("ask", "a.txt", "--no-check", *["--question", "Who?"] * 40)

    def test_interrupted(self, endless: list[str]) -> None:
        child = start([*self.ASKED, *endless])
        assert child.stdout is not None
        first = child.stdout.readline()
        child.send_signal(signal.SIGINT)
        stdout, stderr = child.communicate(timeout=60)
        assert child.returncode == ExitCode.INTERRUPTED
        told = lines_of(first + stdout)
        assert {each["question"] for each in told} == {"Who?"}
        assert 1 <= len(told) < 40
        assert stderr.endswith(f"fastkv: interrupted: {len(told)} of 40 questions are answered\n")

    def test_interrupted_for_a_file(self, endless: list[str]) -> None:
        child, terminal = start_in_terminal([*self.ASKED, *endless, "-o", "out.jsonl"])
        shown = terminal.read_until("1/40 answering")
        child.send_signal(signal.SIGINT)
        shown += terminal.read_until()
        assert finish(child) == (ExitCode.INTERRUPTED, "")
        said = "interrupted: 0 of 40 questions are answered; out.jsonl was not written"
        assert shown.endswith(f"fastkv: {said}\r\n")
        assert not Path("out.jsonl").exists()

    def test_nobody_reads_any_more(self, endless: list[str]) -> None:
        child = start([*self.ASKED, *endless])
        assert child.stdout is not None
        assert child.stderr is not None
        select.select([child.stdout], [], [], 120)
        assert os.read(child.stdout.fileno(), 1) == b"{"
        child.stdout.close()
        stderr = child.stderr.read()
        child.stderr.close()
        assert child.wait(timeout=120) == ExitCode.CLOSED_PIPE
        assert stderr == ""


def test_parts_of_a_long_text_are_kept_and_forgotten_for_each(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    lines = (f"Entry {at:04}: the committee met and wrote it down.\n\n" for at in range(200))
    Path("long.txt").write_text("".join(lines))
    asked = ["ask", "long.txt", "--question", "Who?", "--question", "When?"]
    assert run([*asked, *options, "--resume"]) == 0
    stdout, stderr = capfd.readouterr()
    assert [each["reading"]["parts"] > 1 for each in lines_of(stdout)] == [True, True]
    assert list((tmp_path / "home").glob("parts/*")) == []
    assert "nothing to resume" not in stderr
    assert run(["ask", "a.txt", *asked[2:], *options, "--resume", "--no-stats"]) == 0
    assert capfd.readouterr().err.count("there was nothing to resume") == 1
