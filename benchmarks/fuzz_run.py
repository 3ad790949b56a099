"""Shared by the fuzz runs: make each input by its number, check it, count and report."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fuzz_worker import Check, Job, Limits, Result, Worker

_EVERY = 250  # inputs between two progress lines
MakeInput = Callable[[Path, random.Random], Job]
"""Writes an input into an empty folder; the same one for the same random numbers."""


@dataclass(slots=True)
class Tally:
    """The results so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    groups: dict[str, list[int]] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")
    resident_mib: list[int] = field(default_factory=list)
    children_mib: int = 0

    def add(self, number: int, job: Job, result: Result) -> None:
        """Count a result, and print a failure."""
        self.outcomes[result.outcome] += 1
        self.ways[job.recipe.partition(",")[0]] += 1
        self.slowest = max(self.slowest, (result.seconds, f"{number}: {job.recipe}"))
        self.children_mib = max(self.children_mib, result.children_mib)
        if number % _EVERY == 0:
            self.resident_mib.append(result.resident_mib)
        if result.failure:
            self.failures.append(f"{number}: {job.recipe}: {result.failure}")
            self.groups.setdefault(result.group or result.failure, []).append(number)
            print(self.failures[-1], flush=True)

    def report(self) -> dict[str, Any]:
        """The report of the last line."""
        groups = sorted(self.groups.items(), key=lambda group: -len(group[1]))
        return {
            "failures": self.failures,
            "failure_groups": {
                name: {"inputs": len(numbers), "first": numbers[0]} for name, numbers in groups
            },
            "outcomes": dict(self.outcomes.most_common()),
            "originals": dict(self.ways.most_common()),
            "slowest_s": round(self.slowest[0], 2),
            "slowest": self.slowest[1],
            "worker_mib_every_250": self.resident_mib,
            "largest_child_mib": self.children_mib,
        }


def make_parser(description: str, inputs: int, limit_s: float) -> argparse.ArgumentParser:
    """The options shared by both runs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--inputs", type=int, default=inputs)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--limit", type=float, default=limit_s, help="seconds for each")
    parser.add_argument("--only", type=int, help="the one with this number, kept on disk")
    return parser


def run(
    arguments: argparse.Namespace,
    make_input: MakeInput,
    make_check: Callable[[], Check],
    limits: Limits,
    packages: Sequence[str],
) -> None:
    """Check all inputs, print a JSON report on the last line, and exit, with 1 after a failure.

    Args:
        arguments: of `make_parser`.
        make_input: makes one input.
        make_check: makes the check, in the worker.
        limits: of each check.
        packages: packages whose versions are reported.
    """
    tally, started = Tally(), time.perf_counter()
    numbers = range(arguments.inputs) if arguments.only is None else [arguments.only]
    temporary = Path(tempfile.mkdtemp(prefix="fuzz-"))
    worker = Worker(make_check, limits, temporary / "stderr.log")
    try:
        for number in numbers:
            folder = temporary / str(number)
            folder.mkdir()
            job = make_input(folder, random.Random(f"{arguments.seed} {number}"))
            tally.add(number, job, worker.check(job))
            if number % _EVERY == 0:
                print(f"{number:>6,} inputs, {time.perf_counter() - started:.0f} s", flush=True)
            if arguments.only is not None:
                print(f"{job.path}: {job.recipe}\n{worker.stderr()}", flush=True)
            else:
                shutil.rmtree(folder)
    finally:
        worker.close()
        if arguments.only is None:
            shutil.rmtree(temporary)
    report = {
        "inputs": len(numbers),
        "seed": arguments.seed,
        "limit_s": arguments.limit,
        "limit_mib": limits.mib,
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {package: version(package) for package in packages},
        **tally.report(),
    }
    print(json.dumps(report, ensure_ascii=False))
    sys.exit(1 if tally.failures else 0)
