"""The paper's claim on this machine: FastKV against HeadKV, both as published, at 32,768 tokens.

    python benchmarks/headline.py               # an hour at most on 2 cores; goes on where it was
    python benchmarks/headline.py --tokens 8192 --rounds 1

A Llama of random weights in the geometry of Llama-3.2-1B reads one prompt with the full cache, with
HeadKV (a selection and a copy of K and V for each query head) and with FastKV (layer L/2 − 1, rate
0.2, one selection for each KV head), dense and in the machine's own number format, and keeps the
same share of the entries with both. The methods take turns, round after round, in one process.
Decoding is measured with the weights as they are, as published, and packed, as fastkv decodes.
Every sample is kept in a file at once, and a further run adds those that are missing. Nothing else
should run beside it. A table goes to stderr; the last line is JSON, with every sample.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone

import torch
from peers import machine
from rich.console import Console
from rich.table import Table
from speed import Clock, Geometry, decode_seconds, library_versions, random_llama, random_prompt

import fastkv_cli
from fastkv_cli.config import Attention, DecodeWeights, DType
from fastkv_cli.engine.kernels.packed import choose_decoding_model
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import FastKV, Full, HeadKV, Method
from fastkv_cli.engine.model.decoder_opening import open_decoder
from fastkv_cli.engine.model.hardware import choose_dtype, choose_kernel
from fastkv_cli.engine.prefill import prefill

KEPT = Path(__file__).parents[1] / "build" / "headline.jsonl"
LLAMA_1B = Geometry(
    layers=16,
    hidden=2048,
    heads=32,
    kv_heads=8,
    head_dim=64,
    mlp=8192,
    vocabulary=128_256,
    max_tokens=131_072,
)
SMALL = replace(LLAMA_1B, layers=4, hidden=256, heads=4, kv_heads=2, mlp=512, vocabulary=1024)
# As published for the first version, at 131,072 tokens on a GPU.
GOALS = {"ttft_headkv_by_fastkv": 2.0, "packed_decode_fastkv_by_headkv": 1.4}


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt and its answer.

    Attributes:
        method: its name.
        ttft_s: from the start of prefill to the first token.
        tokens_per_s: of decoding with the weights as they are.
        packed_tokens_per_s: of decoding with packed weights, where the machine has the kernels.
        kept_bytes: keys and values after prefill.
        prefill_flops: of the layers, as counted by the cost model.
    """

    method: str
    ttft_s: float
    tokens_per_s: float
    packed_tokens_per_s: float
    kept_bytes: int
    prefill_flops: int


