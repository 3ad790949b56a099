"""A slice of the fuzz run: no broken file ends in anything but a document or a line that says why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "fuzz_documents.py"


def test_sixty_broken_files() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--inputs", "60", "--seed", "7", "--limit", "20"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["failures"] == []
    assert sum(report["outcomes"].values()) == report["inputs"] == 60
    assert len(report["outcomes"]) >= 5, "too few classes to show much"
    assert any(name.startswith("document") for name in report["outcomes"])
