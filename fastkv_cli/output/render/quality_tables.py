"""Format an evaluation as tables, JSON, CSV and Markdown. Pure: nothing is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...config import Preset
from .to_csv import to_csv
from .to_json import to_json

if TYPE_CHECKING:
    from rich.columns import Columns
    from rich.table import Table

    from ...evaluation.quality.calibration import CalibrationReport
    from ...evaluation.quality.preset_choice import Setting
    from ...evaluation.quality.quality_report import EvaluationReport, Row
    from ...evaluation.quality.scoring import Interval

SCHEMA = "fastkv-eval/1"
HEADINGS = ("method", "budget", "accuracy", "of full", "agree", "KL", "TTFT", "compute", "kept")
_SHADES = "·░▒▓█"


def as_json(report: EvaluationReport) -> str:
    """One JSON object: settings and versions, the rows, the suites, needle scores by position."""
    return to_json(
        {
            "schema": SCHEMA,
            "settings": dict(report.settings),
            "methods": [_row_dict(row) for row in report.rows],
            "suites": {name: [_row_dict(row) for row in rows] for name, rows in _suites(report)},
            "needles": {
                arm: [
                    {"length": length, "depth": depth, "accuracy": round(score, 4)}
                    for (length, depth), score in places.items()
                ]
                for arm, places in report.needles.items()
            },
            "questions": list(report.questions),
            "scores": {arm: list(map(_rounded, scores)) for arm, scores in report.scores.items()},
        },
        indent=1,
    )


def as_csv(report: EvaluationReport) -> str:
    """One line for each method, budget and suite; suite `all` covers every question."""
    rows = [{"suite": "all", **_flat(row)} for row in report.rows]
    rows += [{"suite": name, **_flat(row)} for name, found in _suites(report) for row in found]
    return to_csv(rows)


def as_tables(report: EvaluationReport) -> Iterator[Table | Columns | str]:
    """The table over all questions, one for each suite, the needles, and the conclusion."""
    count = report.rows[0].count
    yield _table(f"{count} questions", report.rows)
    if len(report.suites) > 1:
        for name, rows in _suites(report):
            yield ""
            yield _table(f"{name}, {rows[0].count} questions", rows)
    if any(report.needles.values()):
        yield ""
        yield "needles found, by depth and tokens of the prompt"
        yield _needle_tables(report.needles)
    yield ""
    yield verdict(report)


def verdict(report: EvaluationReport) -> str:
    """Which differences from full are significant, and which methods cannot be told apart."""
    behind = [row.arm for row in report.rows[1:] if row.differs_from_full]
    level = [row.arm for row in report.rows[1:] if not row.differs_from_full]
    lines = ["Brackets hold 95% intervals; 'of full' is paired over the same questions."]
    if behind:
        lines.append(f"Significantly different from full: {', '.join(behind)}.")
    if level:
        lines.append(f"Not distinguishable from full with these questions: {', '.join(level)}.")
    return "\n".join(lines)


def cells(row: Row) -> tuple[str, ...]:
    """A row's cells, in the order of `HEADINGS`."""
    return (
        row.name,
        row.budget,
        percent(row.accuracy),
        percent(row.of_full),
        percent(row.agreement),
        f"{row.kl:.3f}",
        "–" if row.ttft_ratio is None else f"{row.ttft_ratio:.2f}",
        f"{row.compute_ratio:.0%}",
        f"{row.kept_ratio:.0%}",
    )


