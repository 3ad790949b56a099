"""One session, any number of answers; and the same without a console."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import environment
from processes import Capture

import fastkv_cli as fastkv
from fastkv_cli.cli.app import run
from fastkv_cli.errors import DocumentError, UsageError
from fastkv_cli.output.console import stderr_console
from fastkv_cli.output.render.stats_table import render_tables
from fastkv_cli.output.stats_level import StatsLevel

QUESTIONS = ["Who met?", "How often did the committee meet in 1999?"]


class Listener(fastkv.Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.pieces: list[str] = []
        self.labels: list[str] = []

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def piece(self, text: str) -> None:
        self.pieces.append(text)

    def progress(self, label: str, *_: object) -> None:
        self.labels.append(label)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page of which some is hidden."""
    path = tmp_path / "a.html"
    path.write_text("<p>The committee met 14 times in 1999.<p hidden>It did not.")
    return path


@pytest.fixture
def settings(tiny_models: dict[str, Path]) -> dict[str, Any]:
    return {
        "model": str(tiny_models["llama"]),
        "dtype": "float32",
        "max_tokens": 8,
        "check": False,
        "no_store": True,
    }


@pytest.fixture
def session(page: Path, settings: dict[str, Any]) -> Iterator[fastkv.Session]:
    with fastkv.open(page, observer=Listener(), **settings) as opened:
        yield opened


def test_answers_do_not_depend_on_those_before(session: fastkv.Session) -> None:
    first, other, again = (session.ask(asked) for asked in (*QUESTIONS, QUESTIONS[0]))
    assert first.text == again.text
    assert first.stats.prompt_tokens == again.stats.prompt_tokens
    assert first.stats.prompt_tokens != other.stats.prompt_tokens
    # reading and loading count once
    assert first.report.extract_s > 0
    assert first.report.load_s > 0
    assert other.report.extract_s == other.report.load_s == 0.0
    assert other.to_dict()["stats"]["load_s"] == 0.0
    tables = stderr_console()
    with tables.capture() as shown:
        tables.print(*render_tables(other.report, StatsLevel.FULL))
    assert "none: all in memory already" in shown.get()
    # every report warns of the documents, and whoever listens hears it once
    for answer in (first, other, again):
        assert len([text for text in answer.warnings if "hidden text left out" in text]) == 1
    assert isinstance(session.observer, Listener)
    assert len([text for text in session.observer.warnings if "hidden text" in text]) == 1


def test_pieces_add_up_to_the_answer(session: fastkv.Session) -> None:
    pieces = list(session.stream(QUESTIONS[0]))
    assert session.last is not None
    assert "".join(pieces) == session.last.text == str(session.last)
    assert isinstance(session.observer, Listener)
    assert session.observer.pieces == pieces
    assert {"starting", "tokenizing", "reading"} <= set(session.observer.labels)


def test_a_summary_and_a_conversation(session: fastkv.Session) -> None:
    summary = session.summarize(length="short")
    assert summary.to_dict()["command"] == "summarize"
    assert summary.found is None
    chat = session.chat()
    first = chat.ask("Who met?")
    second = chat.ask("When?")
    assert second.stats.prompt_tokens > first.stats.prompt_tokens
    assert [exchange.question for exchange in chat.exchanges] == ["Who met?", "When?"]
    assert second.to_dict()["command"] == "chat"


def test_the_same_object_as_the_command_line_prints(
    session: fastkv.Session, page: Path, settings: dict[str, Any], capfd: Capture
) -> None:
    ours = session.ask(QUESTIONS[1]).to_dict()
    options = ["--model", str(settings["model"]), "--dtype", "float32", "--max-tokens", "8"]
    assert (
        run(["ask", str(page), QUESTIONS[1], *options, "--no-check", "--no-store", "--json"]) == 0
    )
    theirs = json.loads(capfd.readouterr().out)
    for measured in ("stats", "reading"):
        assert ours.pop(measured).keys() == theirs.pop(measured).keys()
    assert json.loads(json.dumps(ours)) == theirs


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"nonsense": 1}, UsageError, "unknown option 'nonsense'"),
        ({"budget": "lots"}, UsageError, "cannot read the budget 'lots'"),
        ({"max_tokens": 0}, UsageError, "--max-tokens 0 is out of range"),
        ({"method": "magic"}, UsageError, "method 'magic' is unknown"),
        ({"pages": "1"}, UsageError, "is not a PDF"),
        ({"store": "exact", "no_store": True}, UsageError, "exclude each other"),
    ],
)
def test_wrong_options(
    page: Path,
    settings: dict[str, Any],
    options: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        fastkv.open(page, **(settings | options))


def test_wrong_documents_questions_and_lengths(
    session: fastkv.Session, settings: dict[str, Any]
) -> None:
    with pytest.raises(DocumentError, match="does not exist"):
        fastkv.open("nowhere.txt", **settings)
    with pytest.raises(UsageError, match="no document is named"):
        fastkv.open(**settings)
    with pytest.raises(UsageError, match="the question is empty"):
        session.ask(" ")
    with pytest.raises(UsageError, match="length 'endless' is unknown: choose one of short"):
        session.summarize(length="endless")


def test_one_thread_at_a_time(session: fastkv.Session) -> None:
    answer = session.stream(QUESTIONS[0])
    next(answer)
    caught: list[Exception] = []

    def ask() -> None:
        try:
            session.ask(QUESTIONS[1])
        except UsageError as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert "in use by another thread" in str(caught[0])
    assert list(answer)
    assert session.ask(QUESTIONS[1]).text


def test_a_closed_session_answers_no_more(page: Path, settings: dict[str, Any]) -> None:
    session = fastkv.open(page, **settings)
    answer = session.ask(QUESTIONS[0])
    session.close()
    session.close()
    assert answer.text == session.last.text if session.last else False
    with pytest.raises(UsageError, match="the session is closed"):
        session.ask(QUESTIONS[0])


_WITHOUT_CONSOLE = """
import sys

sys.modules["rich"] = sys.modules["typer"] = None  # an import of them fails
import fastkv_cli as fastkv

with fastkv.open(sys.argv[1], model=sys.argv[2], max_tokens=4, check=False) as session:
    print(*[session.ask(asked).to_dict()["schema"] for asked in ("Who met?", "When?")])
    print(session.summarize(length="short").kv.compute_ratio < 1)
"""


def test_two_questions_and_a_summary_where_there_is_no_console(
    page: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_CONSOLE, str(page), str(tiny_models["llama"])],
        env=environment(FASTKV_HOME=tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["fastkv/1 fastkv/1", "True"]
    assert done.stderr == ""
