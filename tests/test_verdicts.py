"""Supported, unsupported, not found: on stdout, on stderr, in JSON and in the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import Capture

import fastkv_cli as fastkv
from fastkv_cli.cli.app import run
from fastkv_cli.errors import ExitCode, UsageError

TEXT = "The committee met fourteen times in 1999, and Filby led it. It had red chairs.\n" * 3
ABOUT, ELSEWHERE = "Who led the committee in 1999?", "At which temperature does tungsten melt?"


@pytest.fixture
def text(options: list[str]) -> list[str]:
    """The tiny model says nothing that any document says."""
    Path("text.txt").write_text(TEXT)
    return options


def test_an_unsupported_answer_is_whole_on_stdout_and_marked_on_stderr(
    text: list[str], capfd: Capture
) -> None:
    assert run(["ask", "text.txt", ABOUT, *text]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout.strip()
    assert "warning: the passages under Sources do not say this: check it there" in stderr
    assert "Filby led it" in " ".join(stderr.split())
    assert run(["ask", "text.txt", ABOUT, *text, "--json", "-q"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["verdict"], told["found"], told["reading"]["looks"]) == ("unsupported", True, 2)
    assert told["answer"] == stdout.rstrip("\n")


def test_strict_prints_a_refusal_alone(text: list[str], capfd: Capture) -> None:
    assert run(["ask", "text.txt", ABOUT, *text, "--strict"]) == ExitCode.NOT_SUPPORTED
    stdout, stderr = capfd.readouterr()
    assert stdout == "No supported answer found in the document.\n"
    assert stderr.endswith(
        "fastkv: the answer was refused: not supported by the document: see the quotes under "
        "Sources, or leave out --strict\n"
    )
    asked = ["ask", "text.txt", "--question", ABOUT, "--question", ELSEWHERE, *text, "--strict"]
    assert run(asked) == ExitCode.NOT_SUPPORTED
    stdout, stderr = capfd.readouterr()
    lines = [json.loads(line) for line in stdout.splitlines()]
    assert [line["verdict"] for line in lines] == ["unsupported", "not_found"]
    assert lines[0]["guess"] not in {"", lines[0]["answer"]}
    assert "2 of 2 answers were refused" in stderr
    assert run(["ask", "text.txt", ABOUT, *text, "--strict", "--no-check"]) == ExitCode.USAGE
    assert "exclude each other" in capfd.readouterr().err


def test_what_the_document_is_not_about_is_not_found(text: list[str], capfd: Capture) -> None:
    assert run(["ask", "text.txt", ELSEWHERE, *text]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout == "No answer found in the document.\n"
    assert "the model would say: " in stderr
    assert run(["ask", "text.txt", ELSEWHERE, *text, "--no-check", "-q"]) == 0
    assert "No answer found" not in capfd.readouterr().out
    assert run(["ask", "text.txt", ELSEWHERE, *text, "--strict"]) == ExitCode.NOT_SUPPORTED


def test_the_best_quote_is_the_answer(text: list[str], capfd: Capture) -> None:
    assert run(["ask", "text.txt", ABOUT, *text, "--extractive", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert "Filby led it" in told["answer"]
    assert (told["verdict"], told["stats"]["output_tokens"]) == ("supported", 0)
    assert told["kv"]["kept_bytes"] == 0
    assert run(["ask", "text.txt", ABOUT, *text, "--extractive", "--stats", "full"]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout == told["answer"] + "\n"
    assert "the best passage is quoted" in " ".join(stderr.split())


def test_in_python(text: list[str]) -> None:
    with fastkv.open("text.txt", model=text[1], strict=True, max_tokens=8) as session:
        answer = session.ask(ABOUT)
        assert answer.text == "No supported answer found in the document."
        assert (answer.verdict, answer.found) == ("unsupported", True)
        assert "Filby led it" in answer.quotes[0].text
    with pytest.raises(UsageError, match="exclude each other"):
        fastkv.open("text.txt", model=text[1], strict=True, check=False)
