"""Format measured speed as tables, JSON, CSV and Markdown. Pure: nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ...stats import GenerationStats
from .answer_tables import UNKNOWN, format_bytes
from .to_csv import to_csv
from .to_json import to_json

if TYPE_CHECKING:
    from rich.table import Table

    from ...evaluation.speed.speed_report import SpeedReport, SpeedRow, Spread

SCHEMA = "fastkv-bench/1"
HEADINGS = (
    *("TTFT, s", "×", "TPOT, ms", "×", "tok/s", "total, s", "×"),
    *("peak MiB", "of full", "KV", "FLOPs"),
)
_SPREAD = ("median", "low", "high")
_GROUPED = {1, 3, 6, 8}  # columns that belong to the one before
LEGEND = (
    "TTFT: to the first token. TPOT: per token after the first. total: to the last. ±: half of the "
    "range.\n"
    "×: full's time over the method's, median of the rounds: 2 is twice as fast.\n"
    "peak: most memory in use{memory}. KV, FLOPs: cache kept and prefill done, of full's."
)


def as_json(report: SpeedReport) -> str:
    """One JSON object: settings and versions, the machine, and every row and run by prompt."""
    return to_json(
        {
            "schema": SCHEMA,
            "settings": dict(report.settings),
            "machine": dict(report.machine),
            "prompts": [
                {"prompt_tokens": length, "methods": [_row_dict(row) for row in rows]}
                for length, rows in report.by_length.items()
            ],
        },
        indent=1,
    )


def as_csv(report: SpeedReport) -> str:
    """One line for each prompt length and method; what was not measured is empty."""
    return to_csv([_flat(row) for row in report.rows])


def as_markdown(report: SpeedReport) -> str:
    """One table in GitHub's Markdown, its legend, and the machine."""
    heading = ("prompt", "method", "budget", *HEADINGS)
    lines = [
        heading,
        ("--:", ":--", *("--:",) * (len(heading) - 2)),
        *((f"{row.prompt_tokens:,}", row.name, row.budget, *cells(row)) for row in report.rows),
    ]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    below = (paragraph.replace("\n", " ") for paragraph in describe(report))
    return "\n\n".join([table, *below]) + "\n"


def as_tables(report: SpeedReport) -> Iterator[Table | str]:
    """A table for each prompt length, the legend, and the machine."""
    yield _title(report)
    yield ""
    for length, rows in report.by_length.items():
        yield f"prompt of {length:,} tokens"
        yield _table(rows)
        yield ""
    yield from _footnotes(report)


def cells(row: SpeedRow) -> tuple[str, ...]:
    """A row's cells, in the order of `HEADINGS`."""
    peak, share = row.peak_memory_bytes, row.peak_memory_ratio
    speed, total = row.decode_tokens_per_s, row.end_to_end_s
    return (
        _varied(row.ttft_s),
        _times(row.ttft_speedup),
        _varied(row.tpot_ms),
        _times(row.decode_speedup),
        UNKNOWN if speed is None else three_digits(speed.median),
        UNKNOWN if total is None else three_digits(total.median),
        _times(row.end_to_end_speedup),
        UNKNOWN if peak is None else f"{peak.median / 2**20:,.0f}",
        UNKNOWN if share is None else f"{share.median:.0%}",
        f"{row.kept_ratio:.0%}",
        f"{row.compute_ratio:.0%}",
    )


def describe(report: SpeedReport) -> list[str]:
    """What was run; then what the columns mean, notes on rows, and the machine."""
    return [_title(report), *_footnotes(report)]


def _title(report: SpeedReport) -> str:
    settings = report.settings
    return (
        f"{settings['model']}: every run generates {_count(settings['max_tokens'], 'token')}; "
        f"medians of {_count(settings['repetitions'], 'run')}"
    )


