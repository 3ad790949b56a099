"""An unexpected fault costs what it is in, and nothing else: one question, or the look-up of one.

No input is known that brings such a fault about (each that was, is mended); so one is put in.
"""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from processes import Capture

from fastkv_cli.cli.app import run
from fastkv_cli.cli.chat import chat_loop as loop
from fastkv_cli.cli.chat.line_input import PipedInput
from fastkv_cli.errors import ExitCode
from fastkv_cli.evidence import Index
from fastkv_cli.session import session as asking
from fastkv_cli.tasks import answer_gate
from fastkv_cli.tasks import ask as real_ask
from fastkv_cli.tasks import attended as evidence
from fastkv_cli.tasks.work import Work

BAD = "Bad?"
UNEXPECTED = (
    "unexpected ZeroDivisionError: at nothing; run again with --debug, and please report it"
)


def ask(work: Work, question: str, **more: Any) -> Iterator[Any]:
    """As the real one, but for one question."""
    if question == BAD:
        yield next(iter(real_ask(work, question, **more)))  # some of an answer
        raise ZeroDivisionError("at nothing")
    yield from real_ask(work, question, **more)


def fail(*_: object, **__: object) -> Any:
    raise ZeroDivisionError("at nothing")


@pytest.mark.parametrize("debug", [False, True])
def test_of_several_questions_the_others_are_answered(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Capture, debug: bool
) -> None:
    monkeypatch.setattr(asking, "ask", ask)
    asked = [item for text in ("Who met?", BAD, "When?") for item in ("--question", text)]
    more = ["--debug"] if debug else []
    assert run(["ask", "a.txt", *asked, *options, "--no-check", *more]) == ExitCode.FAILURE
    stdout, stderr = capfd.readouterr()
    first, second, third = (json.loads(line) for line in stdout.splitlines())
    assert first["answer"]
    assert third["answer"]
    assert (second["question"], second["answer"], second["exit_code"]) == (BAD, None, 1)
    assert second["error"] == UNEXPECTED
    assert f"warning: question 2: {UNEXPECTED}" in stderr
    assert stderr.endswith("fastkv: 1 of 3 questions could not be answered\n")
    assert ("ZeroDivisionError: at nothing\n" in stderr) is debug
    assert re.search(r"^ *2 +Bad\? .*failed", stderr, re.MULTILINE)


@pytest.mark.parametrize("at_terminal", [False, True])
@pytest.mark.parametrize("mode", [[], ["--json"], ["--debug"]])
def test_a_conversation_goes_on(
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
    at_terminal: bool,
    mode: list[str],
) -> None:
    monkeypatch.setattr(asking, "ask", ask)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Who met?\nBad?\nWhen?\n")))
    monkeypatch.setattr(loop, "is_at_terminal", lambda: at_terminal)
    monkeypatch.setattr(loop, "_open_input", lambda *_: PipedInput())
    code = run(["chat", "a.txt", *options, "--no-check", "--no-store", *mode])
    stdout, stderr = capfd.readouterr()
    assert code == (0 if at_terminal else ExitCode.FAILURE)
    assert f"fastkv: {UNEXPECTED}\n" in stderr
    assert ("ZeroDivisionError: at nothing\n" in stderr) is (mode == ["--debug"])
    assert ("1 of 3 questions could not be answered" in stderr) is not at_terminal
    if mode == ["--json"]:
        told = [json.loads(line) for line in stdout.splitlines()]
        assert [each.get("error") for each in told] == [None, UNEXPECTED, None]
    else:
        assert stdout.endswith("\n")


def test_a_command_of_a_conversation_costs_nothing(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setattr("fastkv_cli.cli.chat.slash_commands.render_markdown", fail)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Who?\n/save x.md\nWhen?\n")))
    assert run(["chat", "a.txt", *options, "--no-check", "--no-store", "--json"]) == 0
    stdout, stderr = capfd.readouterr()
    assert [json.loads(line)["question"] for line in stdout.splitlines()] == ["Who?", "When?"]
    assert f"fastkv: {UNEXPECTED}\n" in stderr


def test_a_line_too_long_for_a_question_is_one_that_failed(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    lines = b"Who met?\n" + b"x" * (2**21 + 7) + b"\nWhen?\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    code = run(["chat", "a.txt", *options, "--no-check", "--no-store", "--json"])
    stdout, stderr = capfd.readouterr()
    assert code == ExitCode.USAGE
    told = [json.loads(line) for line in stdout.splitlines()]
    assert [each["question"] for each in told] == ["Who met?", "", "When?"]
    assert "a line is longer than 1,048,576 bytes" in told[1]["error"]
    assert stderr.endswith("fastkv: 1 of 3 questions could not be answered\n")


@pytest.mark.parametrize(
    ("module", "name"),
    [(evidence, "cite"), (evidence, "not_in_document"), (answer_gate, "why_not_found")],
)
@pytest.mark.parametrize("json_wanted", [False, True])
def test_an_answer_stays_where_it_cannot_be_looked_up(
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: Capture,
    module: Any,
    name: str,
    json_wanted: bool,
) -> None:
    asked = ["ask", "a.txt", "Who met?", *options, "--cite"]
    monkeypatch.setattr(answer_gate, "why_not_found", lambda *_: "")  # a tiny model knows nothing
    # a question that cannot be judged is not put twice
    unjudged = ["--no-check"] if module is answer_gate else []
    assert run([*asked, *unjudged, "-q"]) == 0
    answer = capfd.readouterr().out
    monkeypatch.setattr(module, name, fail)
    assert run([*asked, *(["--json"] if json_wanted else [])]) == 0
    stdout, stderr = capfd.readouterr()
    warning = f"the answer was not checked against the documents: {UNEXPECTED}"
    assert f"warning: {warning}\n" in stderr
    if not json_wanted:
        assert re.sub(r" \[line \d\]\n\Z", "\n", answer) == stdout
        return
    told = json.loads(stdout)
    assert re.sub(r"[\x00-\x1f\x7f-\x9f]", "", told["answer"]).strip() in answer
    assert warning in told["warnings"]
    assert (told["citations"], told["not_in_document"], told["found"]) == ([], None, None)
    assert run([*asked, "--debug"]) == 0
    assert "ZeroDivisionError: at nothing\n" in capfd.readouterr().err


def test_a_fault_in_the_index_is_one_warning(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setattr(Index, "count", fail)
    assert run(["ask", "a.txt", "Who met?", *options]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout.strip()
    assert stderr.count("was not checked against") == 1
