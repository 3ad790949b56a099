"""What an answer cost, as shapes of a report page: the KV cache by layer, and time. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ...stats import KVStats, RunReport
from .answer_tables import format_seconds

HEIGHT = 100  # of the layers' chart; a layer is 10 wide, with a gap of 2
_STEP, _GAP = 10, 2


@dataclass(frozen=True, slots=True)
class LayerChart:
    """Bars for the tokens that each layer saw and kept.

    Attributes:
        width: of the drawing.
        seen: an SVG path.
        kept: an SVG path, drawn over it.
        tsp: the place of the TSP layer's right edge; None without one.
        rows: layer, tokens seen, tokens kept.
        most: tokens of the highest bar.
    """

    width: int
    seen: str
    kept: str
    tsp: int | None
    rows: tuple[tuple[int, int, int], ...]
    most: int


def draw_layers(kv: KVStats) -> LayerChart:
    """The chart of a KV cache, layer by layer."""
    most = max(layer.tokens_seen for layer in kv.layers)
    rows = tuple(
        (number, layer.tokens_seen, layer.tokens_kept) for number, layer in enumerate(kv.layers)
    )
    seen = "".join(_bar(number, tokens / most) for number, tokens, _ in rows)
    kept = "".join(_bar(number, tokens / most) for number, _, tokens in rows)
    tsp = None if kv.tsp_layer is None else (kv.tsp_layer + 1) * _STEP - _GAP // 2
    return LayerChart(len(rows) * _STEP - _GAP, seen, kept, tsp, rows, most)


def _bar(number: int, share: float) -> str:
    height = max(round(share * HEIGHT), 1)
    left, right = number * _STEP, (number + 1) * _STEP - _GAP
    return f"M{left} {HEIGHT}V{HEIGHT - height}H{right}V{HEIGHT}z"


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """One part of the time to an answer.

    Attributes:
        name: what was done; also the name of its colour, its first word.
        seconds: in words.
        left: where its bar begins, 0 to 1000.
        width: of its bar.
    """

    name: str
    seconds: str
    left: float
    width: float


def draw_times(report: RunReport) -> tuple[TimeSpan, ...]:
    """The parts of the time from the start of prefill to the end of the answer, in order."""
    stats, parts_s = report.generation, report.reading.parts_s
    times = [
        ("parts", parts_s),
        ("prefill", stats.prefill_s),
        ("first token", stats.ttft_s - stats.prefill_s),
        ("decode", stats.decode_s),
    ]
    known = [(name, value) for name, value in times if value is not None]
    scale = 1000 / (sum(value for _, value in known) or 1.0)
    spans, left = [], 0.0
    for name, value in known:
        width = value * scale
        spans.append(TimeSpan(name, format_seconds(value), round(left, 1), round(width, 1)))
        left += width
    return tuple(spans)
