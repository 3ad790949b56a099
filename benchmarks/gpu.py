"""A Llama-3.1-8B on one GPU: how fast are FastKV and its rivals at 8k, 32k and 128k tokens?

    python benchmarks/gpu.py [--repetitions 3] [--max-minutes 9] [--output FILE] [--smoke]

Needs one GPU of 80 GB with CUDA, torch, transformers, typer and rich, no network, no checkpoint:
the geometry is Llama-3.1-8B's, the weights are random, which changes what is selected but not its
cost. Batch 1, bfloat16, 10% of the KV cache kept. "balanced-like" is fastkv's own method with TSP
layer 10 and rate 0.2, a plausible calibrated preset. HeadKV's head scores are random, distributed
like those of real heads: few high, many low.

Times are measured by device events; medians, with the methods taking turns. The longest prompts
come first. What the time limit leaves unmeasured is null in the JSON, with the reason, and `runs`
is 0 if only the first, cold run of a cell was measured. FILE is rewritten after every run.
`--smoke` runs everything in seconds with a tiny geometry, on a CPU too. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone

import torch
from speed import (
    Columns,
    Geometry,
    Run,
    gigabytes,
    library_versions,
    measure_run,
    median_seconds,
    medians,
    random_llama,
    random_prompt,
    seconds_left,
    show,
)
from torch import Tensor

from fastkv_cli.config import Attention
from fastkv_cli.engine.kernels.row_blocks import default_chunk_rows
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.measure import is_out_of_memory
from fastkv_cli.engine.methods import (
    FastKV,
    FastKVProbe,
    Full,
    GemFilter,
    HeadKV,
    Method,
    SnapKV,
)
from fastkv_cli.engine.model.decoder import Decoder
from fastkv_cli.engine.model.decoder_opening import open_decoder
from fastkv_cli.engine.model.hardware import choose_kernel

RESULTS = Path(__file__).with_name("results") / "gpu.json"
FULL, PAPER, BALANCED, SNAPKV = "full", "FastKV (paper)", "balanced-like", "SnapKV"
PUBLISHED, AWARE, GEMFILTER = "HeadKV (published)", "HeadKV (GQA-aware)", "GemFilter"
# The question span, as fastkv's own method needs it: 32 tokens, then 16 of a chat template.
QUESTION_FROM, QUESTION_TO = 48, 16
UNMEASURED = "not measured: the time was up"

COLUMNS: Columns = {
    "method": ("method", str),
    "runs": ("runs", str),
    "TTFT s": ("ttft_s", "{:.3f}".format),
    "of matrix rate": ("matrix_share", "{:.0%}".format),
    "TPOT ms": ("tpot_s", lambda seconds: f"{1000 * seconds:.2f}"),
    "tokens/s": ("tokens_per_s", "{:.1f}".format),
    "of bandwidth": ("bandwidth_share", "{:.0%}".format),
    "KV GB": ("kept_bytes", gigabytes),
    "peak GB": ("peak_bytes", gigabytes),
    "problem": ("problem", str),
}


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    geometry: Geometry
    lengths: tuple[int, ...]  # ascending
    steps: int
    matrix: int  # rows and columns
    copied_bytes: int


LLAMA_8B = Size(
    Geometry(
        layers=32,
        hidden=4096,
        heads=32,
        kv_heads=8,
        head_dim=128,
        mlp=14_336,
        vocabulary=128_256,
        max_tokens=131_072 + 64,
    ),
    lengths=(8192, 32_768, 131_072),
    steps=32,
    matrix=8192,
    copied_bytes=4 * 2**30,
)
SMOKE = Size(
    Geometry(
        layers=4,
        hidden=64,
        heads=4,
        kv_heads=2,
        head_dim=16,
        mlp=128,
        vocabulary=256,
        max_tokens=1024,
    ),
    lengths=(512, 640, 768),
    steps=4,
    matrix=256,
    copied_bytes=2**20,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Measured limits of the device, and the minimum that a decode step has to read."""

    flops_per_s: float
    bytes_per_s: float
    weight_bytes: int


