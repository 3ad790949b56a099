"""How long until fastkv does something: `--help`, the imports, and loading the embedded model.

    python benchmarks/startup.py [REPETITIONS]

Medians in seconds, each in a process of its own; the last line printed is JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

IMPORT = "import time; t = time.perf_counter(); from fastkv_cli import Engine; Engine; "
LOAD = IMPORT + "e = Engine.load('smollm2-135m', dtype='{dtype}'); "


def wall(*command: str) -> float:
    """Seconds that a command takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - started


def printed(code: str) -> float:
    """The number that some Python prints."""
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return float(result.stdout)


def main() -> None:
    """Measure, and print."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    measures: dict[str, Callable[[], float]] = {
        "help_s": lambda: wall("-m", "fastkv_cli", "--help"),
        "import_s": lambda: printed(IMPORT + "print(time.perf_counter() - t)"),
        "load_bfloat16_s": lambda: printed(
            LOAD.format(dtype="bfloat16") + "print(e.loaded.load_s)"
        ),
        "load_float32_s": lambda: printed(LOAD.format(dtype="float32") + "print(e.loaded.load_s)"),
    }
    medians = {
        name: round(median(measure() for _ in range(repetitions)), 3)
        for name, measure in measures.items()
    }
    print(json.dumps({"repetitions": repetitions, **medians}))


if __name__ == "__main__":
    main()
