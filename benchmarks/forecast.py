"""Does `--dry-run` foretell the memory and the time of a run within 25%?

    python benchmarks/forecast.py [--cases NAME,…] [--rounds 3] [--model NAME] [--tokens 1000,4000]

For each case and round the machine is measured afresh: after the run `--dry-run` is asked at once,
for as many tokens as the answer has, each in a process of its own, as the speed of a busy machine
changes. Forecast ÷ measured: time to first token, seconds of a decoded token, what the first ones
take longer included, and peak memory. A round in which other processes
took more than a tenth of the cores is repeated, up to three times as often as rounds are wanted.
Medians, with all ratios beside them, and the largest share of the cores that others took; the last
line is JSON. Linux only.

- whole: `ask` from the whole text, at the preset `balanced`; full: with `--method full`.
- fast, quality: as whole, at these presets.
- bfloat16: as whole, with a copy of the model in bfloat16, as Hugging Face's folders hold it.
- stored: as whole, the second question on a text whose prefix state is stored.
- parts: `ask` from the best passages of a text that is scored part by part.
- summary: `summarize --style prose`; extract: `summarize --style extractive`.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from fastkv_process import CLONE, run_fastkv
from peers import CORES, busy_s

from fastkv_cli.config import EMBEDDED_MODEL, DType, cache_dir
from fastkv_cli.engine.model.loader import load_model

NOVEL = CLONE / "fastkv_cli" / "evaluation" / "data" / "time-machine.txt"
CHARACTERS_PER_TOKEN = 4.1
MAX_TOKENS = 24
QUESTIONS = ["What did the traveller build?", "Who came to dinner?"]
CASES: dict[str, list[str]] = {
    "whole": ["ask", "--preset", "balanced"],
    "full": ["ask", "--method", "full"],
    "fast": ["ask", "--preset", "fast"],
    "quality": ["ask", "--preset", "quality"],
    "bfloat16": ["ask", "--preset", "balanced"],
    "stored": ["ask", "--preset", "balanced"],
    "parts": ["ask"],
    "summary": ["summarize", "--style", "prose"],
    "extract": ["summarize", "--style", "extractive"],
}


def make_home(folder: Path) -> Path:
    """A folder for what fastkv stores, with the models that are stored already."""
    home = folder / "home"
    home.mkdir()
    for name in ("models", "downloads", "hashes"):
        if (cache_dir() / name).exists():
            (home / name).symlink_to(cache_dir() / name, target_is_directory=True)
    return home


def measure(case: str, text: Path, options: list[str], home: Path) -> dict[str, float]:
    """Forecast ÷ measured of one run."""
    command, *own = CASES[case]
    options = [*options, *own]
    shutil.rmtree(home / "states", ignore_errors=True)

    def arguments(question: str, max_tokens: int = MAX_TOKENS) -> list[str]:
        asked = [question, "--no-check"] if command == "ask" else []
        store = [] if case == "stored" else ["--no-store"]
        return [command, str(text), *asked, *options, *store, "--max-tokens", str(max_tokens)]

    if case == "stored":
        run_fastkv(arguments(QUESTIONS[1]), home)
    started, busy, own_s = time.perf_counter(), busy_s(), _children_s()
    shutil.rmtree(home / "speed", ignore_errors=True)
    happened = json.loads(run_fastkv(arguments(QUESTIONS[0]), home))
    num_tokens = max(happened["stats"]["output_tokens"], 1)
    told = json.loads(run_fastkv([*arguments(QUESTIONS[0], num_tokens), "--dry-run"], home))
    others_s = max(busy_s() - busy - (_children_s() - own_s), 0.0)
    clock, stats = told["time"], happened["stats"]
    found = {
        "tokens": told["reading"]["tokens"],
        "parts": told["reading"]["parts"],
        "tokens_found": clock["tokens_found"],
        "ttft_s": stats["ttft_s"],
        "ttft": clock["first_token_s"] / stats["ttft_s"],
        "peak_bytes": stats["peak_memory_bytes"],
        "memory": told["memory"]["peak_bytes"] / stats["peak_memory_bytes"],
        "others_cpu_share": others_s / CORES / (time.perf_counter() - started),
    }
    if stats["decode_tokens_per_s"] and clock["output_tokens"] > 1:
        token_s = (clock["answer_s"] - clock["first_token_s"]) / (clock["output_tokens"] - 1)
        found["token_s"] = 1 / stats["decode_tokens_per_s"]
        found["token"] = token_s / found["token_s"]
    return found


def quiet_rounds(
    run: Callable[[], dict[str, float]], wanted: int, most_others: float
) -> list[dict[str, float]]:
    """So many rounds on a machine that is not busy; any rounds where it always is."""
    rounds: list[dict[str, float]] = []
    quiet: list[dict[str, float]] = []
    while len(rounds) < 3 * wanted and len(quiet) < wanted:
        rounds.append(run())
        quiet = [each for each in rounds if each["others_cpu_share"] <= most_others]
    return quiet or rounds


def _children_s() -> float:
    """CPU seconds of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def save_bfloat16(model: str, folder: Path) -> Path:
    """Save a copy of a model with its weights in bfloat16, as Hugging Face's folders hold them.

    They are changed by 1% at random: those of a file in 4 bits would be decoded in 4 bits.
    """
    from safetensors.torch import save_file

    loaded = load_model(model, dtype=DType.BFLOAT16, device="cpu", unpacked=True)
    shutil.copytree(loaded.folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    generator = torch.Generator().manual_seed(1)
    weights = {
        name: each * (1 + 0.01 * torch.randn(each.shape, generator=generator)).to(each.dtype)
        for name, each in loaded.model.named_parameters()
    }
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(settings | {"dtype": "bfloat16"}))
    return folder


def rows(arguments: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """The medians of each case and length."""
    home, novel = make_home(folder), NOVEL.read_text(encoding="utf-8")
    cases = arguments.cases.split(",")
    models = dict.fromkeys(cases, arguments.model)
    if "bfloat16" in cases:
        models["bfloat16"] = str(save_bfloat16(arguments.model, folder / "bfloat16"))
    for tokens in map(int, arguments.tokens.split(",")):
        text = folder / f"{tokens}.txt"
        size = int(tokens * CHARACTERS_PER_TOKEN)
        text.write_text((novel * (size // len(novel) + 1))[:size], encoding="utf-8")
        for case in cases:
            options = ["--model", models[case], "--dtype", arguments.dtype]
            run = partial(measure, case, text, options, home)
            rounds = quiet_rounds(run, arguments.rounds, arguments.most_others)
            row: dict[str, Any] = {
                name: round(median(each.get(name, 0.0) for each in rounds), 4) for name in rounds[0]
            }
            row["rounds"] = len(rounds)
            row["others_cpu_share"] = round(max(each["others_cpu_share"] for each in rounds), 3)
            for name in ("ttft", "token"):
                row[f"{name}_ratios"] = [round(each.get(name, 0.0), 2) for each in rounds]
            yield {"case": case, **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tokens", default="1000,4000")
    parser.add_argument(
        "--most-others", type=float, default=0.1, help="share of the cores that others may take"
    )
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(arguments, Path(folder)):
            found.append(row)
            print(json.dumps(row), flush=True)
    print(json.dumps({"model": arguments.model, "rounds": arguments.rounds, "rows": found}))


if __name__ == "__main__":
    main()
