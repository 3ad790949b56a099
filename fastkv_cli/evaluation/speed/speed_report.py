"""The results of a speed test: medians, spreads, and ratios to full. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from ...stats import GenerationStats, KVStats
from ..arms import FULL, Arm


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run of an arm on a prompt."""

    arm: str
    stats: GenerationStats
    kv: KVStats


class Spread(NamedTuple):
    """Median, minimum and maximum of some measurements."""

    median: float
    low: float
    high: float

    @property
    def half_range(self) -> float:
        """Half the range, as a share of the median."""
        return (self.high - self.low) / (2 * self.median) if self.median else 0.0


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One method on one prompt, over all rounds; None if not measured.

    Attributes:
        prompt_tokens: tokens of the prompt.
        arm: the arm's label.
        name: of the method or preset.
        budget: as users write it.
        output_tokens: tokens generated per run.
        ttft_s: seconds to the first token.
        tpot_ms: milliseconds per token after the first.
        decode_tokens_per_s: the same as a speed.
        end_to_end_s: seconds to the last token.
        peak_memory_bytes: of the GPU if one is used, else of the process.
        ttft_speedup: full's TTFT divided by the method's in the same round; above 1 is faster.
        decode_speedup: the same for TPOT.
        end_to_end_speedup: the same for the seconds to the last token.
        peak_memory_ratio: the method's peak divided by full's in the same round.
        kept_bytes: measured bytes of keys and values right after prefill.
        full_bytes: predicted bytes of the full KV cache.
        compute_ratio: share of full's prefill FLOPs.
        note: why less was compressed than asked for, if so.
        samples: the runs, in order.
    """

    prompt_tokens: int
    arm: str
    name: str
    budget: str
    output_tokens: int
    ttft_s: Spread | None
    tpot_ms: Spread | None
    decode_tokens_per_s: Spread | None
    end_to_end_s: Spread | None
    peak_memory_bytes: Spread | None
    ttft_speedup: Spread | None
    decode_speedup: Spread | None
    end_to_end_speedup: Spread | None
    peak_memory_ratio: Spread | None
    kept_bytes: int
    full_bytes: int
    compute_ratio: float
    note: str
    samples: tuple[GenerationStats, ...]

    @property
    def kept_ratio(self) -> float:
        """Kept bytes as a share of the full cache."""
        return self.kept_bytes / self.full_bytes


@dataclass(frozen=True, slots=True)
class SpeedReport:
    """All rows, short prompts first, and full first among the methods.

    Attributes:
        settings: the settings of the run, and the versions used.
        machine: date and hardware.
        rows: of every prompt and method.
    """

    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    rows: tuple[SpeedRow, ...]

    @property
    def by_length(self) -> dict[int, list[SpeedRow]]:
        lengths = dict.fromkeys(row.prompt_tokens for row in self.rows)
        return {
            length: [row for row in self.rows if row.prompt_tokens == length] for length in lengths
        }


_Figure = Callable[[GenerationStats], float | None]


def summarise(
    settings: Mapping[str, Any],
    machine: Mapping[str, Any],
    arms: Sequence[Arm],
    samples: Sequence[Sample],
) -> SpeedReport:
    """Summarize the runs; the n-th of an arm on a prompt is compared with full's n-th."""
    runs: dict[tuple[int, str], list[Sample]] = {}
    for sample in samples:
        runs.setdefault((sample.stats.prompt_tokens, sample.arm), []).append(sample)
    lengths = dict.fromkeys(length for length, _ in runs)
    rows = [
        _row(length, arm, runs[length, arm.label], runs[length, FULL])
        for length in lengths
        for arm in arms
    ]
    return SpeedReport(settings, machine, tuple(rows))


def spread(values: Sequence[float | None]) -> Spread | None:
    """Median, minimum and maximum; None unless all were measured."""
    measured = [value for value in values if value is not None]
    if not measured or len(measured) < len(values):
        return None
    middle = median(measured)
    is_whole = all(isinstance(value, int) for value in measured)  # of byte counts
    return Spread(round(middle) if is_whole else middle, min(measured), max(measured))


def _row(length: int, arm: Arm, mine: Sequence[Sample], full: Sequence[Sample]) -> SpeedRow:
    own, baseline = [one.stats for one in mine], [one.stats for one in full]

    def over_rounds(figure: _Figure) -> Spread | None:
        return spread([figure(stats) for stats in own])

    def of_full(figure: _Figure, *, inverted: bool = False) -> Spread | None:
        pairs = [(figure(a), figure(b)) for a, b in zip(own, baseline, strict=True)]
        return spread([_ratio(b, a) if inverted else _ratio(a, b) for a, b in pairs])

    kv = mine[0].kv  # the same in every run: nothing is sampled
    return SpeedRow(
        prompt_tokens=length,
        arm=arm.label,
        name=arm.name,
        budget=arm.budget,
        output_tokens=own[0].output_tokens,
        ttft_s=over_rounds(lambda stats: stats.ttft_s),
        tpot_ms=over_rounds(lambda stats: stats.tpot_ms),
        decode_tokens_per_s=over_rounds(lambda stats: stats.decode_tokens_per_s),
        end_to_end_s=over_rounds(lambda stats: stats.end_to_end_s),
        peak_memory_bytes=over_rounds(lambda stats: stats.peak_memory_bytes),
        ttft_speedup=of_full(lambda stats: stats.ttft_s, inverted=True),
        decode_speedup=of_full(lambda stats: stats.tpot_ms, inverted=True),
        end_to_end_speedup=of_full(lambda stats: stats.end_to_end_s, inverted=True),
        peak_memory_ratio=of_full(lambda stats: stats.peak_memory_bytes),
        kept_bytes=kv.kept_bytes,
        full_bytes=kv.full_bytes,
        compute_ratio=kv.compute_ratio,
        note=kv.note,
        samples=tuple(own),
    )


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or not below else above / below
