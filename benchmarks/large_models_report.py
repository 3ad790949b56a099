"""Medians, ratios and targets of large_models.py, and their table on stderr."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from peers_report import DECODE, MEMORY, TTFT
from rich.console import Console
from rich.table import Table

MEASURES = ("load", "disk", "memory", "ttft", "decode")
_KEYS = {"load": "load_s", "memory": MEMORY, "ttft": TTFT, "decode": DECODE}
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Measure:
    """How a measure is named, shown and compared.

    Attributes:
        name: for the table, with the unit.
        unit: how much of the measured value one of the unit is.
        compared: what the target is about.
        is_floor: whether the target is the least, or else the most.
    """

    name: str
    unit: float
    compared: str
    is_floor: bool = False


_MEASURES = {
    "load": Measure("load from the second time on, s", 1, "seconds"),
    "disk": Measure("written to disk, MiB", _MIB, "÷ the file"),
    "memory": Measure("peak memory, MiB", _MIB, "÷ llama.cpp's"),
    "ttft": Measure("TTFT, s", 1, "llama.cpp's ÷ ours", is_floor=True),
    "decode": Measure("decode, tokens/s", 1, "÷ llama.cpp's", is_floor=True),
}
# Of another length than the default: TTFT of llama.cpp ÷ ours, and of OpenVINO ÷ ours.
LENGTH_TARGETS = {
    ("llama-3.2-1b", 4000): {"ttft": 5.0, "openvino_ttft": 1.8},
    ("llama-3.2-1b", 16_000): {"ttft": 8.0, "openvino_ttft": 2.5},
}
TARGETS = {
    "llama-3.2-1b": {"load": 2.0, "disk": 0.05, "memory": 1.0, "ttft": 3.3, "decode": 1.2},
    "qwen3-4b": {"load": 5.0, "disk": 0.05, "memory": 1.0, "ttft": 3.0, "decode": 1.1},
}


def make_report(
    measured: dict[str, Any], facts: dict[str, Any], measures: list[str]
) -> dict[str, Any]:
    """Add the medians and ratios to the samples.

    Args:
        measured: the samples of `fastkv` and `llama`, fastkv's `first`, and `written_bytes`.
        facts: the report's `geometry`, `type`, `tokens` and `file_bytes`.
        measures: those to report.
    """
    geometry = facts["geometry"]
    targets = TARGETS.get(geometry, {}) | LENGTH_TARGETS.get((geometry, facts["tokens"]), {})
    if facts["type"] != "Q4_K_M":
        targets = {}
    rows = {}
    for measure in measures:
        ours, theirs = (_median(measured[peer], measure) for peer in ("fastkv", "llama"))
        if measure == "disk" and measured["fastkv"]:
            ours = measured["written_bytes"]
        value = _compared(measure, ours, theirs, facts["file_bytes"])
        target = targets.get(measure)
        rows[measure] = {
            "fastkv": ours,
            "llama": theirs,
            "compared": value,
            "target": target,
            "met": None if value is None or target is None else _is_met(measure, value, target),
        }
    for measure in ("ttft", "decode"):
        if measure in rows and measured.get("openvino"):
            rows[measure]["openvino"] = _median(measured["openvino"], measure)
    if (theirs := rows.get("ttft", {}).get("openvino")) and (ours := rows["ttft"]["fastkv"]):
        value, target = theirs / ours, targets.get("openvino_ttft")
        met = None if target is None else value >= target
        rows["ttft"] |= {"openvino_compared": value, "openvino_target": target, "openvino_met": met}
    return {"measures": rows, **measured}


def print_report(report: dict[str, Any]) -> None:
    """Print the table."""
    name = report["geometry"] or "a file"
    title = f"{name}, {report['file_bytes'] / _MIB:,.0f} MiB, {report['tokens']:,} tokens"
    table = Table("", "fastkv", "llama.cpp", "compared", "target", "", title=title)
    for key, row in report["measures"].items():
        measure = _MEASURES[key]
        shown = [_shown(row[peer], measure.unit) for peer in ("fastkv", "llama")]
        sign = "at least" if measure.is_floor else "at most"
        target = "–" if row["target"] is None else f"{sign} {row['target']:g}"
        compared = "–" if row["compared"] is None else f"{row['compared']:.2f} {measure.compared}"
        met = {True: "met", False: "missed", None: ""}[row["met"]]
        table.add_row(measure.name, *shown, compared, target, met)
    console = Console(stderr=True, width=110)
    console.print(table)
    if theirs := report["measures"].get("ttft", {}).get("openvino"):
        row = report["measures"]["ttft"]
        aimed = row["openvino_target"] or "–"
        ratio = row["openvino_compared"]
        console.print(f"OpenVINO's TTFT {theirs:.2f} s, {ratio:.2f} × ours (target {aimed})")
    if first := report.get("first"):
        console.print(f"fastkv's first process loaded in {first['load_s']:.2f} s")


def print_types(rows: list[dict[str, Any]]) -> None:
    """Print the table of `--equal`."""
    table = Table("", "type", "float32: tokens", "difference", "bfloat16: tokens", "difference", "")
    for row in rows:
        figures = [
            figure
            for dtype in ("float32", "bfloat16")
            for figure in (
                f"{row[f'equal_tokens_{dtype}']} of {row['new_tokens']}",
                f"{row[f'difference_{dtype}']:.1e} σ",
            )
        ]
        table.add_row(row["architecture"], row["type"], *figures, "" if row["ok"] else "differs")
    Console(stderr=True, width=110).print(table)


def _median(samples: list[dict[str, Any]], measure: str) -> float | None:
    key = _KEYS.get(measure)
    values = [sample[key] for sample in samples if key in sample]
    return median(values) if values else None


def _compared(
    measure: str, ours: float | None, theirs: float | None, file_bytes: int
) -> float | None:
    if ours is None:
        return None
    if measure == "load":
        return ours
    if measure == "disk":
        return ours / file_bytes
    if theirs is None:
        return None
    return theirs / ours if measure == "ttft" else ours / theirs


def _is_met(measure: str, value: float, target: float) -> bool:
    return value >= target if _MEASURES[measure].is_floor else value <= target


def _shown(value: float | None, unit: float) -> str:
    return "–" if value is None else f"{value / unit:,.{0 if unit > 1 else 2}f}"
