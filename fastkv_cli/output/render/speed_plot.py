"""Plot measured speed: TTFT, and decode speed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...config import MethodName
from ...system.isolated import outside_current_folder
from .speed_tables import three_digits

if TYPE_CHECKING:
    from ...evaluation.speed.speed_report import SpeedReport, SpeedRow, Spread

# Okabe and Ito's colours, distinguishable with most kinds of colour blindness.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31")
_MARKERS = "os^Dv"
_FIGURES = (
    ("ttft_s", "time to first token, s", "lower is better"),
    ("decode_tokens_per_s", "decoding, tokens/s", "higher is better"),
)
_LEGEND_COLUMNS = 5


def speed_png(report: SpeedReport) -> bytes:
    """A PNG with lines over the prompt lengths, or bars if there is only one length.

    What was not measured, like decoding when one token was generated, has no panel.
    """
    with outside_current_folder():
        from matplotlib.figure import Figure

    arms = list(dict.fromkeys(row.arm for row in report.rows))
    shown = [one for one in _FIGURES if any(getattr(row, one[0]) for row in report.rows)]
    has_bars = len(report.by_length) == 1
    height = 1.2 + 0.36 * len(arms) if has_bars else 3.9 + 0.25 * -(-len(arms) // _LEGEND_COLUMNS)
    figure = Figure(figsize=(10 if len(shown) > 1 else 6, height), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for panel, (name, label, better) in zip(panels, shown, strict=True):
        panel.set_title(f"{label} ({better})", fontsize=10, loc="left")
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        panel.set_axisbelow(True)
        if has_bars:
            _draw_bars(panel, report.rows, name)
        else:
            _draw_lines(panel, report.rows, arms, name)
    if not has_bars:
        _add_legend(figure)
    figure.suptitle(_title(report), fontsize=10)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _title(report: SpeedReport) -> str:
    settings, lengths = report.settings, list(report.by_length)
    title = f"{settings['model']}, {settings['dtype']} on {settings['device']}"
    if len(lengths) == 1:
        title += f", prompt of {lengths[0]:,} tokens"
    if settings["repetitions"] > 1:
        title += f"\nmedians of {settings['repetitions']:,} runs, and their range"
    return title


def _add_legend(figure: Any) -> None:
    """Add a legend below the panels, its names in rows."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = min(len(labels), _LEGEND_COLUMNS)
    by_column = [at for first in range(columns) for at in range(first, len(labels), columns)]
    figure.legend(
        [handles[at] for at in by_column],
        [labels[at] for at in by_column],
        loc="outside lower center",
        ncols=columns,
        fontsize=8,
        frameon=False,
    )


def _draw_lines(panel: Any, rows: Sequence[SpeedRow], arms: Sequence[str], name: str) -> None:
    """A line for each method, with a band from the fastest to the slowest run."""
    for at, arm in enumerate(arms):
        found: list[tuple[int, Spread]] = [
            (row.prompt_tokens, figure)
            for row in rows
            if row.arm == arm and (figure := getattr(row, name)) is not None
        ]
        lengths = [length for length, _ in found]
        lows, highs = ([getattr(figure, end) for _, figure in found] for end in ("low", "high"))
        panel.fill_between(lengths, lows, highs, color=_colour(arm, at), alpha=0.15, linewidth=0)
        panel.plot(
            lengths,
            [figure.median for _, figure in found],
            label=arm,
            color=_colour(arm, at),
            marker=_MARKERS[at % len(_MARKERS)],
            markersize=4.5,
            linewidth=1.5,
            linestyle="--" if arm == MethodName.FULL else "-",
        )
    panel.set_xlabel("prompt, tokens", fontsize=9)
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panel.set_ylim(bottom=0)
    panel.grid(color="#dddddd", linewidth=0.6)


def _draw_bars(panel: Any, rows: Sequence[SpeedRow], name: str) -> None:
    """A bar for each method, full on top, labelled with its figure."""
    found: list[tuple[int, str, Spread]] = [
        (at, row.arm, figure)
        for at, row in enumerate(rows)
        if (figure := getattr(row, name)) is not None
    ]
    below = [figure.median - figure.low for _, _, figure in found]
    above = [figure.high - figure.median for _, _, figure in found]
    bars = panel.barh(
        [at for at, _, _ in found],
        [figure.median for _, _, figure in found],
        xerr=[below, above] if any(below + above) else None,
        color=[_colour(arm, at) for at, arm, _ in found],
        height=0.7,
        error_kw={"elinewidth": 0.8, "capsize": 2, "ecolor": "#888888"},
    )
    labels = [three_digits(figure.median) for _, _, figure in found]
    panel.bar_label(bars, labels, padding=4, fontsize=8)
    panel.set_yticks(range(len(rows)), [row.arm for row in rows], fontsize=8)
    panel.invert_yaxis()
    panel.margins(x=0.15)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)


def _colour(arm: str, at: int) -> str:
    return "#222222" if arm == MethodName.FULL else _COLOURS[(at - 1) % len(_COLOURS)]
