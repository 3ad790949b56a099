"""A worker as a process: `local_pool.py` starts it with `main`.

Standard input carries the settings in one line, then jobs, or a new number of threads; standard
output carries messages, one JSON object a line. Whatever ends this process, as the kernel when
memory is short, ends no other.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from ..errors import as_failure
from ..system.isolated import claim_stdout
from .document_worker import DocumentWorker
from .job import Job, WorkSettings
from .pool import IN_FLIGHT

BROKEN_EXIT = 3  # this process should be replaced; 1 is the exit code of the time limit


def main() -> None:
    """Work on the jobs of standard input until it ends; never returns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends this one
    out, lock = claim_stdout(), threading.Lock()

    def send(**message: object) -> None:
        data = json.dumps(message).encode() + b"\n"
        with lock:
            while data:
                data = data[os.write(out, data) :]

    settings = WorkSettings.from_json(sys.stdin.buffer.readline().decode())
    try:
        worker = DocumentWorker(settings)
        send(kind="ready", model=worker.model, on_gpu=worker.on_gpu, peak_bytes=worker.peak_bytes)
    except Exception as error:  # noqa: BLE001 (reported by the parent)
        failure = as_failure(error)
        code = int(failure.exit_code)
        send(kind="refused", exit_code=code, message=failure.message, hint=failure.hint)
        os._exit(1)

    def work(job: Job) -> None:
        try:
            finished = worker.work(job)
            send(kind="finished", **asdict(finished))
        except Exception:  # noqa: BLE001 (kept in the future, it would leave the parent waiting)
            os._exit(BROKEN_EXIT)
        if worker.is_broken:
            os._exit(BROKEN_EXIT)

    try:
        with ThreadPoolExecutor(IN_FLIGHT) as threads:
            for line in sys.stdin.buffer:
                match json.loads(line):
                    case int(number):
                        worker.set_threads(number)
                    case key, path, size, mtime_ns:
                        threads.submit(work, Job(key, path, (size, mtime_ns)))
    except Exception:  # noqa: BLE001 (no memory for a thread; as a traceback, it would exit with 1)
        os._exit(BROKEN_EXIT)
    os._exit(0)


if __name__ == "__main__":
    main()