def as_markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(cells(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def calibration_tables(report: CalibrationReport) -> Iterator[Table | str]:
    """Share of full's answers, distance and compute by layer and rate, and the choices."""
    from rich.table import Table

    settings, presets, tolerance = report.settings, report.presets, report.tolerance
    rates = sorted({one.tsp_rate for one in settings})
    by_place = {(one.tsp_layer, one.tsp_rate): one for one in settings}
    table = Table(
        title="answers of full that are found · distance (eq. 3) · prefill compute",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    table.add_column("TSP layer", justify="right", no_wrap=True)
    for rate in rates:
        table.add_column(f"rate {rate:g}", justify="right", no_wrap=True)
    for layer in sorted({one.tsp_layer for one in settings}):
        row = [by_place.get((layer, rate)) for rate in rates]
        table.add_row(str(layer), *("–" if one is None else _setting(one) for one in row))
    yield table
    for preset, chosen in presets.items():
        place = f"TSP layer {chosen['tsp_layer']}, rate {chosen['tsp_rate']:g}"
        if steps := chosen.get("tsp_steps"):
            place = f"TSP steps {steps.replace(',', ', ')}"
        yield (
            f"{preset}: {place}, budget {chosen['budget']:.0%}, "
            f"{chosen['compute_ratio']:.0%} of the prefill compute"
        )
    if report.coarse:
        yield f"Coarse: {report.coarse}."
    if all(one.of_full == 1 and one.accuracy == 0 for one in settings):
        yield "The full model answered no question correctly: chosen by the distance alone."
    balanced = presets[Preset.BALANCED]
    if balanced["of_full"] < 1 - tolerance or balanced["distance"] > tolerance:
        yield f"No setting stays within {tolerance:.2%} of full; balanced is the nearest."


def _setting(one: Setting) -> str:
    return f"{one.of_full:.0%} · {one.distance:.1%} · {one.compute_ratio:.0%}"


def head_tables(measured: Mapping[str, Any]) -> Iterator[Table | str]:
    """The heads with the highest scores."""
    from rich.table import Table

    scored = [
        (score, layer, head)
        for layer, heads in enumerate(measured["scores"])
        for head, score in enumerate(heads)
    ]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("layer", "head", "share of all scores"):
        table.add_column(heading, justify="right", no_wrap=True)
    for score, layer, head in sorted(scored, reverse=True)[:10]:
        table.add_row(str(layer), str(head), f"{score:.1%}")
    yield f"{measured['right']} of {measured['prompts']} prompts answered correctly and counted."
    if measured["coarse"]:
        yield f"Coarse: {measured['coarse']}."
    yield table


def _table(title: str, rows: Sequence[Row]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for at, heading in enumerate(HEADINGS):
        table.add_column(heading, justify="left" if at < 2 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*cells(row))
    return table


def _needle_tables(needles: Mapping[str, Mapping[tuple[int, float], float]]) -> Columns:
    """A heatmap for each arm: darker where more were found; depth downwards."""
    from rich.columns import Columns

    return Columns([_needle_table(arm, places) for arm, places in needles.items()], padding=(1, 3))


def _needle_table(arm: str, places: Mapping[tuple[int, float], float]) -> Table:
    from rich.table import Table

    lengths = sorted({length for length, _ in places})
    depths = sorted({depth for _, depth in places})
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, show_header=False)
    table.add_column(justify="right", no_wrap=True)
    for _ in lengths:
        table.add_column(justify="right", no_wrap=True)
    heading = Table(box=None, show_header=False, padding=0, pad_edge=False)
    heading.add_row(arm)
    heading.add_row(table)
    table.add_row("", *(f"{length:,}" for length in lengths))
    for depth in depths:
        scores = [places.get((length, depth), math.nan) for length in lengths]
        table.add_row(f"{depth:.0%}", *(_shaded(score) for score in scores))
    return heading


def _shaded(score: float) -> str:
    if math.isnan(score):
        return ""
    return f"{_SHADES[round(score * (len(_SHADES) - 1))] * 2} {score:4.0%}"


def percent(interval: Interval) -> str:
    """A share and its interval, in percent."""
    if math.isnan(interval.value):
        return "–"
    value, low, high = (100 * figure for figure in interval)
    return f"{value:.0f}% [{low:.0f}–{high:.0f}]"


def _suites(report: EvaluationReport) -> Iterator[tuple[str, tuple[Row, ...]]]:
    yield from report.suites.items()


def _row_dict(row: Row) -> dict[str, Any]:
    figures = asdict(row)
    for name in ("accuracy", "of_full", "agreement"):
        figures[name] = dict(
            zip(("value", "low", "high"), map(_rounded, figures[name]), strict=True)
        )
    return {name: _rounded(value) for name, value in figures.items()}


def _flat(row: Row) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in _row_dict(row).items():
        if isinstance(value, dict):
            flat[name] = value["value"]
            flat |= {f"{name}_{end}": value[end] for end in ("low", "high")}
        else:
            flat[name] = value
    return flat


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4)
