"""A worker of a batch that does what its document says: block the interpreter, or leave."""

from __future__ import annotations

import ctypes
import os

import torch

from fastkv_cli.batch import document_worker, worker_process
from fastkv_cli.batch.batch_task import BatchTask
from fastkv_cli.session.answer import Answer
from fastkv_cli.session.session import Session

STUCK = "Stay here for a minute."
LEAVES = "Leave with the number of threads."
EXIT = 10  # more than the threads

run = BatchTask.run


def run_or_not(self: BatchTask, session: Session) -> Answer:
    """Run the task, unless the document says otherwise."""
    text = session.documents[0].text
    if STUCK in text:
        ctypes.PyDLL(None).sleep(60)  # without releasing the interpreter
    if LEAVES in text:
        os._exit(EXIT + torch.get_num_threads())
    return run(self, session)


if __name__ == "__main__":
    BatchTask.run = run_or_not  # type: ignore[method-assign]
    document_worker._GRACE_S = 0.2
    worker_process.main()
