"""benchmarks/long_document.py: the PDF that it makes, and what it reports, with a tiny model."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import BENCHMARKS, RunBenchmark

from fastkv_cli.documents import load_document

sys.path.insert(0, str(BENCHMARKS))
from long_pdf import FACTS, make_pages, spread, write_pdf

pytestmark = pytest.mark.begin
TEXT = "".join(
    f"Entry {at:04}: the committee (all of it) met and wrote it down.\n" for at in range(400)
)


@pytest.fixture
def report_of(
    tmp_path: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    run_benchmark: RunBenchmark,
) -> Callable[..., dict[str, Any]]:
    """Runs the benchmark on a text of some parts, and gives what it reports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTKV_HOME", str(tmp_path / "home"))
    Path("a.txt").write_text("".join(TEXT.splitlines(keepends=True)[:150]))
    own = ("--texts", "a.txt", "--model", str(tiny_models["llama"]), "--output", "out.json")

    def run(*options: str) -> dict[str, Any]:
        _, report = run_benchmark("long_document.py", *own, *options)
        assert json.loads(Path("out.json").read_text("utf-8")) == report
        return report

    return run


def test_every_fact_stands_on_the_page_that_is_named(tmp_path: Path) -> None:
    pages, planted = make_pages([TEXT, "“Curly” – and é.\n"], 48, spread(FACTS))
    pdf = tmp_path / "long.pdf"
    pdf.write_bytes(write_pdf(pages))
    document = load_document(str(pdf))
    assert document.num_pages == len(document.pages) == 48
    assert len(planted) == len(FACTS) >= 20
    assert [each.page for each in planted] == sorted({each.page for each in planted})
    assert planted[0].page <= 2
    assert planted[-1].page >= 47
    for each in planted:
        page = document.pages[each.page - 1]
        assert each.fact.sentence in document.text[page.start : page.end]
        assert document.text.count(each.fact.sentence) == 1
        assert each.fact.answer in each.fact.sentence
        assert each.fact.answer not in each.fact.question
    assert "“Curly” – and é." in document.text


def test_what_is_reported_of_facts_and_summaries(report_of: Callable[..., dict[str, Any]]) -> None:
    report = report_of("--pages", "6", "--facts", "3", "--only", "facts,summaries")
    facts = report["facts"]
    assert [row["page"] for row in facts["rows"]] == [2, 4, 6]
    assert facts["facts"] == 3
    assert 0 <= facts["found_in_the_whole"] <= 1
    assert len(report["summaries"]) == 6
    for row in report["summaries"]:
        assert row["parts"] > 1
        assert row["sentences"] > 0
        assert row["repeated"] == 0
        assert row["summary"]


@pytest.mark.skipif(sys.platform == "win32", reason="os.wait4")
def test_what_is_reported_of_memory(report_of: Callable[..., dict[str, Any]]) -> None:
    report = report_of("--pages", "1", "--facts", "1", "--only", "memory")
    assert [(row["pages"], row["command"]) for row in report["memory"]] == [
        (1, "summarize"),
        (1, "ask"),
    ]
    assert all(row["peak_memory_bytes"] > 2**26 and row["tokens"] > 100 for row in report["memory"])
