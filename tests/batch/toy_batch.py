"""fastkv, with workers of batches that have no model: a program."""

from __future__ import annotations

import sys

import toy_worker

from fastkv_cli.batch import local_pool
from fastkv_cli.cli.app import run
from fastkv_cli.system.isolated import start_module

if __name__ == "__main__":
    local_pool.start_module = lambda _, **more: start_module(toy_worker.__name__, **more)  # type: ignore[attr-defined]
    sys.exit(run(sys.argv[1:]))
