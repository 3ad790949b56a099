"""Does `--dry-run` foretell the memory and the time of a run within 25%?

    python benchmarks/forecast.py [--cases NAME,…] [--rounds 3] [--model NAME] [--tokens 1000,4000]

For each case and round the machine is measured afresh, `--dry-run` is asked, and the run follows at
once, each in a process of its own, as the speed of a busy machine changes. Forecast ÷ measured:
time to first token, seconds of a decoded token, and peak memory. Medians over the rounds; the last
line is JSON.

- whole: `ask` from the whole text, at the preset `balanced`; full: with `--method full`.
- stored: as whole, the second question on a text whose prefix state is stored.
- parts: `ask` from the best passages of a text that is scored part by part.
- summary: `summarize --style prose`; extract: `summarize --style extractive`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from fastkv_process import CLONE, run_fastkv

from fastkv_cli.config import EMBEDDED_MODEL, cache_dir

NOVEL = CLONE / "fastkv_cli" / "evaluation" / "data" / "time-machine.txt"
CHARACTERS_PER_TOKEN = 4.1
MAX_TOKENS = "24"
QUESTIONS = ["What did the traveller build?", "Who came to dinner?"]
CASES: dict[str, list[str]] = {
    "whole": ["ask", "--preset", "balanced"],
    "full": ["ask", "--method", "full"],
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
    options = [*options, *own, "--max-tokens", MAX_TOKENS]
    shutil.rmtree(home / "states", ignore_errors=True)

    def arguments(question: str) -> list[str]:
        asked = [question, "--no-check"] if command == "ask" else []
        store = [] if case == "stored" else ["--no-store"]
        return [command, str(text), *asked, *options, *store]

    if case == "stored":
        run_fastkv(arguments(QUESTIONS[1]), home)
    shutil.rmtree(home / "speed", ignore_errors=True)
    told = json.loads(run_fastkv([*arguments(QUESTIONS[0]), "--dry-run"], home))
    happened = json.loads(run_fastkv(arguments(QUESTIONS[0]), home))
    time, stats = told["time"], happened["stats"]
    found = {
        "tokens": told["reading"]["tokens"],
        "parts": told["reading"]["parts"],
        "tokens_found": time["tokens_found"],
        "ttft_s": stats["ttft_s"],
        "ttft": time["first_token_s"] / stats["ttft_s"],
        "peak_bytes": stats["peak_memory_bytes"],
        "memory": told["memory"]["peak_bytes"] / stats["peak_memory_bytes"],
    }
    if stats["decode_tokens_per_s"] and time["output_tokens"] > 1:
        token_s = (time["answer_s"] - time["first_token_s"]) / (time["output_tokens"] - 1)
        found["token"] = token_s * stats["decode_tokens_per_s"]
    return found


def rows(arguments: argparse.Namespace, folder: Path) -> Iterator[dict[str, Any]]:
    """The medians of each case and length."""
    home, novel = make_home(folder), NOVEL.read_text(encoding="utf-8")
    options = ["--model", arguments.model, "--dtype", arguments.dtype]
    for tokens in map(int, arguments.tokens.split(",")):
        text = folder / f"{tokens}.txt"
        size = int(tokens * CHARACTERS_PER_TOKEN)
        text.write_text((novel * (size // len(novel) + 1))[:size], encoding="utf-8")
        for case in arguments.cases.split(","):
            rounds = [measure(case, text, options, home) for _ in range(arguments.rounds)]
            medians = {
                name: round(median(each.get(name, 0.0) for each in rounds), 3) for name in rounds[0]
            }
            yield {
                "case": case,
                **medians,
                "ttft_ratios": [round(each["ttft"], 2) for each in rounds],
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tokens", default="1000,4000,7500")
    arguments = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for row in rows(arguments, Path(folder)):
            found.append(row)
            print(json.dumps(row), flush=True)
    print(json.dumps({"model": arguments.model, "rounds": arguments.rounds, "rows": found}))


if __name__ == "__main__":
    main()