def methods(geometry: Geometry, retention_rate: float) -> dict[str, Method]:
    """Full, and both rivals as published; HeadKV's head scores are random, as the weights are."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.rand(geometry.layers, geometry.heads, generator=generator).tolist()
    head_scores = tuple(tuple(layer) for layer in scores)
    return {
        "headkv": HeadKV(
            retention_rate=retention_rate, head_scores=head_scores, per_query_head=True
        ),
        "fastkv": FastKV(retention_rate=retention_rate),
        "full": Full(),
    }


class Subject:
    """The model, and the two ways in which it decodes."""

    def __init__(self, geometry: Geometry) -> None:
        device = torch.device("cpu")
        self.dtype = choose_dtype(DType.AUTO, device)
        self.kernel = choose_kernel(Attention.AUTO, device, self.dtype)
        self.decoder = open_decoder(random_llama(geometry, device, self.dtype))
        self.packed, self.weights = choose_decoding_model(self.decoder, DecodeWeights.AUTO)

    def measure(self, name: str, method: Method, tokens: int, steps: int) -> Sample:
        """Prefill one prompt, then decode twice behind it."""
        device = self.decoder.device
        prompt_ids = random_prompt(tokens, SMALL.vocabulary, device)
        plan = method.plan(self.decoder.shape(tokens, None))
        clock = Clock(device)
        clock.mark()
        room = 2 * steps
        read = prefill(self.decoder, prompt_ids, method, LayerRunner(self.kernel), plan, room=room)
        token_id = int(read.logits.argmax())
        clock.mark()
        (ttft_s,) = clock.seconds()
        as_is, packed = (
            steps / sum(decode_seconds(reader, read.cache, token_id, steps, device))
            for reader in (self.decoder, self.packed)
        )
        return Sample(name, ttft_s, as_is, packed, read.kept_bytes, read.flops)


class Notebook:
    """The samples of one setting in a file of JSON lines, which may hold those of others."""

    def __init__(self, path: Path, setting: dict[str, Any]) -> None:
        self._path, self._setting = path, setting
        self.samples: list[Sample] = []
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                entry = json.loads(line)
                if entry["setting"] == setting:
                    self.samples.append(Sample(**entry["sample"]))

    def add(self, sample: Sample) -> None:
        """Keep a sample."""
        self.samples.append(sample)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            print(json.dumps({"setting": self._setting, "sample": asdict(sample)}), file=file)

    def missing(self, names: Sequence[str], rounds: int) -> Iterator[str]:
        """The method of each sample that is not there yet, round after round."""
        for turn in range(rounds):
            for name in names:
                if sum(each.method == name for each in self.samples) <= turn:
                    yield name

    def of(self, name: str) -> list[Sample]:
        """The samples of a method."""
        return [each for each in self.samples if each.method == name]


def compare(notebook: Notebook) -> dict[str, Any]:
    """The ratios that are claimed, of medians, with the spread over rounds."""
    full, headkv, fastkv = (notebook.of(name) for name in ("full", "headkv", "fastkv"))
    return {
        "ttft_headkv_by_fastkv": _ratio(headkv, fastkv, "ttft_s"),
        "decode_fastkv_by_headkv": _ratio(fastkv, headkv, "tokens_per_s"),
        "packed_decode_fastkv_by_headkv": _ratio(fastkv, headkv, "packed_tokens_per_s"),
        "ttft_full_by_fastkv": _ratio(full, fastkv, "ttft_s"),
        "operations_full_by_fastkv": full[0].prefill_flops / fastkv[0].prefill_flops,
    }


def _ratio(above: list[Sample], below: list[Sample], key: str) -> dict[str, float]:
    tops, bottoms = ([getattr(each, key) for each in samples] for samples in (above, below))
    # a run that was stopped in a round has one sample more of the first methods
    rounds = [top / bottom for top, bottom in zip(tops, bottoms, strict=False)]
    return {"median": median(tops) / median(bottoms), "least": min(rounds), "most": max(rounds)}


def print_report(notebook: Notebook, ratios: dict[str, Any], tokens: int) -> None:
    """The table of methods, and the claim beside it, on stderr."""
    table = Table(title=f"{tokens:,} tokens, medians", title_justify="left")
    for heading in ("method", "TTFT s", "tokens/s", "packed tokens/s", "KV MB"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for name in dict.fromkeys(each.method for each in notebook.samples):
        samples = notebook.of(name)
        ttft, as_is, packed = (
            median(getattr(each, key) for each in samples)
            for key in ("ttft_s", "tokens_per_s", "packed_tokens_per_s")
        )
        kept = samples[0].kept_bytes / 1e6
        table.add_row(name, f"{ttft:.1f}", f"{as_is:.2f}", f"{packed:.2f}", f"{kept:,.0f}")
    console = Console(stderr=True, width=100)
    console.print(table)
    for key, goal in GOALS.items():
        found = ratios[key]
        spread = f"{found['least']:.2f} to {found['most']:.2f}"
        console.print(f"{key}: {found['median']:.2f} ({spread}), goal {goal}")
    full = ratios["ttft_full_by_fastkv"]["median"]
    console.print(
        f"full ÷ fastkv: {full:.2f}, operations {ratios['operations_full_by_fastkv']:.2f}"
    )


def main() -> None:
    """Measure what is missing, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=32, help="tokens decoded, with each weights")
    parser.add_argument("--retention", type=float, default=0.1, help="share of the entries kept")
    parser.add_argument("--kept", type=Path, default=KEPT, help="the file of samples")
    parser.add_argument("--smoke", action="store_true", help="a tiny model and a short prompt")
    arguments = parser.parse_args()
    geometry = SMALL if arguments.smoke else LLAMA_1B
    tokens = 512 if arguments.smoke else arguments.tokens
    setting = {
        "geometry": asdict(geometry),
        "tokens": tokens,
        "steps": arguments.steps,
        "retention_rate": arguments.retention,
        "fastkv": fastkv_cli.__version__,
        "machine": machine(),
        **library_versions(),
    }
    notebook = Notebook(arguments.kept, setting)
    rivals = methods(geometry, arguments.retention)
    missing = list(notebook.missing(list(rivals), arguments.rounds))
    if missing:
        subject = Subject(geometry)
        subject.measure("warm-up", rivals["headkv"], 512, 4)
        for name in missing:
            sample = subject.measure(name, rivals[name], tokens, arguments.steps)
            notebook.add(sample)
            print(f"{name}: TTFT {sample.ttft_s:.1f} s", file=sys.stderr, flush=True)
    ratios = compare(notebook)
    print_report(notebook, ratios, tokens)
    samples = [asdict(each) for each in notebook.samples]
    print(json.dumps({**setting, **ratios, "samples": samples}))


if __name__ == "__main__":
    main()
