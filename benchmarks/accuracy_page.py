"""Write docs/accuracy.md and its plots from benchmarks/results/.

make accuracy    # measures everything again (more than an hour on 2 cores), then runs this
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastkv_cli.engine.tuning import load_measured
from fastkv_cli.evaluation.quality.quality_report import Row
from fastkv_cli.evaluation.quality.scoring import Interval
from fastkv_cli.output.render.heatmap import heatmap_png
from fastkv_cli.output.render.quality_tables import as_markdown, percent

CLONE = Path(__file__).resolve().parents[1]
RESULTS = CLONE / "benchmarks" / "results"
DOCS = CLONE / "docs"
# Targets of the presets: share of full's needle and qa answers, of its prefill compute, and of its
# KV bytes.
TARGETS = {"balanced": (0.95, 0.75, 0.25), "fast": (0.80, 0.60, 0.20)}


def main() -> None:
    accuracy = json.loads((RESULTS / "accuracy.json").read_text(encoding="utf-8"))
    rivals = json.loads((RESULTS / "rivals.json").read_text(encoding="utf-8"))
    selection = json.loads((RESULTS / "selection.json").read_text(encoding="utf-8"))
    calibration = load_measured("calibration", accuracy["settings"]["revision"])
    if calibration is None:
        raise SystemExit("the embedded model was not calibrated: fastkv calibrate")
    draw_frontier(rivals["methods"], DOCS / "frontier.png")
    (DOCS / "needles.png").write_bytes(heatmap_png(places(accuracy["needles"])))
    parts = [
        introduction(accuracy, rivals),
        targets(accuracy),
        *(suite(name, rows) for name, rows in accuracy["suites"].items()),
        needles(),
        frontier(rivals),
        *(suite(name, rows) for name, rows in rivals["suites"].items()),
        selection_part(selection),
        calibration_part(calibration),
        gemma_part(json.loads((RESULTS / "gemma.json").read_text(encoding="utf-8"))),
    ]
    (DOCS / "accuracy.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def introduction(accuracy: dict[str, Any], rivals: dict[str, Any]) -> str:
    settings = accuracy["settings"]
    lengths, fewer = (
        ", ".join(f"{length:,}" for length in one["settings"]["lengths"])
        for one in (accuracy, rivals)
    )
    return f"""# Does it still find the answer?

Written by `make accuracy`, which measures everything here anew; do not edit. {settings["model"]} \
(revision {settings["revision"]}) in {settings["dtype"]} on {settings["device"]}, fastkv \
{settings["fastkv"]}, torch {settings["torch"]}, transformers {settings["transformers"]}, seed \
{settings["seed"]}.

{len(accuracy["questions"])} needle and qa questions, {settings["samples"]} for each of the two \
and each prompt length ({lengths} tokens), and {len(rivals["questions"])} of all three suites \
({fewer} tokens) for the table with every method; the same for all methods of a table, answered \
greedily with at most 32 tokens:

- **needle**: a sentence with a five-digit number, hidden in a novel at five depths.
- **ruler**: four such sentences of which one is asked for; two numbers under one name, both asked \
for; a number that one name takes over from another. Sized for a small model.
- **qa**: 178 questions with verbatim answers on a novel, a standard and an RFC \
(fastkv_cli/evaluation/data/), each put to a stretch of its document.

