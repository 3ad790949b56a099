"""The report pages of `eval` and `bench`: their tables with intervals and bars drawn. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from . import quality_tables, speed_tables
from .page_template import render_page

if TYPE_CHECKING:
    from ...evaluation.quality.quality_report import EvaluationReport, Row
    from ...evaluation.speed.speed_report import SpeedReport, SpeedRow

_WIDTH = 1000  # of a drawing
_VERSIONS = ("fastkv", "torch", "transformers")
_NEEDLE_LEVELS = 4


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure on a scale from 0 to 1000: its value, its interval, and where full is."""

    value: float
    low: float
    high: float
    full: float


@dataclass(frozen=True, slots=True)
class Line:
    """A method's row: its name and budget, its cells, and its figure drawn; None if unknown."""

    name: str
    budget: str
    cells: tuple[str, ...]
    drawn: Drawn | None


@dataclass(frozen=True, slots=True)
class Table:
    """The methods over some questions, or on one prompt; `drawing` says what is drawn."""

    title: str
    drawing: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Needles:
    """A method's needles: the lengths, and for each depth the scores and their levels, 0 to 4."""

    arm: str
    lengths: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]


def render_evaluation(report: EvaluationReport) -> str:
    """An evaluation as one HTML file."""
    groups = {f"{report.rows[0].count} questions": report.rows}
    if len(report.suites) > 1:
        groups |= {
            f"{name}, {rows[0].count} questions": rows for name, rows in report.suites.items()
        }
    lead, *findings = reversed(quality_tables.verdict(report).splitlines())
    return render_page(
        "measurement.html",
        command="eval",
        title=f"What compression does to answers of {report.settings.get('model', 'a model')}",
        lead=lead,
        findings=findings,
        notes=[],
        tables=[_quality_table(title, rows) for title, rows in groups.items()],
        needles=[_needles(arm, places) for arm, places in report.needles.items() if places],
        facts=list(_facts(report.settings)),
        versions=_versions(report.settings, {}),
        width=_WIDTH,
    )


def render_speed(report: SpeedReport) -> str:
    """A measurement of speed as one HTML file."""
    tables = [
        _speed_table(f"Prompt of {length:,} tokens", rows)
        for length, rows in report.by_length.items()
    ]
    title, *notes, _ = speed_tables.describe(report)  # the machine is among the facts
    return render_page(
        "measurement.html",
        command="bench",
        title=f"Speed of {report.settings.get('model', 'a model')}",
        lead=title,
        findings=[],
        notes=[line for note in notes for line in note.splitlines()],
        tables=tables,
        needles=[],
        facts=list(_facts({**report.settings, **report.machine})),
        versions=_versions(report.settings, report.machine),
        width=_WIDTH,
    )


def _quality_table(title: str, rows: Sequence[Row]) -> Table:
    highs = [row.of_full.high for row in rows if not isnan(row.of_full.high)]
    scale = _WIDTH / max([1.0, *highs])
    lines = [
        Line(
            row.name,
            row.budget,
            quality_tables.cells(row)[2:],
            None
            if isnan(row.of_full.value)
            else Drawn(*(round(figure * scale, 1) for figure in (*row.of_full, 1.0))),
        )
        for row in rows
    ]
    return Table(title, "share of full’s right answers", quality_tables.HEADINGS[2:], tuple(lines))


def _speed_table(title: str, rows: Sequence[SpeedRow]) -> Table:
    slowest = max((row.ttft_s.high for row in rows if row.ttft_s is not None), default=1.0)
    full = next((row.ttft_s.median for row in rows if row.ttft_s is not None), 0.0)
    lines = [
        Line(
            row.name,
            row.budget,
            speed_tables.cells(row),
            None
            if row.ttft_s is None
            else Drawn(*(round(_WIDTH * s / slowest, 1) for s in (*row.ttft_s, full))),
        )
        for row in rows
    ]
    return Table(title, "time to first token", speed_tables.HEADINGS, tuple(lines))


def _needles(arm: str, places: Mapping[tuple[int, float], float]) -> Needles:
    lengths = sorted({length for length, _ in places})
    depths = sorted({depth for _, depth in places})
    rows = []
    for depth in depths:
        scores = [places.get((length, depth)) for length in lengths]
        cells = tuple(
            ("–", 0) if score is None else (f"{score:.0%}", round(score * _NEEDLE_LEVELS))
            for score in scores
        )
        rows.append((f"{depth:.0%}", cells))
    return Needles(arm, tuple(f"{length:,}" for length in lengths), tuple(rows))


def _facts(settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings and machine in words; what is empty is left out."""
    for name, value in settings.items():
        if name in _VERSIONS or value is None or value in ("", [], ()):
            continue
        words = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        yield name.replace("_", " "), words


def _versions(settings: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, str]:
    found = {name: str(settings[name]) for name in _VERSIONS if name in settings}
    return found | ({"Python": str(machine["python"])} if "python" in machine else {})
