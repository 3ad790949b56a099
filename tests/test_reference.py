"""The reference page: as the program is today, and complete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from processes import quick_options
from test_extraction import NOTES, REPORT
from test_render import make_report, with_quotes

from fastkv_cli.cli.app import run
from fastkv_cli.cli.json_fields import (
    ANSWER_FIELDS,
    DRY_RUN_FIELDS,
    EXTRACT_FIELDS,
    FAILURE_FIELDS,
)
from fastkv_cli.cli.reference import reference_page
from fastkv_cli.errors import UsageError
from fastkv_cli.field_values import FieldValue, FilledSchema
from fastkv_cli.output.render.extraction import extract, render_json
from fastkv_cli.output.render.report_json import render_failure, report_fields
from fastkv_cli.stats import StateStats
from fastkv_cli.thinking_mode import ThinkingStats

CLONE = Path(__file__).parents[1]


def names_of(value: Any, path: str = "") -> Iterator[str]:
    """The fields of an object, as `a.b` and `a[].b`; lists of plain values are fields."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from names_of(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from names_of(inner, f"{path}[]")
    else:
        yield path


def test_the_page_is_that_of_the_app() -> None:
    """Stale? Run: make reference."""
    there = (CLONE / "docs" / "reference.md").read_text(encoding="utf-8")
    assert there == reference_page()


def test_every_variable_of_ours_is_named() -> None:
    sources = (path.read_text(encoding="utf-8") for path in (CLONE / "fastkv_cli").rglob("*.py"))
    used = {name for source in sources for name in re.findall(r"\bFASTKV_[A-Z_]*[A-Z]\b", source)}
    page = reference_page()
    assert [name for name in sorted(used) if f"`{name}`" not in page] == []


def test_fields_of_an_answer() -> None:
    report = with_quotes(make_report())
    with_state = replace(report, reading=replace(report.reading, state=StateStats()))
    thought = replace(report, thinking=ThinkingStats(3, False, "Hm."))
    filled = replace(report, filled=FilledSchema({}, (FieldValue("total", 1),)))
    found = {
        name
        for each in (report, with_state, thought, filled)
        for name in names_of(report_fields(each))
    }
    assert found == set(ANSWER_FIELDS)


def test_fields_of_a_failure_and_of_an_extract() -> None:
    failure = json.loads(render_failure("ask", "Who?", UsageError("no", "yes")))
    assert set(names_of(failure)) == set(FAILURE_FIELDS)
    extracts = json.loads(render_json([extract(REPORT), extract(NOTES)]))
    found = set(names_of(extracts)) - {"documents[].pages"}  # empty where there are none
    assert found == set(EXTRACT_FIELDS)


def test_fields_of_a_dry_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_models: dict[str, Path],
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = quick_options(tmp_path, monkeypatch, tiny_models)
    assert run(["summarize", "a.txt", "--dry-run", "--json", *options]) == 0
    found = set(names_of(json.loads(capfd.readouterr().out)))
    documents = {name for name in found if name.startswith("documents[].")}
    assert documents == {name for name in ANSWER_FIELDS if name.startswith("documents[].")}
    assert (found - documents) | {"documents"} == set(DRY_RUN_FIELDS)


def test_links_between_pages_lead_somewhere() -> None:
    """Every link in the pages to a file of the clone, and to a heading of a page."""
    pages = [*CLONE.glob("*.md"), *(CLONE / "docs").glob("*.md"), *CLONE.glob("benchmarks/**/*.md")]
    broken = []
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in link:
                continue
            file, _, heading = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists() or (heading and heading not in headings(target)):
                broken.append((page.name, link))
    assert broken == []


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
