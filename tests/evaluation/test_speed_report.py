"""Speed that was measured: ratios reckoned by hand, and the tables, JSON, CSV and picture."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from fastkv_cli import Full, SnapKV, StreamingLLM
from fastkv_cli.evaluation.arms import FULL, Arm
from fastkv_cli.evaluation.speed.speed_report import (
    Sample,
    SpeedReport,
    Spread,
    spread,
    summarise,
)
from fastkv_cli.output.render.speed_plot import speed_png
from fastkv_cli.output.render.speed_tables import (
    HEADINGS,
    as_csv,
    as_json,
    as_markdown,
    as_tables,
)
from fastkv_cli.output.render.table_text import render_text
from fastkv_cli.stats import GenerationStats, KVStats

# By prompt length, round and arm, in seconds.
Times = Mapping[int, Sequence[tuple[float, ...]]]
ARMS = [
    Arm(FULL, FULL, "100%", Full()),
    Arm("snapkv 20%", "snapkv", "20%", SnapKV(retention_rate=0.2)),
    Arm("streamingllm 1000 tokens", "streamingllm", "1000 tokens", StreamingLLM(capacity=1000)),
]


def make_stats(length: int, ttft_s: float, tokens: int, step_s: float) -> GenerationStats:
    return GenerationStats(
        prefill_s=ttft_s,
        ttft_s=ttft_s,
        decode_s=step_s * (tokens - 1) if tokens > 1 else None,
        prompt_tokens=length,
        output_tokens=tokens,
        peak_memory_bytes=round(ttft_s * 2**30),
    )


def make_kv(arm: Arm) -> KVStats:
    share = 1000 if arm.label == FULL else 200
    note = "kept in full: because" if arm.name == "streamingllm" else ""
    return KVStats(
        arm.name, arm.budget, None, None, 1000, share, 2000, 1000 + share, (), note
    )  # fmt: skip


def make_report(
    times: Times,
    tokens: int = 11,
    known_peak: bool = True,
    gpu: str | None = None,
) -> SpeedReport:
    """A report from TTFTs, of each length by round and arm; a token takes a tenth of them."""
    samples = []
    for length, rounds in times.items():
        for seconds in rounds:
            for arm, ttft_s in zip(ARMS, seconds, strict=False):
                stats = make_stats(length, ttft_s, tokens, ttft_s / 10)
                stats = stats if known_peak else replace(stats, peak_memory_bytes=None)
                samples.append(Sample(arm.label, stats, make_kv(arm)))
    count = len(next(iter(times.values()))[0])
    settings = {
        "model": "tiny", "max_tokens": tokens, "repetitions": len(next(iter(times.values()))),
        "dtype": "float32", "device": "cpu", "attention": "sdpa", "decode_weights": "the model's",
        "fastkv": "0.1.0", "torch": "2.13.0", "transformers": "5.17.0",
    }  # fmt: skip
    machine = {
        "date": "2030-01-02T03:04:05+00:00", "python": "3.11", "cpu": "A CPU", "cores": 4,
        "architecture": "x86_64", "instruction_sets": ["avx2"], "memory_bytes": 8 * 2**30,
        "gpu": gpu, "threads": 1,
    }  # fmt: skip
    return summarise(settings, machine, ARMS[:count], samples)


ROUNDS: Times = {1000: [(4.0, 1.0, 8.0), (6.0, 2.0, 6.0), (5.0, 2.5, 2.5)]}
BOTH: Times = {**ROUNDS, 7500: [(40.0, 10.0, 9.0)] * 3}


class TestSummary:
    """Medians, ranges and ratios to full, reckoned by hand."""

    def test_medians_and_ranges(self) -> None:
        full, snapkv, _ = make_report(ROUNDS).rows
        assert full.ttft_s == Spread(5.0, 4.0, 6.0)
        assert snapkv.ttft_s == Spread(2.0, 1.0, 2.5)
        assert snapkv.tpot_ms == pytest.approx((200, 100, 250))
        assert snapkv.decode_tokens_per_s == pytest.approx((5, 4, 10))
        assert snapkv.end_to_end_s == pytest.approx((4, 2, 5))  # ten more tokens take as long
        assert snapkv.peak_memory_bytes == Spread(2 * 2**30, 2**30, 2.5 * 2**30)

    def test_ratios_are_of_the_same_round(self) -> None:
        full, snapkv, other = make_report(ROUNDS).rows
        assert full.ttft_speedup == Spread(1, 1, 1)
        assert snapkv.ttft_speedup == Spread(3.0, 2.0, 4.0)  # 4/1, 6/2, 5/2.5
        assert other.ttft_speedup == Spread(1.0, 0.5, 2.0)  # 4/8, 6/6, 5/2.5
        assert snapkv.decode_speedup == pytest.approx((3, 2, 4))
        assert snapkv.end_to_end_speedup == pytest.approx((3, 2, 4))
        assert snapkv.peak_memory_ratio == pytest.approx((1 / 3, 1 / 4, 1 / 2))

    def test_shares_are_the_method_s(self) -> None:
        full, snapkv, other = make_report(ROUNDS).rows
        assert (full.kept_ratio, full.compute_ratio) == (1, 1)
        assert (snapkv.kept_ratio, snapkv.compute_ratio) == (0.2, 0.6)
        assert (snapkv.note, other.note) == ("", "kept in full: because")

    def test_lengths_stay_apart(self) -> None:
        report = make_report({500: [(1.0, 0.5)], 1000: [(4.0, 1.0)]})
        assert [(row.prompt_tokens, row.arm) for row in report.rows] == [
            (500, "full"), (500, "snapkv 20%"), (1000, "full"), (1000, "snapkv 20%")
        ]  # fmt: skip
        speedups = [row.ttft_speedup.median for row in report.rows if row.ttft_speedup]
        assert speedups == [1, 2, 1, 4]

    def test_one_token_has_no_decoding(self) -> None:
        row = make_report(ROUNDS, tokens=1).rows[1]
        assert (row.tpot_ms, row.decode_tokens_per_s, row.decode_speedup) == (None,) * 3
        assert row.end_to_end_s == row.ttft_s

    def test_what_was_not_measured_once_is_unknown(self) -> None:
        assert spread([1.0, None]) is None
        assert spread([]) is None
        assert spread([3, 1, 2]) == Spread(2, 1, 3)
        row = make_report(ROUNDS, known_peak=False).rows[1]
        assert (row.peak_memory_bytes, row.peak_memory_ratio) == (None, None)

    def test_bytes_are_whole(self) -> None:
        found = spread([1, 2])
        assert found is not None
        assert isinstance(found.median, int)

    def test_half_range_is_a_share_of_the_median(self) -> None:
        assert Spread(5.0, 4.0, 6.0).half_range == 0.2


class TestForms:
    """Tables, Markdown, CSV, JSON."""

    def table(self, report: SpeedReport) -> list[str]:
        return render_text(*as_tables(report)).splitlines()

    def test_a_table_for_each_length(self) -> None:
        lines = self.table(make_report(BOTH))
        assert lines[0] == "tiny: every run generates 11 tokens; medians of 3 runs"
        assert [line for line in lines if line.startswith("prompt of")] == [
            "prompt of 1,000 tokens", "prompt of 7,500 tokens"
        ]  # fmt: skip
        snapkv = next(line for line in lines if line.startswith("snapkv"))
        figures = "2.00 ±38% 3.00 200 ±38% 3.00 5.00 4.00 3.00 2,048 33% 20% 60%"
        assert snapkv.split()[2:] == figures.split()
        assert "streamingllm 1000 tokens, prompt of 1,000 tokens: kept in full: because" in lines

    def test_it_fits_100_columns(self) -> None:
        wide = [(44.44, 33.33, 22.22), (88.88, 11.11, 99.99), (55.55, 66.66, 77.77)]
        lines = self.table(make_report({131_072: wide, 1000: wide}, gpu="A GPU of some name"))
        assert max(map(len, lines)) <= 100
        assert not any("…" in line for line in lines)

    def test_unknowns_are_dashes(self) -> None:
        lines = self.table(make_report(ROUNDS, tokens=1, known_peak=False))
        snapkv = next(line for line in lines if line.startswith("snapkv"))
        figures = "2.00 ±38% 3.00 – – – 2.00 3.00 – – 20% 60%"
        assert snapkv.split()[2:] == figures.split()

    def test_one_run_has_no_range(self) -> None:
        lines = self.table(make_report({1000: [(4.0, 1.0)]}))
        assert not any("±" in line for line in lines if line.startswith(("full", "snapkv")))
        assert lines[0].endswith("medians of 1 run")

    def test_markdown_is_one_table(self) -> None:
        text = as_markdown(make_report(BOTH))
        table, *below = text.split("\n\n")
        rows = [line.strip("|").split("|") for line in table.splitlines()]
        assert {len(row) for row in rows} == {3 + len(HEADINGS)}
        assert len(rows) == 2 + 6
        assert [cell.strip() for cell in rows[3][:5]] == [
            "1,000", "snapkv", "20%", "2.00 ±38%", "3.00"
        ]  # fmt: skip
        assert set("".join(rows[1])) == set(" :-")
        assert any("A CPU" in paragraph for paragraph in below)

    def test_csv_has_a_line_for_each_row(self) -> None:
        report = make_report(BOTH, known_peak=False)
        rows = list(csv.DictReader(io.StringIO(as_csv(report))))
        assert [(row["prompt_tokens"], row["name"]) for row in rows] == [
            (length, arm.name) for length in ("1000", "7500") for arm in ARMS
        ]
        assert (rows[1]["ttft_s"], rows[1]["ttft_s_low"], rows[1]["ttft_s_high"]) == (
            "2.0", "1.0", "2.5"
        )  # fmt: skip
        assert (rows[1]["ttft_speedup"], rows[1]["runs"], rows[1]["kept_bytes"]) == (
            "3.0", "3", "200"
        )  # fmt: skip
        assert {rows[1][f"peak_memory_bytes{end}"] for end in ("", "_low", "_high")} == {""}
        assert "samples" not in rows[0]

    def test_json_has_every_sample(self) -> None:
        found = json.loads(as_json(make_report(ROUNDS)))
        assert found["schema"] == "fastkv-bench/1"
        [prompt] = found["prompts"]
        assert prompt["prompt_tokens"] == 1000
        snapkv = prompt["methods"][1]
        assert [sample["ttft_s"] for sample in snapkv["samples"]] == [1.0, 2.0, 2.5]
        assert [sample["tpot_ms"] for sample in snapkv["samples"]] == [100.0, 200.0, 250.0]
        assert snapkv["ttft_speedup"] == {"median": 3.0, "low": 2.0, "high": 4.0}
        assert (snapkv["kept_ratio"], snapkv["compute_ratio"]) == (0.2, 0.6)

    def test_json_has_null_for_unknowns(self) -> None:
        report = make_report(ROUNDS, tokens=1, known_peak=False)
        row = json.loads(as_json(report))["prompts"][0]["methods"][1]
        names = ("tpot_ms", "decode_tokens_per_s", "decode_speedup", "peak_memory_bytes")
        assert [row[name] for name in names] == [None] * 4
        assert row["samples"][0]["tpot_ms"] is None


class TestPicture:
    """A PNG that can be opened, with as much in it as was measured."""

    def size(self, report: SpeedReport) -> tuple[int, int]:
        png = speed_png(report)
        assert png.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", png[16:24])
        return width, height

    def test_lines_and_bars(self) -> None:
        lines = self.size(make_report(BOTH))
        bars = self.size(make_report(ROUNDS))
        assert lines[0] == bars[0] == 1500
        assert lines[1] > bars[1]

    def test_without_decoding_there_is_one_panel(self) -> None:
        assert self.size(make_report(ROUNDS, tokens=1))[0] == 900
