"""The pages of eval and bench: every figure of their tables, drawn to scale."""

from __future__ import annotations

from dataclasses import replace

import test_report
import test_speed_report

from fastkv_cli.output.render import quality_tables, speed_tables
from fastkv_cli.output.render.measurement_page import render_evaluation, render_speed


def test_evaluation_shows_rows_intervals_and_needles() -> None:
    right = {
        label: [score] * 30
        for label, score in zip(test_report.LABELS, (1.0, 1.0, 0.5), strict=False)
    }
    report = test_report.make_report(right)
    report = replace(report, settings={"model": "<b>tiny</b>", "samples": 5, "torch": "2.13.0"})
    page = render_evaluation(report)
    for row in report.rows:
        for cell in quality_tables.cells(row):
            assert f">{cell}</t" in page
    assert "&lt;b&gt;tiny&lt;/b&gt;" in page
    assert "<b>tiny" not in page
    assert "torch 2.13.0" in page
    assert "Significantly different from full: snapkv 512 tokens." in page
    assert "needle, 20 questions" in page
    assert page.count("<caption>") == 3
    assert 'class="n2">50%' in page
    assert page.count('width="500.0"') == 3  # half of full's, over all questions and by suite


def test_speed_shows_every_prompt() -> None:
    report = test_speed_report.make_report(test_speed_report.BOTH)
    page = render_speed(report)
    for row in report.rows:
        for cell in speed_tables.cells(row):
            assert f">{cell}</t" in page
    assert "Prompt of 1,000 tokens" in page
    assert "Prompt of 7,500 tokens" in page
    assert "kept in full: because" in page
    assert "A CPU" in page
    # 2 of 8 seconds, from 1 to 2.5, where full takes 5
    assert 'width="250.0"' in page
    assert 'd="M125.0 10H312.5"' in page
    assert 'd="M625.0 0V20"' in page


def test_what_was_not_measured_is_not_drawn() -> None:
    report = test_speed_report.make_report(test_speed_report.ROUNDS)
    unknown = replace(report, rows=tuple(replace(row, ttft_s=None) for row in report.rows))
    assert "<svg" not in render_speed(unknown)