@dataclass(slots=True)
class Cell:
    """One method at one length; the first run is cold."""

    name: str
    method: Method
    tokens: int
    runs: list[Run] = field(default_factory=list)
    cost_s: float = 0.0  # of the last run
    problem: str | None = None

    def measure(
        self, decoder: Decoder, prompt_ids: Tensor, runner: LayerRunner, steps: int
    ) -> None:
        """Measure one more run; a run that fails ends this cell, not the others."""
        started = time.monotonic()
        question = slice(self.tokens - QUESTION_FROM, self.tokens - QUESTION_TO)
        try:
            self.runs.append(
                measure_run(
                    decoder, prompt_ids, self.method, runner, steps=steps, question=question
                )
            )
        except (MemoryError, RuntimeError) as error:
            first_line = str(error).partition("\n")[0]
            self.problem = "out of memory" if is_out_of_memory(error) else first_line
        if self.problem is not None and decoder.device.type == "cuda":
            torch.cuda.empty_cache()
        self.cost_s = time.monotonic() - started

    def row(self, limits: Limits) -> dict[str, Any]:
        """The figures, for the table and the JSON."""
        figures = medians(self.runs[1:] or self.runs)
        matrix_share = bandwidth_share = step_bytes = None
        if self.runs:
            matrix_share = figures["prefill_flops"] / figures["ttft_s"] / limits.flops_per_s
            step_bytes = limits.weight_bytes + figures["kept_bytes"]
            bandwidth_share = step_bytes / figures["tpot_s"] / limits.bytes_per_s
        return {
            "method": self.name,
            "tokens": self.tokens,
            "runs": max(len(self.runs) - 1, 0),
            **figures,
            "step_bytes": step_bytes,
            "matrix_share": matrix_share,
            "bandwidth_share": bandwidth_share,
            "problem": self.problem or (None if self.runs else UNMEASURED),
        }


