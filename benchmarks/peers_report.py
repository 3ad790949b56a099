"""Report the results of peers.py as tables and JSON, with the targets reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

BUSY = 0.05  # if other processes use more than this share of the cores, the figures mean little
TTFT, DECODE, MEMORY = "ttft_s", "decode_tokens_per_s", "peak_memory_bytes"


@dataclass(frozen=True, slots=True)
class Row:
    """A setting on prompts of one length; `rounds` is "round" or "screening"."""

    length: int
    peer: str
    setting: str
    rounds: str
    samples: list[dict[str, Any]]

    def values(self, measure: str) -> list[float]:
        """The measured values, in the order of the rounds."""
        return [sample[measure] for sample in self.samples]

    def median(self, measure: str) -> float:
        """The median of the values."""
        return median(self.values(measure))


@dataclass(frozen=True, slots=True)
class Target:
    """By how much a setting of fastkv should beat a peer, for each prompt length."""

    measure: str
    peer: str
    setting: str
    goals: dict[int, float]

    @property
    def text(self) -> str:
        """What is divided by what."""
        ours = f"fastkv {self.setting}"
        names = [self.peer, ours] if self.measure == TTFT else [ours, self.peer]
        return f"{_NAMES[self.measure]}, {' ÷ '.join(names)}"

    def ratio(self, rows: Sequence[Row]) -> float | None:
        """The ratio to the peer's best, in rows of one length; None if either was not measured."""
        ours = [row.median(self.measure) for row in rows if row.setting == self.setting]
        theirs = [row.median(self.measure) for row in rows if row.peer == self.peer]
        if not ours or not theirs:
            return None
        if self.measure == TTFT:
            return min(theirs) / ours[0]
        return ours[0] / (max(theirs) if self.measure == DECODE else min(theirs))

    def is_reached(self, ratio: float, goal: float) -> bool:
        """For memory less is better, for the others more."""
        return ratio <= goal if self.measure == MEMORY else ratio >= goal


def _by_length(*goals: float) -> dict[int, float]:
    return dict(zip((1000, 4000, 7500), goals, strict=True))


_NAMES = {TTFT: "TTFT", DECODE: "decode speed", MEMORY: "peak memory"}
TARGETS = (
    Target(TTFT, "openvino", "default", _by_length(1.4, 1.9, 2.5)),
    Target(TTFT, "openvino", "fast", _by_length(1.7, 2.4, 3.2)),
    Target(TTFT, "llama", "default", _by_length(2.8, 7, 14)),
    Target(TTFT, "transformers", "default", _by_length(2.3, 4, 6)),
    Target(DECODE, "openvino", "default", _by_length(1.1, 1.7, 1.9)),
    Target(DECODE, "llama", "default", _by_length(1.1, 1.7, 1.9)),
    Target(MEMORY, "transformers", "default", _by_length(1.0, 0.9, 0.7)),
)


def report(rows: Sequence[Row]) -> dict[str, Any]:
    """Print the tables to stderr, and return everything for the JSON."""
    console = Console(stderr=True, width=120)
    reached = []
    for length in sorted({row.length for row in rows}):
        here = [row for row in rows if row.length == length]
        console.print(_table(length, here))
        for target in TARGETS:
            ratio, goal = target.ratio(here), target.goals.get(length)
            if ratio is not None and goal is not None:
                outcome = {"ratio": ratio, "goal": goal, "reached": target.is_reached(ratio, goal)}
                reached.append({"length": length, "target": target.text, **outcome})
    if reached:
        console.print(_targets_table(reached))
    busiest = max(share for row in rows for share in row.values("others_cpu_share"))
    if busiest > BUSY:
        console.print(
            f"Other processes took up to {busiest:.0%} of the cores: measure again without them. "
            "Threads that spin while they wait lose far more by it than others."
        )
    return {
        "most_others_cpu_share": busiest,
        "targets": reached,
        "rows": [_row_json(row) for row in rows],
    }


def _row_json(row: Row) -> dict[str, Any]:
    """A row with its medians, and its first few tokens: enough to see which settings agree."""
    samples = [
        {**sample, "token_ids": " ".join(map(str, sample["token_ids"][:8]))}
        for sample in row.samples
    ]
    medians = {measure: row.median(measure) for measure in _NAMES}
    return {**asdict(row), **medians, "samples": samples}


def _table(length: int, rows: Sequence[Row]) -> Table:
    """The rows of a length, and the TTFT of each relative to fastkv's."""
    table = Table(title=f"{length:,} tokens")
    for column in ("peer", "setting", "runs"):
        table.add_column(column, no_wrap=True)
    for column in ("TTFT s", "÷ default", "÷ fast", "tokens/s", "peak MB", "KV MB"):
        table.add_column(column, justify="right", no_wrap=True)
    ours = {row.setting: row.median(TTFT) for row in rows if row.peer == "fastkv"}
    for row in rows:
        seconds, kept = row.values(TTFT), row.samples[0]["kept_bytes"]
        ratios = [
            f"{row.median(TTFT) / ours[name]:.2f}" if name in ours else "–"
            for name in ("default", "fast")
        ]
        table.add_row(
            row.peer,
            row.setting,
            f"{len(row.samples)}" + (" screening" if row.rounds == "screening" else ""),
            f"{median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})",
            *ratios,
            f"{row.median(DECODE):.1f}",
            f"{row.median(MEMORY) / 1e6:,.0f}",
            "–" if kept is None else f"{kept / 1e6:.1f}",
        )
    return table


def _targets_table(reached: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Targets")
    for column in ("tokens", "target", "measured", "goal", "reached"):
        table.add_column(column, justify="left" if column == "target" else "right")
    for row in reached:
        is_most = _NAMES[MEMORY] in row["target"]
        table.add_row(
            f"{row['length']:,}",
            row["target"],
            f"{row['ratio']:.2f}",
            f"{'≤' if is_most else '≥'} {row['goal']:g}",
            "yes" if row["reached"] else "no",
        )
    return table