An answer is right as far as it contains what was asked for (NFKC, lower case, white space \
collapsed). *of full* is the accuracy over the full cache's, on the same questions; *agree* how \
often the answer is the full one, token for token; *KL* the divergence of the first token's \
distribution from the full one's, in nats; *TTFT* the time to first token over full's, three \
rounds of one prompt of the middle length, side by side (a direction on a noisy machine); \
*compute* the prefill's floating-point operations without those of the scoring; *kept* the bytes \
of the KV cache. Brackets hold 95% intervals: Wilson's, and for *of full* a paired bootstrap."""


def targets(accuracy: dict[str, Any]) -> str:
    lines = [
        "## Presets against their targets",
        f"Over the {len(accuracy['questions'])} needle and qa questions.",
        "| preset | setting | of full's answers | target | compute | target | KV bytes | target |",
        "|---|---|---|---|---|---|---|---|",
    ]
    verdicts = []
    for row in accuracy["methods"]:
        preset = row["name"]
        if preset not in {"fast", "balanced", "quality"}:
            continue
        measured = interval(row["of_full"])
        want = TARGETS.get(preset)
        goals = [f"{share:.0%}" for share in want] if want else ["–"] * 3
        lines.append(
            f"| {preset} | {accuracy['settings']['presets'][preset]} | {percent(measured)} "
            f"| {goals[0]} | {row['compute_ratio']:.0%} | {goals[1]} "
            f"| {row['kept_ratio']:.1%} | {goals[2]} |"
        )
        if want:
            verdicts.append(verdict(preset, want, measured, row))
    return "\n".join([lines[0], "", lines[1], "", *lines[2:], "", *verdicts])


def verdict(
    preset: str, want: tuple[float, float, float], measured: Interval, row: dict[str, Any]
) -> str:
    """Whether a preset reaches its targets, and by how much it misses them."""
    missed = []
    if measured.value < want[0]:
        missed.append(f"{100 * (want[0] - measured.value):.1f} points of full's answers short")
    if row["compute_ratio"] > want[1] + 0.005:
        missed.append(f"{100 * (row['compute_ratio'] - want[1]):.1f} points of compute over")
    if row["kept_ratio"] > want[2] + 0.005:
        missed.append(f"{100 * (row['kept_ratio'] - want[2]):.1f} points of KV bytes over")
    sure = " (its interval reaches below the target)" if measured.low < want[0] else ""
    if not missed:
        return f"- `{preset}` reaches its targets{sure}."
    return f"- `{preset}` misses: {', '.join(missed)}."


def frontier(rivals: dict[str, Any]) -> str:
    return "\n".join(
        [
            "## The whole frontier: every method",
            "",
            "![accuracy against compute and against bytes](frontier.png)",
            "",
            "Ours and full in green; bars are 95% intervals.",
            "",
            f"{len(rivals['questions'])} questions of all suites:",
            "",
            as_markdown(rows_of(rivals["methods"])),
        ]
    )


def suite(name: str, rows: list[dict[str, Any]]) -> str:
    return f"### {name}, {rows[0]['count']} questions\n\n{as_markdown(rows_of(rows))}"


def places(needles: dict[str, Any]) -> dict[str, dict[tuple[int, float], float]]:
    """The share found at each length and depth, by arm."""
    return {
        arm: {(one["length"], one["depth"]): one["accuracy"] for one in found}
        for arm, found in needles.items()
    }


def needles() -> str:
    return "## Needles by depth and length\n\n![needles found](needles.png)"


def selection_part(selection: dict[str, Any]) -> str:
    """Every change to the selection that was tried, including those that did not help."""
    by_suite = {"all": selection["methods"], **selection["suites"]}
    head = ("changes to FastKV", *by_suite, "agree", "KL")
    lines = [head, ("---",) * len(head)]
    for at, row in enumerate(selection["methods"]):
        scores = [percent(interval(rows[at]["of_full"])) for rows in by_suite.values()]
        lines.append(
            (row["name"], *scores, percent(interval(row["agreement"])), f"{row['kl']:.3f}")
        )
    return "\n".join(
        [
            "## Which changes to the selection help",
            "",
            f"Each alone, four together, and those without each, on {len(selection['questions'])} "
            f"other questions (seed {selection['settings']['seed']}) of 1,000, 2,000 and 4,000 "
            f"tokens: the share of full's answers, at TSP layer {selection['tsp_layer']}, rate "
            f"{selection['tsp_rate']:g}, budget {selection['retention_rate']:.0%}. "
            "`python benchmarks/selection.py`.",
            "",
            *("| " + " | ".join(line) + " |" for line in lines),
            "",
            "What the table does not settle: with so few questions only large differences are sure "
            "(the pool, the question as the window and the maximum over rows, taken together). The "
            "decayed sum was kept for the log-probabilities of docs/decisions.md and for the "
            "agreement; accuracy alone would not have decided it.",
        ]
    )


def calibration_part(calibration: dict[str, Any]) -> str:
    """The table of `fastkv calibrate`."""
    settings = calibration["settings"]
    rates = sorted({one["tsp_rate"] for one in settings})
    lines = [("TSP layer", *(f"rate {rate:g}" for rate in rates)), ("---",) * (len(rates) + 1)]
    for layer in sorted({one["tsp_layer"] for one in settings}):
        row = sorted(
            (one for one in settings if one["tsp_layer"] == layer), key=lambda one: one["tsp_rate"]
        )
        lines.append(
            (
                str(layer),
                *(
                    f"{one['of_full']:.0%} · {one['distance']:.1%} · {one['compute_ratio']:.0%}"
                    for one in row
                ),
            )
        )
    return "\n".join(
        [
            "## Calibration of the embedded model",
            "",
            f"`fastkv calibrate` on {calibration['questions']} needle and ruler questions: share "
            "of full's answers · distance of the final hidden state (FastKV, eq. 3; over its mean "
            "square) · prefill "
            "compute, with a budget of 25% (or the TSP rate, where that is less).",
            "",
            *("| " + " | ".join(line) + " |" for line in lines),
        ]
    )


def gemma_part(gemma: dict[str, Any]) -> str:
    """Accuracy against compute on a model with sliding windows, by length."""
    lengths = gemma["lengths"]
    counts = ", ".join(f"{count}" for count in gemma["samples"])
    layers = ", ".join(str(layer) for layer in gemma["global_layers"])
    presets = gemma["calibration"]["presets"]
    chosen = "; ".join(
        f"`{name}` TSP layer {preset['tsp_layer']} at rate {preset['tsp_rate']:.0%}, "
        f"{preset['of_full']:.0%} of full's answers for {preset['compute_ratio']:.0%} of its "
        f"compute"
        for name, preset in presets.items()
    )
    rows = [
        "| method, budget 20% | "
        + " | ".join(f"{each['length']:,}: answers · compute · kept · KL" for each in lengths)
        + " |",
        "| --- |" + " --- |" * len(lengths),
    ]
    for number, method in enumerate(lengths[0]["methods"]):
        cells = [_gemma_cell(each["methods"][number]) for each in lengths]
        rows.append(f"| {method['name']} | " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "## A model with sliding windows",
            "",
            f"`make gemma`: Gemma 3 270M, a base model, as Q4_K_M. Only layers {layers} attend to "
            "all tokens; TSP layers are among them, and only their caches are compressed. Needle "
            f"and qa questions in prompts that end with `Answer:`, {counts} of each suite by "
            "length, so single answers decide; KL is the mean of both suites.",
            "",
            *rows,
            "",
            f"`fastkv calibrate`, {gemma['calibration']['questions']} questions: {chosen}.",
        ]
    )


def _gemma_cell(row: dict[str, Any]) -> str:
    found = row["accuracy"]["value"] * row["count"]
    shares = f"{row['compute_ratio']:.0%} · {row['kept_ratio']:.0%} · {row['kl']:.3f}"
    return f"{found:.0f} of {row['count']} · {shares}"


def rows_of(figures: list[dict[str, Any]]) -> list[Row]:
    """Restore rows from their JSON."""
    intervals = ("accuracy", "of_full", "agreement")
    return [Row(**{**row, **{name: interval(row[name]) for name in intervals}}) for row in figures]


def interval(figure: dict[str, float | None]) -> Interval:
    return Interval(*(math.nan if value is None else value for value in figure.values()))


def draw_frontier(rows: list[dict[str, Any]], path: Path) -> None:
    """Two panels: accuracy against compute, and against bytes."""
    figure = Figure(figsize=(10, 4.2), layout="constrained", dpi=150)
    panels: tuple[Axes, Axes] = figure.subplots(1, 2, sharey=True)
    for panel, key, label in zip(
        panels,
        ("compute_ratio", "kept_ratio"),
        ("prefill compute, of full", "KV cache bytes, of full"),
        strict=True,
    ):
        by_height = sorted(rows, key=lambda row: row["accuracy"]["value"])
        for at, row in enumerate(by_height):
            ours = row["name"] in {"full", "fast", "balanced", "quality"}
            value, low, high = interval(row["accuracy"])
            panel.errorbar(
                row[key],
                value,
                yerr=np.array([[value - low], [high - value]]),
                fmt="o" if ours else "s",
                color="C2" if ours else "C7",
                ecolor=("C2" if ours else "C7", 0.3),
                elinewidth=2 if ours else 0.6,
                markersize=5,
            )
            to_the_left = at % 2 == 1
            panel.annotate(
                row["name"],
                (row[key], value),
                xytext=(-7 if to_the_left else 7, -2),
                textcoords="offset points",
                ha="right" if to_the_left else "left",
                fontsize=7,
            )
        panel.set_xlim(0, 1.2)
        panel.set_xlabel(label)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("answers found")
    figure.savefig(path)


if __name__ == "__main__":
    main()
