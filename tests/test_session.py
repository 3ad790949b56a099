"""Several answers from documents that were read and a model that was loaded once."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from fastkv_cli.cli.shown import Shown
from fastkv_cli.config import MethodSettings, ReadOptions, StatsLevel
from fastkv_cli.output.console import Messages, stderr_console
from fastkv_cli.output.progress import ProgressBars
from fastkv_cli.output.render.answer_tables import render_json
from fastkv_cli.output.render.stats_table import render_tables
from fastkv_cli.session.request import Request
from fastkv_cli.session.session import answer, open_session
from fastkv_cli.stats import RunReport
from fastkv_cli.tasks import PartStore, ask

QUESTIONS = ["Who met?", "How often did the committee meet in 1999?"]


@pytest.fixture
def reports(tmp_path: Path, tiny_models: dict[str, Path]) -> list[RunReport]:
    """Two answers, the first of them again, on a page of which some is hidden."""
    page = tmp_path / "a.html"
    page.write_text("<p>The committee met 14 times in 1999.<p hidden>It did not.")
    request = Request(
        sources=(str(page),),
        read=ReadOptions(),
        model=str(tiny_models["llama"]),
        method=MethodSettings(),
        check=False,
    )
    console = stderr_console()
    bars = ProgressBars(console, enabled=False)
    opening = Shown(bars, Messages(console, quiet=True), None, 8, cites=False)
    session = open_session("ask", request, 8, opening)
    parts = PartStore(enabled=False)
    first, *others = [*QUESTIONS, QUESTIONS[0]]
    return [
        answer(session, partial(ask, question=first), opening.afresh(), parts),
        *(
            answer(session.again(), partial(ask, question=question), opening.afresh(), parts)
            for question in others
        ),
    ]


def test_answers_do_not_depend_on_those_before(reports: list[RunReport]) -> None:
    first, other, again = reports
    assert first.answer == again.answer
    assert first.generation.prompt_tokens == again.generation.prompt_tokens
    assert first.generation.prompt_tokens != other.generation.prompt_tokens


def test_reading_and_loading_count_once(reports: list[RunReport]) -> None:
    first, other, _ = reports
    assert first.extract_s > 0
    assert first.load_s > 0
    assert other.extract_s == other.load_s == 0.0
    assert '"load_s": 0.0' in render_json(other)
    tables = stderr_console()
    with tables.capture() as shown:
        tables.print(*render_tables(other, StatsLevel.FULL))
    assert re.search(r"Loading +none: all in memory already", shown.get())


def test_every_report_warns_of_the_documents(reports: list[RunReport]) -> None:
    for report in reports:
        assert len([text for text in report.warnings if "hidden text left out" in text]) == 1
