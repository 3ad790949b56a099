"""Answers one can check, from the command line to the embedded model and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pdf_maker import make_pdf

from fastkv_cli.cli.app import run

PAGES = [
    "The expedition left the harbour of Bergen in May 1911.\nIt had two ships and 46 men.",
    "The cook of the expedition was called Anton Lindqvist.\nHe baked bread every morning.",
    "In the second winter, the ice crushed the larger ship.\nAll men reached the shore.",
]
QUESTION = "What was the cook of the expedition called?"


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded_dir: Path) -> str:
    monkeypatch.chdir(tmp_path)
    Path("report.pdf").write_bytes(make_pdf(PAGES))
    Path("notes.txt").write_text("A list of stars.\n\nThe brightest star is Sirius.\n")
    return "report.pdf"


def ask_json(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["ask", *arguments, "--json", "--max-tokens", "40"]) == 0
    answer: dict[str, Any] = json.loads(capfd.readouterr().out)
    return answer


def test_the_page_stands_behind_the_answer(report: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", report, QUESTION, "--cite"]) == 0
    stdout, stderr = capfd.readouterr()
    assert "Anton Lindqvist" in stdout
    assert stdout.endswith(" [p. 2]\n")
    assert "Sources" in stderr
    assert run(["ask", report, "notes.txt", QUESTION, "--cite", "-q"]) == 0
    marked = capfd.readouterr().out
    assert marked.endswith(" [report.pdf, p. 2]\n")
    assert run(["ask", report, QUESTION, "-q"]) == 0
    assert capfd.readouterr().out == stdout.replace(" [p. 2]", "")


def test_json_tells_where_the_answer_stands(report: str, capfd: pytest.CaptureFixture[str]) -> None:
    told = ask_json(capfd, report, QUESTION)
    assert told["found"] is True
    assert told["reason"] == told["guess"] == ""
    assert told["not_in_document"] == []
    best = told["citations"][0]
    assert (best["document"], best["page"], best["line"]) == ("report.pdf", 2, None)
    assert best["snippet"] == "The cook of the expedition was called Anton Lindqvist."
    assert 0.5 < best["score"] <= 1


def test_a_text_has_lines(report: str, capfd: pytest.CaptureFixture[str]) -> None:
    told = ask_json(capfd, "notes.txt", "Which star is the brightest?", "--cite")
    assert told["answer"].endswith(" [line 3]")
    assert told["citations"][0]["line"] == 3


def test_an_answer_that_cannot_stand_there_is_not_given(
    report: str, capfd: pytest.CaptureFixture[str]
) -> None:
    question = "Who painted the Mona Lisa?"
    assert run(["ask", report, question, "--cite", "--no-stats"]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout == "No answer found in the document.\n"
    assert stderr.startswith("warning: ")
    assert "the model would say: " in stderr
    told = ask_json(capfd, report, question)
    assert told["answer"] == "No answer found in the document."
    assert told["found"] is False
    assert told["citations"] == []
    assert told["reason"]
    assert told["guess"]
    assert told["guess"] in told["warnings"][0]


def test_what_is_not_to_be_checked_is_not(report: str, capfd: pytest.CaptureFixture[str]) -> None:
    told = ask_json(capfd, report, "Who painted the Mona Lisa?", "--no-check")
    assert told["found"] is None
    assert told["not_in_document"] is None
    assert told["answer"] != "No answer found in the document."
