"""Shared by the workers of peers.py: requests in, figures out, one JSON object per line.

Each worker runs in its own environment, so this module needs nothing but Python. Once its model is
loaded, a worker writes what that took, then answers one request after the other:

    {"versions": …, "load_s": …, "peak_memory_bytes": …}
    {"prompt_ids": […], "question": [start, end], "new_tokens": 64}
    {"ttft_s": …, "decode_tokens_per_s": …, "kept_bytes": …, "token_ids": …,
     "peak_memory_bytes": …, "cpu_s": …}
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


class Clock:
    """Runs from the start of prefill; `tick` records that a token was chosen."""

    def __init__(self) -> None:
        self.token_ids: list[int] = []
        self._times = [time.perf_counter()]

    def tick(self, token_id: int) -> None:
        """Record the time of a token."""
        self._times.append(time.perf_counter())
        self.token_ids.append(token_id)

    @property
    def seconds(self) -> float:
        """Seconds until the last token."""
        return self._times[-1] - self._times[0]

    def figures(self, kept_bytes: int | None) -> Figures:
        """The figures; `kept_bytes` is the size of the prompt's KV cache, None if unknown."""
        started, first, *_, last = self._times
        return {
            "ttft_s": first - started,
            "decode_tokens_per_s": (len(self.token_ids) - 1) / (last - first),
            "kept_bytes": kept_bytes,
            "token_ids": self.token_ids,
        }


def serve(
    answer: Callable[[list[int], int, slice], Figures],
    packages: list[str],
    load_s: float | None = None,
) -> None:
    """Answer requests from stdin until it ends.

    Args:
        answer: prompt ids, number of new tokens, span of the question → figures.
        packages: packages whose versions are reported.
        load_s: seconds of loading the model, without imports; None where that is not measured.
    """
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of libraries must not mix with replies
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    loaded = {"load_s": load_s, "peak_memory_bytes": _peak_memory_bytes()}
    print(json.dumps({"versions": versions, **loaded}), file=replies)
    for line in sys.stdin:
        request = json.loads(line)
        new_tokens = request["new_tokens"]
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak memory
        busy = time.process_time()
        figures = answer(request["prompt_ids"], new_tokens, slice(*request["question"]))
        if len(figures["token_ids"]) != new_tokens:
            raise ValueError(f"{len(figures['token_ids'])} tokens came, {new_tokens} were wanted")
        figures["peak_memory_bytes"] = _peak_memory_bytes()
        figures["cpu_s"] = time.process_time() - busy
        print(json.dumps(figures), file=replies)


def _peak_memory_bytes() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
