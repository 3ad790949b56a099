"""How do time and memory grow with the prompt, and does the cost model predict it?

    python benchmarks/scaling.py [--repetitions 3] [--model MODEL] [--smoke]

The embedded model, or MODEL, up to its window, then a small Llama with random weights up to 64k
tokens: TTFT, decode speed over 32 tokens and peak memory with full, FastKV (the paper's setting:
layer L/2 − 1, rate 0.2, 10% kept) and SnapKV (10%). Beside the measured speed-up of the TTFT is the
one predicted by counting floating-point operations. Medians, with the methods taking turns; random
token ids. Peak memory is the whole process's, `added` what the run needed beyond the memory in use
before. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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
    medians,
    random_llama,
    random_prompt,
    show,
)

from fastkv_cli import Engine
from fastkv_cli.config import EMBEDDED_MODEL, DecodeWeights
from fastkv_cli.engine.decode import DecodingModel
from fastkv_cli.engine.kernels.attention import Kernel
from fastkv_cli.engine.kernels.packed import choose_decoding_model
from fastkv_cli.engine.layers import LayerRunner
from fastkv_cli.engine.methods import FastKV, Full, Method, SnapKV
from fastkv_cli.engine.model.decoder import Decoder
from fastkv_cli.engine.model.decoder_opening import open_decoder

METHODS: dict[str, Method] = {"full": Full(), "fastkv": FastKV(), "snapkv": SnapKV()}
COLUMNS: Columns = {
    "tokens": ("tokens", "{:,}".format),
    "method": ("method", str),
    "TTFT s": ("ttft_s", "{:.2f}".format),
    "tokens/s": ("tokens_per_s", "{:.1f}".format),
    "peak GB": ("peak_bytes", gigabytes),
    "added GB": ("added_bytes", gigabytes),
    "KV MB": ("kept_bytes", lambda count: f"{count / 1e6:.1f}"),
    "faster by": ("speedup", "{:.2f}×".format),
    "predicted": ("predicted_speedup", "{:.2f}×".format),
}
VOCABULARY = 1024  # random ids stay below it: every model has at least so many


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    embedded_lengths: tuple[int, ...] = (500, 1000, 2000, 4000, 8000)
    random_lengths: tuple[int, ...] = (16_384, 32_768, 65_536)
    layers: int = 8
    steps: int = 32


SMOKE = Size((128, 192), (256, 384), layers=4, steps=4)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to measure."""

    name: str
    decoder: Decoder
    reader: DecodingModel  # decodes, chosen as by `fastkv`
    kernel: Kernel
    lengths: tuple[int, ...]


def subjects(model: str, size: Size) -> Iterator[Subject]:
    """One model after the other, so that the first is freed before the second is measured."""
    engine = Engine.load(model)
    kernel, device, dtype = engine.kernel, engine.decoder.device, engine.decoder.dtype
    most = engine.decoder.max_context - size.steps
    lengths = tuple(min(length, most) for length in size.embedded_lengths)
    yield Subject(engine.loaded.name, engine.decoder, engine.decoding_model, kernel, lengths)
    del engine
    geometry = Geometry(
        layers=size.layers,
        hidden=256,
        heads=4,
        kv_heads=2,
        head_dim=64,
        mlp=1024,
        vocabulary=VOCABULARY,
        max_tokens=size.random_lengths[-1] + size.steps,
    )
    decoder = open_decoder(random_llama(geometry, device, dtype))
    reader, _ = choose_decoding_model(decoder, DecodeWeights.AUTO)
    name = f"random, {size.layers} layers of 256"
    yield Subject(name, decoder, reader, kernel, size.random_lengths)


def measure(subject: Subject, tokens: int, steps: int, repetitions: int) -> list[dict[str, Any]]:
    """A row for each method at one length."""
    decoder = subject.decoder
    prompt_ids = random_prompt(tokens, VOCABULARY, decoder.device)
    runs: dict[str, list[Run]] = {name: [] for name in METHODS}
    for _ in range(repetitions):
        for name, method in METHODS.items():
            runs[name].append(
                measure_run(
                    decoder,
                    prompt_ids,
                    method,
                    LayerRunner(subject.kernel),
                    steps=steps,
                    reader=subject.reader,
                )
            )
    figures = {name: medians(each) for name, each in runs.items()}
    return [
        {
            "model": subject.name,
            "tokens": tokens,
            "method": name,
            **figures[name],
            "speedup": figures["full"]["ttft_s"] / figures[name]["ttft_s"],
            "predicted_speedup": decoder.prefill_flops(tokens) / figures[name]["prefill_flops"],
        }
        for name in METHODS
    ]


def main() -> None:
    """Measure every length of both models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--smoke", action="store_true", help="a few short prompts, once each")
    arguments = parser.parse_args()
    size, repetitions = (SMOKE, 1) if arguments.smoke else (Size(), arguments.repetitions)
    rows: list[dict[str, Any]] = []
    setting: dict[str, Any] = {}
    for subject in subjects(arguments.model, size):
        decoder = subject.decoder
        setting = {
            "device": decoder.device.type,
            "dtype": str(decoder.dtype),
            "kernel": subject.kernel,
            "threads": torch.get_num_threads(),
        }
        measure(subject, subject.lengths[0], size.steps, repetitions=1)  # to warm up
        mine: list[dict[str, Any]] = []
        for tokens in subject.lengths:
            mine += measure(subject, tokens, size.steps, repetitions)
            print(f"{subject.name}: {tokens:,} tokens done", file=sys.stderr, flush=True)
        show(subject.name, COLUMNS, mine)
        rows += mine
    about = {**library_versions(), **setting, "steps": size.steps, "repetitions": repetitions}
    print(json.dumps({**about, "rows": rows}))


if __name__ == "__main__":
    main()
