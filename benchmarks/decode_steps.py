"""How long does a decoded token take over so many cache entries, in each format of the cache?

    python benchmarks/decode_steps.py [--entries 200,1500,4000,7500] [--rounds 6] [--model MODEL]

Random entries for every KV head, no prompt: median and least milliseconds of a token with the
cache in the model's format and in 8 bits, with the formats taking turns, and the bytes held. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone

import torch
from speed import library_versions

from fastkv_cli import Engine
from fastkv_cli.config import EMBEDDED_MODEL
from fastkv_cli.engine.cache import CompressedCache
from fastkv_cli.engine.kernels.cuda_graph import choose_step

FORMATS = {"auto": None, "int8": torch.int8}
_TOKENS = 8  # of each turn


def make_cache(engine: Engine, entries: int, dtype: torch.dtype | None) -> CompressedCache:
    """A cache of random keys and values, `entries` for each KV head."""
    decoder, room = engine.decoder, 1024
    cache = CompressedCache(room, text_length=entries + room, dtype=dtype)
    for layer in decoder.attention_layers:
        shape = 1, layer.num_kv_heads, entries, layer.head_dim
        key, value = (torch.randn(shape).to(decoder.dtype) for _ in range(2))
        cache.store(key, value, torch.arange(entries), None)
    cache.next_position = entries
    return cache


@torch.inference_mode()
def measure(engine: Engine, entries: int, rounds: int) -> list[dict[str, object]]:
    """Milliseconds of a token, and bytes, for each format."""
    caches = {name: make_cache(engine, entries, dtype) for name, dtype in FORMATS.items()}
    held = {name: cache.nbytes for name, cache in caches.items()}
    steps = {name: choose_step(engine.decoding_model, cache) for name, cache in caches.items()}
    seconds: dict[str, list[float]] = {name: [] for name in FORMATS}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            for _ in range(_TOKENS):
                started = time.perf_counter()
                int(step(1).argmax())
                if turn:  # the first one allocates and compiles
                    seconds[name].append(time.perf_counter() - started)
    return [
        {
            "entries": entries,
            "kv_dtype": name,
            "median_ms": round(median(each) * 1000, 2),
            "least_ms": round(min(each) * 1000, 2),
            "kv_bytes": held[name],
        }
        for name, each in seconds.items()
    ]


def main() -> None:
    """Print a line for each measurement, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", default="200,1500,4000,7500")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    engine = Engine.load(arguments.model, device="cpu")
    rows = []
    for entries in map(int, arguments.entries.split(",")):
        for row in measure(engine, entries, arguments.rounds):
            print(*(f"{name} {value}" for name, value in row.items()), sep=", ", flush=True)
            rows.append(row)
    print(json.dumps({"rows": rows, "libraries": library_versions()}))


if __name__ == "__main__":
    main()
