"""How many documents an hour: `fastkv batch` with 1 and 2 workers, beside a shell loop of `ask`.

Makes short documents of 200 to 1,500 tokens from a text of examples/, each different, and asks the
same question of all: in one process a document, as `for f in *; do fastkv ask "$f" …; done` does,
and in one batch for each number of workers. Times are of whole processes, loading included. No
document states are stored, which favours the loop. With --ray the workers are actors of a Ray
cluster on this machine, which is started and ended outside the measured time.

--seconds interrupts a batch after so many, as Ctrl-C does; the same command goes on with it, and
its times are added up: a resumed batch loads the model again, which counts. `--model random` is a
model of 3 million random weights, which leaves the cost of the batch itself. JSON on the last line.

    python benchmarks/batch.py --documents 500 --loop 20 --workers 1,2
    python benchmarks/batch.py --documents 10000 --characters 200,500 --loop 0 --workers 2 --ray \
        --model random --options "--max-tokens 4"
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CLONE = Path(__file__).resolve().parents[1]
TEXT = CLONE / "examples" / "password-rules.txt"
QUESTION = "What is the number of this document?"
CHARACTERS = "850,6400"  # about 200 and 1,500 tokens
RANDOM = "random"
Row = dict[str, Any]


def make_documents(folder: Path, number: int, lengths: Sequence[int]) -> list[Path]:
    """Texts of whole paragraphs, of lengths spread evenly; those that are there stay."""
    draw = random.Random(18)
    paragraphs = [each for each in TEXT.read_text(encoding="utf-8").split("\n\n") if len(each) > 80]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for at in range(number):
        wanted, text = draw.randint(lengths[0], lengths[1]), ""
        start = draw.randrange(len(paragraphs))
        paths.append(folder / f"{at:06}.txt")
        if paths[-1].exists():
            continue
        while len(text) < wanted:
            text += paragraphs[start % len(paragraphs)] + "\n\n"
            start += 1
        text = text[:wanted].rsplit(" ", 1)[0]
        paths[-1].write_text(f"{text}\n\nThe number of this document is {at}.\n", encoding="utf-8")
    return paths


def random_model(folder: Path) -> Path:
    """A small model of random weights with the embedded model's tokenizer."""
    from random_gguf import Geometry, write_random

    path = folder / "random.gguf"
    if not path.exists():
        write_random(path, Geometry("llama", 2, 64, 128, 4, 2, 16, 49_152, 8192, 1e4))
    return path


def run(arguments: Sequence[str], limit_s: float = 1e9) -> Row:
    """Seconds of a command, whether it finished, and the peak memory of its process in MB (Linux).

    It is interrupted after `limit_s` seconds.
    """
    environment = os.environ | {"PYTHONPATH": str(CLONE)}
    started, own_kb, is_finished = time.perf_counter(), 0, True
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
        if is_finished and time.perf_counter() - started > limit_s:
            is_finished = False
            process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    if process.returncode and is_finished:
        raise SystemExit(f"fastkv {arguments[0]} ended with {process.returncode}")
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "finished": is_finished, "run_peak_mb": round(own_kb / 1000, 1)}


class Rows:
    """The rows of all arms so far, kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[str, Row] = json.loads(path.read_text()) if path.exists() else {}

    def add(self, what: str, number: int, measured: Row, cpu: float | None) -> None:
        """Add a piece of an arm: `number` documents are done now, of this and earlier pieces."""
        before = self.rows.get(what, {"seconds": 0.0, "cpu_s": 0.0, "pieces": 0, "run_peak_mb": 0})
        row = measured | {
            "what": what,
            "documents": number,
            "seconds": round(before["seconds"] + measured["seconds"], 2),
            "cpu_s": None if cpu is None else round(before["cpu_s"] + cpu, 2),
            "pieces": before["pieces"] + 1,
            "run_peak_mb": max(before["run_peak_mb"], measured.get("run_peak_mb", 0)) or None,
        }
        row["documents_per_hour"] = round(3600 * number / row["seconds"])
        row["cpu_s_per_document"] = cpu and round(row["cpu_s"] / max(number, 1), 3)
        self.rows[what] = row
        self._path.write_text(json.dumps(self.rows))
        print(row, file=sys.stderr, flush=True)

    def is_finished(self, what: str) -> bool:
        return bool(self.rows.get(what, {}).get("finished"))


@contextmanager
def cluster(num_cpus: int) -> Iterator[str]:
    """The address of a Ray cluster of a head and a node with so many CPUs."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=head)
    try:
        found.add_node(num_cpus=num_cpus)
        yield found.address
    finally:
        found.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=500, help="of a batch")
    parser.add_argument("--characters", default=CHARACTERS, help="of a document: from,to")
    parser.add_argument("--loop", type=int, default=20, help="documents of the shell loop")
    parser.add_argument("--workers", default="1,2", help="numbers of workers, by commas")
    parser.add_argument("--ray", action="store_true", help="workers are actors of a Ray cluster")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--options", default="", help="more options of batch, by spaces")
    parser.add_argument("--seconds", type=float, default=1e9, help="of one call, for each arm")
    parser.add_argument("--folder", default="build/batch", help="for documents and results")
    arguments = parser.parse_args()
    settings = {name: value for name, value in vars(arguments).items() if name != "seconds"}
    folder = Path(arguments.folder)
    documents = make_documents(
        folder / f"in-{arguments.documents}-{arguments.characters}",
        arguments.documents,
        [int(each) for each in arguments.characters.split(",")],
    )
    is_random = arguments.model == RANDOM
    model = str(random_model(folder).absolute() if is_random else arguments.model)
    ask = ["--store", "off", "--model", model]
    name = "-".join(
        [documents[0].parent.name, Path(model).stem, *arguments.options.split()]
    ).replace("/", "_")
    rows = Rows(folder / f"rows-{name}.json")
    if arguments.loop and not rows.is_finished("shell loop"):
        before, started = cpu_s(), time.perf_counter()
        step = max(len(documents) // arguments.loop, 1)
        for document in documents[::step][: arguments.loop]:
            run(["ask", str(document), QUESTION, *ask])
        measured = {"seconds": time.perf_counter() - started, "finished": True}
        rows.add("shell loop", arguments.loop, measured, cpu_s() - before)
    for workers in filter(None, arguments.workers.split(",")):
        what = f"{workers} {'actors of Ray' if arguments.ray else 'workers'}"
        if rows.is_finished(what):
            continue
        out = folder / f"out-{name}-{what.replace(' ', '-')}"
        command = ["batch", str(documents[0].parent), "--out", str(out), "--ask", QUESTION, *ask]
        command += ["--workers", workers, *arguments.options.split()]
        before = cpu_s()
        if arguments.ray:
            with cluster(int(workers)) as address:
                measured = run([*command, "--ray", address], arguments.seconds)
        else:
            measured = run(command, arguments.seconds)
        cpu = None if arguments.ray else cpu_s() - before  # actors are no children of the run
        rows.add(what, sum(1 for _ in out.glob("results/*/*.json")), measured, cpu)
    loop = rows.rows.get("shell loop", {}).get("documents_per_hour")
    for row in rows.rows.values():
        row["times"] = loop and round(row["documents_per_hour"] / loop, 2)
    found = {"settings": settings, "cores": os.cpu_count(), "rows": list(rows.rows.values())}
    print(json.dumps(found))


def cpu_s() -> float:
    """CPU seconds of all processes that have ended."""
    used = os.times()
    return used.children_user + used.children_system


if __name__ == "__main__":
    main()