def methods(geometry: Geometry) -> dict[str, Method]:
    """The methods to compare, the most informative first; all keep 10%."""
    spread = random.Random(0)
    head_scores = tuple(
        tuple(spread.expovariate(1) for _ in range(geometry.heads)) for _ in range(geometry.layers)
    )
    return {
        FULL: Full(),
        PAPER: FastKV(),  # layer L/2 − 1 (15), rate 0.2
        PUBLISHED: HeadKV(head_scores=head_scores, per_query_head=True),
        BALANCED: FastKVProbe(tsp_layer=10 * geometry.layers // 32, tsp_rate=0.2),
        SNAPKV: SnapKV(),
        AWARE: HeadKV(head_scores=head_scores),
        GEMFILTER: GemFilter(),
    }


def find_limits(model: Any, size: Size, device: torch.device, dtype: torch.dtype) -> Limits:
    """Time large matrix products and copies, and count the weights (one row of the embedding)."""
    a, b = (torch.randn(size.matrix, size.matrix, device=device, dtype=dtype) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.zeros(size.copied_bytes, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    embedding = model.model.embed_tokens.weight
    return Limits(
        flops_per_s=2
        * size.matrix**3
        / median_seconds(lambda: torch.mm(a, b, out=product), device, repetitions=50),
        bytes_per_s=2
        * size.copied_bytes
        / median_seconds(lambda: target.copy_(source), device, repetitions=10),
        weight_bytes=sum(p.nbytes for p in model.parameters()) - embedding.nbytes,
    )


def targets(rows: list[dict[str, Any]], lengths: tuple[int, ...]) -> list[dict[str, Any]]:
    """The targets, and whether each was reached; None if a figure is missing."""
    by_cell = {(row["method"], row["tokens"]): row for row in rows}
    *_, middle, longest = lengths

    def ratio(key: str, above: str, below: str, tokens: int) -> float | None:
        top, bottom = by_cell[above, tokens][key], by_cell[below, tokens][key]
        return None if top is None or bottom is None else top / bottom

    headkv = ratio("ttft_s", PUBLISHED, PAPER, longest)
    aims: list[tuple[str, int, float | None, float | None]] = [
        ("TTFT, HeadKV (published) ÷ FastKV", longest, headkv, 2.0)
    ]
    for tokens, least in ((longest, 1.83), (middle, 1.75)):
        paper = ratio("ttft_s", FULL, PAPER, tokens)
        balanced = ratio("ttft_s", FULL, BALANCED, tokens)
        aims += [
            ("TTFT, full ÷ FastKV", tokens, paper, least),
            ("TTFT, full ÷ balanced-like: beyond FastKV's", tokens, balanced, paper),
        ]
    throughput = ratio("tokens_per_s", PAPER, PUBLISHED, longest)
    share = by_cell[PAPER, longest]["bandwidth_share"]
    aims += [
        ("tokens/s, FastKV ÷ HeadKV (published)", longest, throughput, 1.4),
        ("TPOT, FastKV, share of the bandwidth limit", longest, share, 0.6),
    ]
    return [
        {
            "target": name,
            "tokens": tokens,
            "value": value,
            "at_least": least,
            "met": None if value is None or least is None else value >= least,
        }
        for name, tokens, value, least in aims
    ]


def measure_all(
    cells: Sequence[Cell],
    decoder: Decoder,
    runner: LayerRunner,
    size: Size,
    repetitions: int,
    deadline: float,
    save: Callable[[], None],
) -> None:
    """A cold run of every cell, then the repetitions, as far as the time limit allows."""
    prompts = {
        tokens: random_prompt(tokens, size.geometry.vocabulary, decoder.device)
        for tokens in size.lengths
    }
    for cell in cells:
        if cell.tokens == size.lengths[0]:  # loads kernels and allocates their buffers
            cell.measure(decoder, prompts[cell.tokens], runner, size.steps)
            cell.runs.clear()
    for _ in range(1 + repetitions):
        for cell in cells:
            if cell.problem is None and seconds_left(deadline) > cell.cost_s:
                cell.measure(decoder, prompts[cell.tokens], runner, size.steps)
                said = cell.problem or f"TTFT {cell.runs[-1].ttft_s:.2f} s"
                print(f"{cell.tokens:,} tokens, {cell.name}: {said}", file=sys.stderr, flush=True)
                save()


def show_report(report: dict[str, Any]) -> None:
    """Print the tables and the targets."""
    for tokens in sorted({row["tokens"] for row in report["cells"]}):
        mine = [row for row in report["cells"] if row["tokens"] == tokens]
        show(f"{tokens:,} tokens", COLUMNS, mine)
    aims: Columns = {
        "target": ("target", str),
        "tokens": ("tokens", "{:,}".format),
        "measured": ("value", "{:.2f}".format),
        "at least": ("at_least", "{:.2f}".format),
        "met": ("met", lambda met: "yes" if met else "no"),
    }
    show("targets", aims, report["targets"])


def main() -> None:
    """Build the model, measure all cells, and evaluate the targets."""
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--max-minutes", type=float, default=9)
    parser.add_argument("--output", type=Path, help=f"default: {RESULTS}, none with --smoke")
    parser.add_argument("--smoke", action="store_true", help="tiny, once; on a CPU too")
    arguments = parser.parse_args()
    if not arguments.smoke and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --smoke runs without one")
    size, repetitions = (SMOKE, 1) if arguments.smoke else (LLAMA_8B, arguments.repetitions)
    output: Path | None = arguments.output or (None if arguments.smoke else RESULTS)

    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    kernel = choose_kernel(Attention.AUTO, device, dtype)
    model = random_llama(size.geometry, device, dtype)
    limits = find_limits(model, size, device, dtype)
    cells = [
        Cell(name, method, tokens)
        for tokens in reversed(size.lengths)
        for name, method in methods(size.geometry).items()
    ]

    def report() -> dict[str, Any]:
        rows = [cell.row(limits) for cell in cells]
        return {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            **library_versions(),
            "dtype": str(dtype),
            "kernel": kernel,
            "geometry": asdict(size.geometry),
            "limits": asdict(limits),
            "steps": size.steps,
            "repetitions": repetitions,
            "seconds": time.monotonic() - started,
            "cells": rows,
            "targets": targets(rows, size.lengths),
        }

    def save() -> None:
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(report()) + "\n", encoding="utf-8")

    deadline = started + 60 * arguments.max_minutes
    runner = LayerRunner(kernel, default_chunk_rows(device.type))
    measure_all(cells, open_decoder(model), runner, size, repetitions, deadline, save)
    save()
    final = report()
    show_report(final)
    print(json.dumps(final))


if __name__ == "__main__":
    main()
