"""A worker of a batch without a model, ready in half a second: each text says what it does."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from fastkv_cli.batch import worker_process
from fastkv_cli.batch.job import Finished, Job, WorkSettings, render_result
from fastkv_cli.errors import ExitCode
from fastkv_cli.output.render.to_json import to_json

KILLS = "Kill the worker."
UNSENDABLE = "Give what is no JSON."
NO_THREAD = "Leave no room for the next thread."
FAILS = "Fail."
SLOW = "Take half a second."
PACE = "TOY_S"  # variable: seconds for each document
REPORT = "<p>" * 10_000  # 30 kB
DEAD = "DEAD_TOYS"  # variable: a folder; the first workers, one a file in it, die while loading


class ToyWorker:
    """What `worker_process.py` uses of a DocumentWorker."""

    model: dict[str, Any] = {"name": "toy", "content": "0" * 64, "dtype": "float32"}  # noqa: RUF012
    on_gpu, peak_bytes, is_broken = False, 2**20, False

    def __init__(self, settings: WorkSettings) -> None:
        self._reports = settings.makes_reports
        for path in Path(os.environ.get(DEAD, "/nowhere")).glob("*"):
            path.unlink()
            os._exit(4)

    def set_threads(self, number: int) -> None:
        pass

    def work(self, job: Job) -> Finished:
        text = Path(job.path).read_text()
        time.sleep(float(os.environ.get(PACE, "0")))
        if KILLS in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if FAILS in text:
            return Finished(job.key, exit_code=ExitCode.INPUT, message=f"{job.path} fails")
        if NO_THREAD in text:
            threading.Thread.start = _no_room  # type: ignore[method-assign]
        if SLOW in text:
            time.sleep(0.5)
        result = to_json(render_result(job, []), indent=None)
        made: Any = {1} if UNSENDABLE in text else REPORT if self._reports else ""
        return Finished(job.key, result, made)


def _no_room(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


if __name__ == "__main__":
    worker_process.DocumentWorker = ToyWorker  # type: ignore[assignment, attr-defined]
    worker_process.main()
