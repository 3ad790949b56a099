"""The second question on a document: fastkv's stored state against llama.cpp's prompt cache.

    python benchmarks/reuse.py [--environments DIR] [--tokens 7000] [--repetitions 3]

A text of that many tokens is asked two questions, each by a separate `fastkv ask`, with an empty
store at first; then once more in one process (`--questions`, which shares its code path with
chat); then with `--store int8`. llama.cpp (in DIR, as created by `make peers`) prefills the same
tokens, saves its prompt-cache file, and answers the second question from it in a separate process,
for each kind of weights and with and without flash attention; the best counts. Times run from the
loaded model to the first token, including finding and checking the stored state. They take turns,
round after round; nothing else should run beside them. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from evidence_cases import SHIPPED
from fastkv_process import run_fastkv
from peer_weights import FILE_TYPES, gguf_file
from peer_weights import SHIPPED as SHIPPED_WEIGHTS
from peers import ENVIRONMENTS, machine, python_of

from fastkv_cli import Engine
from fastkv_cli.config import EMBEDDED_MODEL, cache_dir
from fastkv_cli.prompts.prompt import ask_task, build_prompt, tokenize_text
from fastkv_cli.version import __version__

HERE = Path(__file__).resolve().parent
TEXT = SHIPPED / "time-machine.txt"
QUESTIONS = (
    "What does the Time Traveller say about the fourth dimension?",
    "What happens to the little machine when the lever is pressed?",
)
Figures = dict[str, Any]


class Contest:
    """A document, two questions, and a folder for everything stored."""

    def __init__(self, folder: Path, num_tokens: int, new_tokens: int) -> None:
        """Cut the text to `num_tokens`."""
        tokenizer = Engine.load(EMBEDDED_MODEL).tokenizer
        tokens = tokenize_text(tokenizer, TEXT.read_text("utf-8"))
        self.folder, self.new_tokens = folder, new_tokens
        self.document = folder / "document.txt"
        text = TEXT.read_text("utf-8")[: tokens.starts[num_tokens]].strip()
        self.document.write_text(text, encoding="utf-8")
        ids = tokenize_text(tokenizer, text).token_ids
        prompt = build_prompt(tokenizer, ids, ask_task(QUESTIONS[1]))
        self.request: dict[str, Any] = {
            "document_ids": prompt.prefix_ids + prompt.document_ids,
            "question_ids": prompt.question_ids + prompt.tail_ids,
            "new_tokens": new_tokens,
        }

    def fastkv(self, home: Path, questions: Sequence[str], *options: str) -> list[Figures]:
        """Ask in one process; returns the figures of each question."""
        home.mkdir(exist_ok=True)
        if not (home / "models").exists():
            (home / "models").symlink_to(cache_dir() / "models", target_is_directory=True)
        named = [f"--question={question}" for question in questions]
        size = f"--max-tokens={self.new_tokens}"
        arguments = ["ask", str(self.document), *named, "--no-check", size, *options]
        return [_figures(json.loads(line)) for line in run_fastkv(arguments, home).splitlines()]

    def llama(self, python: Path, gguf: Path, flash: str, cache: Path) -> Figures:
        """Prefill and save, or load and answer."""
        script = str(HERE / "reuse_llama.py")
        command = [str(python), script, str(gguf), "--flash", flash, "--cache", str(cache)]
        done = subprocess.run(
            command,
            input=json.dumps(self.request).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        reply: Figures = json.loads(done.stdout.splitlines()[-1])
        return reply


def _figures(report: dict[str, Any]) -> Figures:
    """The figures of a report that are compared."""
    return {
        "ttft_s": report["stats"]["ttft_s"],
        "decode_tokens_per_s": report["stats"]["decode_tokens_per_s"],
        "output_tokens": report["stats"]["output_tokens"],
        "peak_memory_bytes": report["stats"]["peak_memory_bytes"],
        "state": report["reading"]["state"],
        "answer": report["answer"],
    }


def one_round(contest: Contest, number: int, llamas: dict[str, tuple[Path, Path, str]]) -> Figures:
    """One run of each."""
    first, second = QUESTIONS
    rows: Figures = {}
    for mode in ("exact", "int8"):
        home, option = contest.folder / f"{mode}-{number}", f"--store={mode}"
        rows[f"{mode}, first"] = contest.fastkv(home, [first], option)[0]
        rows[f"{mode}, second, own process"] = contest.fastkv(home, [second], option)[0]
    afresh = contest.fastkv(contest.folder / "none", [second], "--no-store")[0]
    rows["second, afresh"] = afresh
    home = contest.folder / f"several-{number}"
    rows["first of two"], rows["second of two"] = contest.fastkv(home, [first, second])
    for name, (python, gguf, flash) in llamas.items():
        cache = contest.folder / f"{number}-{name}.cache"
        rows[f"{name}, read"] = contest.llama(python, gguf, flash, cache)
        rows[f"{name}, cached"] = contest.llama(python, gguf, flash, cache)
        cache.unlink()
    for name, row in rows.items():
        print(f"{number}: {name}: {row.get('ttft_s', row.get('read_s')):.3f} s", file=sys.stderr)
    return rows


def summarize(rounds: Sequence[Figures]) -> Figures:
    """Medians, and the ratios that have targets."""

    def middle(name: str, figure: str) -> float:
        return float(median([row[name][figure] for row in rounds]))

    def ratio(name: str, other: str, figure: str = "ttft_s") -> float:
        return float(round(median([row[name][figure] / row[other][figure] for row in rounds]), 3))

    own, again = "exact, second, own process", "second of two"
    cached = [name for name in rounds[0] if name.endswith(", cached")]
    found: Figures = {
        "ttft_s": {
            name: round(middle(name, "ttft_s"), 3)
            for name in rounds[0]
            if "ttft_s" in rounds[0][name]
        },
        "decode_tokens_per_s": {
            name: round(middle(name, "decode_tokens_per_s"), 1) for name in [own, *cached]
        },
        "second_of_first, own process": ratio(own, "exact, first"),
        "second_of_first, one process": ratio(again, "first of two"),
        "second_of_first, int8": ratio("int8, second, own process", "int8, first"),
        "same_answer_as_afresh": all(
            row[name]["answer"] == row["second, afresh"]["answer"]
            for row in rounds
            for name in (own, again)
        ),
        "int8_answer_as_afresh": all(
            row["int8, second, own process"]["answer"] == row["second, afresh"]["answer"]
            for row in rounds
        ),
    }
    if cached:
        soonest = min(cached, key=lambda name: middle(name, "ttft_s"))
        fastest = max(cached, key=lambda name: middle(name, "decode_tokens_per_s"))
        found["llama, soonest"], found["llama, fastest"] = soonest, fastest
        found["ttft_of_llama"] = ratio(own, soonest)
        found["decode_time_of_llama"] = ratio(fastest, own, "decode_tokens_per_s")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS)
    parser.add_argument("--tokens", type=int, default=7000)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--alone", action="store_true", help="without llama.cpp")
    arguments = parser.parse_args()
    llamas = {}
    if not arguments.alone:
        python = python_of("llama", arguments.environments)
        llamas = {
            f"llama {weights}, FA {flash}": (
                python,
                gguf_file(weights, arguments.environments),
                flash,
            )
            for weights in (SHIPPED_WEIGHTS, *FILE_TYPES)
            for flash in ("on", "off")
        }
    with tempfile.TemporaryDirectory() as temporary:
        contest = Contest(Path(temporary), arguments.tokens, arguments.new_tokens)
        rounds = [one_round(contest, at, llamas) for at in range(arguments.repetitions)]
        report = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": machine(),
            "fastkv": __version__,
            "model": EMBEDDED_MODEL,
            "document_tokens": len(contest.request["document_ids"]),
            "question_tokens": len(contest.request["question_ids"]),
            **summarize(rounds),
            "rounds": rounds,
        }
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
