"""The workers of benchmarks/peers.py: what goes in, what comes out, and that it is the same work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from conftest import environment

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def ask_worker(script: str, *arguments: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a worker says of itself, and its reply to a short prompt."""
    request = {"prompt_ids": list(range(5, 45)), "question": [30, 38], "new_tokens": 5}
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments],
        input=json.dumps(request) + "\n",
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hello, reply = map(json.loads, done.stdout.splitlines())
    return hello, reply


def test_peers_workers_do_the_same_work(tiny_models: dict[str, Path]) -> None:
    folder = str(tiny_models["llama"])
    _, theirs = ask_worker("peer_transformers.py", folder, "--dtype", "float32")
    hello, ours = ask_worker("peer_fastkv.py", "full", "--model", folder, "--dtype", "float32")
    assert {"python", "fastkv-cli", "torch"} <= set(hello["versions"])
    assert ours["token_ids"] == theirs["token_ids"]
    assert ours["kept_bytes"] == theirs["kept_bytes"]
    for reply in (ours, theirs):
        assert len(reply["token_ids"]) == 5
        assert min(reply["ttft_s"], reply["decode_tokens_per_s"], reply["peak_memory_bytes"]) > 0