def _footnotes(report: SpeedReport) -> Iterator[str]:
    on_gpu = report.machine["gpu"] is not None
    yield LEGEND.format(memory="" if on_gpu else ", including the model")
    for row in report.rows:
        if row.note:
            yield f"{row.arm}, prompt of {row.prompt_tokens:,} tokens: {row.note}"
    yield describe_machine(report.settings, report.machine)


def describe_machine(settings: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """The hardware and software of a measurement, as text."""
    memory = machine["memory_bytes"]
    parts = [
        machine["gpu"],
        f"{machine['cpu'] or machine['architecture']}, {_count(machine['cores'], 'core')}, "
        f"{_count(machine['threads'], 'thread')}",
        None if memory is None else format_bytes(memory),
        " ".join(machine["instruction_sets"]),
    ]
    return (
        f"{machine['date'][:10]} on {'; '.join(filter(None, parts))}.\n"
        f"{settings['dtype']} on {settings['device']}, attention {settings['attention']}, "
        f"decoding from {settings['decode_weights']}.\n"
        f"fastkv {settings['fastkv']}, Python {machine['python']}, torch {settings['torch']}, "
        f"transformers {settings['transformers']}."
    )


def _count(number: int | None, noun: str) -> str:
    return f"{UNKNOWN} {noun}s" if number is None else f"{number:,} {noun}{'s' * (number != 1)}"


def _table(rows: Sequence[SpeedRow]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("method")
    for at, heading in enumerate(HEADINGS):
        table.add_column(_apart(at, heading), justify="right", no_wrap=True)
    for row in rows:
        label = row.arm.removesuffix(" tokens")  # 512 and 20% need no unit
        table.add_row(label, *(_apart(at, cell) for at, cell in enumerate(cells(row))))
    return table


def _apart(at: int, text: str) -> str:
    """Indent a cell, unless it belongs to the column before."""
    return text if at in _GROUPED else f" {text}"


def _varied(figure: Spread | None) -> str:
    """The median, and how much the runs vary."""
    if figure is None:
        return UNKNOWN
    value = three_digits(figure.median)
    return value if figure.low == figure.high else f"{value} ±{figure.half_range:.0%}"


def three_digits(value: float) -> str:
    """Format with three significant digits; larger numbers without decimals."""
    decimals = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def _times(speedup: Spread | None) -> str:
    return UNKNOWN if speedup is None else f"{speedup.median:.2f}"


def _row_dict(row: SpeedRow) -> dict[str, Any]:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    del values["prompt_tokens"]
    samples = values.pop("samples")
    plain = {name: _plain(value) for name, value in values.items()}
    return plain | {
        "kept_ratio": _rounded(row.kept_ratio),
        "samples": [_sample_dict(stats) for stats in samples],
    }


def _sample_dict(stats: GenerationStats) -> dict[str, Any]:
    figures = {
        "ttft_s": stats.ttft_s,
        "tpot_ms": stats.tpot_ms,
        "decode_tokens_per_s": stats.decode_tokens_per_s,
        "end_to_end_s": stats.end_to_end_s,
        "peak_memory_bytes": stats.peak_memory_bytes,
        "output_tokens": stats.output_tokens,
    }
    return {name: _rounded(value) for name, value in figures.items()}


def _flat(row: SpeedRow) -> dict[str, Any]:
    flat: dict[str, Any] = {"prompt_tokens": row.prompt_tokens, "runs": len(row.samples)}
    for field in fields(row):
        value = getattr(row, field.name)
        if "Spread" in str(field.type):
            found = _plain(value) or dict.fromkeys(_SPREAD)
            flat[field.name] = found["median"]
            flat |= {f"{field.name}_{end}": found[end] for end in ("low", "high")}
        elif field.name != "samples":
            flat[field.name] = _rounded(value)
    return flat | {"kept_ratio": _rounded(row.kept_ratio)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):  # a spread
        return dict(zip(_SPREAD, map(_rounded, value), strict=True))
    return _rounded(value)


def _rounded(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
