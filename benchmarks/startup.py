"""How long does fastkv take to start: `--help`, the imports, loading a model, a whole `fastkv ask`?

    python benchmarks/startup.py [REPETITIONS] [--model MODEL]

Medians in seconds, each in a separate process; the last line is JSON. `ask_s` is a question about
300 words, and `again_s` a further question about a text that was asked before, both from typing to
the end of an answer of two tokens.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median

from fastkv_cli.config import EMBEDDED_MODEL

TEXT = Path(__file__).parents[1] / "examples" / "password-rules.txt"
IMPORT = "import time; t = time.perf_counter(); from fastkv_cli import Engine; Engine; "


def wall(*command: str) -> float:
    """The seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - started


def printed(code: str) -> float:
    """The number that some Python code prints."""
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return float(result.stdout)


def load(model: str, dtype: str) -> str:
    """Python code that prints the seconds of loading a model."""
    return f"{IMPORT}print(Engine.load({model!r}, dtype={dtype!r}).loaded.load_s)"


def questions(model: str, folder: str) -> dict[str, Callable[[], float]]:
    """The measures of whole questions; the state of the known text stays in the store."""
    short = Path(folder, "short.txt")
    short.write_text(" ".join(TEXT.read_text(encoding="utf-8").split()[:300]), encoding="utf-8")
    numbers = count(1)

    def ask(document: Path, store: str) -> float:
        question = f"What does rule {next(numbers)} say of the length?"
        options = "--model", model, "--store", store, "--max-tokens", "2"
        return wall("-m", "fastkv_cli", "ask", str(document), question, *options)

    ask(TEXT, "exact")  # prepares the model, and stores the text's state
    return {"ask_s": lambda: ask(short, "off"), "again_s": lambda: ask(TEXT, "exact")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repetitions", type=int, nargs="?", default=5)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    arguments = parser.parse_args()
    repetitions = arguments.repetitions
    measures: dict[str, Callable[[], float]] = {
        "help_s": lambda: wall("-m", "fastkv_cli", "--help"),
        "import_s": lambda: printed(IMPORT + "print(time.perf_counter() - t)"),
        "load_bfloat16_s": lambda: printed(load(arguments.model, "bfloat16")),
        "load_float32_s": lambda: printed(load(arguments.model, "float32")),
    }
    with tempfile.TemporaryDirectory() as folder:
        measures |= questions(arguments.model, folder)
        medians = {
            name: round(median(measure() for _ in range(repetitions)), 3)
            for name, measure in measures.items()
        }
    print(json.dumps({"model": arguments.model, "repetitions": repetitions, **medians}))


if __name__ == "__main__":
    main()
