"""How many documents an hour: `fastkv batch` with 1 and 2 workers, beside a shell loop of `ask`.

Makes short documents of 200 to 1,500 tokens from a text of examples/, each different, and asks the
same question of all: in one process a document, as `for f in *; do fastkv ask "$f" …; done` does,
and in one batch for each number of workers. Times are of whole processes, loading included. No
document states are stored, which favours the loop. JSON on the last line.

    python benchmarks/batch.py --documents 500 --loop 20 --workers 1,2
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[1]
TEXT = CLONE / "examples" / "password-rules.txt"
QUESTION = "What is the number of this document?"
CHARACTERS = (850, 6400)  # about 200 and 1,500 tokens


def make_documents(folder: Path, number: int, lengths: tuple[int, int] = CHARACTERS) -> list[Path]:
    """Texts of whole paragraphs, of lengths spread evenly."""
    draw = random.Random(18)
    paragraphs = [each for each in TEXT.read_text(encoding="utf-8").split("\n\n") if len(each) > 80]
    paths = []
    for at in range(number):
        wanted, text = draw.randint(*lengths), ""
        start = draw.randrange(len(paragraphs))
        while len(text) < wanted:
            text += paragraphs[start % len(paragraphs)] + "\n\n"
            start += 1
        paths.append(folder / f"{at:06}.txt")
        text = text[:wanted].rsplit(" ", 1)[0]
        paths[-1].write_text(f"{text}\n\nThe number of this document is {at}.\n", encoding="utf-8")
    return paths


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Seconds of a command, and the peak memory of its own process in MB (Linux)."""
    environment = os.environ | {"PYTHONPATH": str(CLONE)}
    started, own_kb = time.perf_counter(), 0
    process = subprocess.Popen(
        [sys.executable, "-m", "fastkv_cli", *arguments, "--quiet"],
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        try:
            lines = status.read_text().splitlines()
        except OSError:
            continue
        own_kb = max(own_kb, *(int(line.split()[1]) for line in lines if "VmHWM" in line), 0)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"fastkv {arguments[0]} ended with {process.returncode}")
    return {"seconds": time.perf_counter() - started, "own_peak_mb": own_kb / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=500, help="of a batch")
    parser.add_argument("--loop", type=int, default=20, help="documents of the shell loop")
    parser.add_argument("--workers", default="1,2", help="numbers of workers, by commas")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--options", default="", help="more options of batch, by spaces")
    arguments = parser.parse_args()
    ask = ["--store", "off", "--model", arguments.model]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="fastkv-batch-") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        documents = make_documents(folder / "in", arguments.documents)
        if arguments.loop:
            before = cpu_s()
            started = time.perf_counter()
            for document in documents[:: max(len(documents) // arguments.loop, 1)][
                : arguments.loop
            ]:
                run(["ask", str(document), QUESTION, *ask])
            seconds = time.perf_counter() - started
            rows.append(_row("shell loop", arguments.loop, seconds, cpu_s() - before))
            print(rows[-1], file=sys.stderr, flush=True)
        for workers in filter(None, arguments.workers.split(",")):
            out = str(folder / f"out-{workers}")
            command = ["batch", str(folder / "in"), "--out", out, "--ask", QUESTION, *ask]
            before = cpu_s()
            measured = run([*command, "--workers", workers, *arguments.options.split()])
            row = _row(f"{workers} workers", len(documents), measured["seconds"], cpu_s() - before)
            rows.append(row | {"run_peak_mb": round(measured["own_peak_mb"], 1)})
            print(rows[-1], file=sys.stderr, flush=True)
    loop = next((row["documents_per_hour"] for row in rows if row["what"] == "shell loop"), None)
    for row in rows:
        row["times"] = None if loop is None else round(row["documents_per_hour"] / loop, 2)
    print(json.dumps({"settings": vars(arguments), "cores": os.cpu_count(), "rows": rows}))


def cpu_s() -> float:
    """CPU seconds of all processes that have ended."""
    used = os.times()
    return used.children_user + used.children_system


def _row(what: str, number: int, seconds: float, cpu: float) -> dict[str, Any]:
    pace = 3600 * number / seconds
    return {
        "what": what,
        "documents": number,
        "seconds": round(seconds, 2),
        "documents_per_hour": round(pace),
        "cpu_s_per_document": round(cpu / number, 3),
    }


if __name__ == "__main__":
    main()
