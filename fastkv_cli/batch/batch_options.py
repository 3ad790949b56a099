"""The options of a batch, each declared once, as those in session/options.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..session.option import Group, option
from ..sizes import parse_size

AUTO = "auto"
_MAX_WORKERS = 1024
_MIN_WORKER_BYTES = 2**28  # torch alone takes about as much


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """Which documents, what is asked of them, and with how many workers."""

    out: Path | None = option(
        None,
        Group.BATCH,
        "Keep the results in this folder; a run that finds one goes on with it.",
        "--out",
        "-o",
        metavar="DIR",
        shown_default=False,
    )
    summarize: bool = option(False, Group.BATCH, "Summarize each document.", "--summarize")
    ask: list[str] | None = option(
        None,
        Group.BATCH,
        "Ask each document this question; may be repeated.",
        "--ask",
        metavar="QUESTION",
        shown_default=False,
    )
    schema: str | None = option(
        None,
        Group.BATCH,
        "Fill in these fields from each document, as fastkv ask --schema.",
        metavar="FIELDS|FILE",
        shown_default=False,
    )
    schema_multi: bool = option(
        False, Group.BATCH, "Fill in --schema for every row of a list, as an array."
    )
    from_file: list[str] | None = option(
        None,
        Group.BATCH,
        "Also read the paths in FILE (- is stdin): one a line, or each ended by NUL, as by find "
        "-print0.",
        "--from",
        metavar="FILE",
        shown_default=False,
    )
    retry_failed: bool = option(
        False, Group.BATCH, "Also try the documents again that failed.", "--retry-failed"
    )
    workers: str = option(
        AUTO,
        Group.BATCH,
        "Run N processes, each with the model loaded, that share the cores; auto chooses N.",
        "--workers",
        "-j",
        metavar="N|auto",
        env="FASTKV_WORKERS",
    )
    document_timeout: float = option(
        3600.0,
        Group.BATCH,
        "Stop computing the results of one document after this many seconds.",
        metavar="SECONDS",
    )
    worker_memory: str | None = option(
        None,
        Group.BATCH,
        "Let a worker allocate at most this much, as 4GB; a document that needs more fails.",
        metavar="SIZE",
        shown_default=False,
    )
    ray: str | None = option(
        None,
        Group.BATCH,
        "Run the workers as actors of a Ray cluster: of the one that this machine belongs to "
        "(auto), or of ADDRESS.",
        "--ray",
        metavar="auto|ADDRESS",
        shown_default=False,
    )
    num_cpus: float | None = option(
        None,
        Group.BATCH,
        "Give each worker on Ray so many CPUs, and as many threads.",
        metavar="N",
        shown_default="1",
    )
    num_gpus: float | None = option(
        None, Group.BATCH, "Give each worker on Ray so many GPUs.", metavar="N", shown_default="0"
    )
    ship: bool = option(
        False,
        Group.BATCH,
        "Send documents to workers on Ray as bytes, where they cannot see the files.",
        "--ship",
    )
    jsonl: str | None = option(
        None,
        Group.OUTPUT,
        "Also write each result to stdout as it comes, as a line of JSON (--jsonl -).",
        metavar="-",
        shown_default=False,
    )
    report: bool = option(
        False,
        Group.OUTPUT,
        "Also write an HTML page for each document to DIR/reports.",
        "--report",
    )

    def check_batch(self) -> Path:
        """Check every option; gives the folder of the results.

        Raises:
            UsageError: when one is missing or out of range; the message names it.
        """
        _ = self.num_workers, self.worker_bytes
        if not 0 < self.document_timeout <= 10**7:
            raise UsageError(
                f"--document-timeout {self.document_timeout:g} is out of range",
                "give seconds above 0",
            )
        if self.ray is None and (
            self.ship or self.num_cpus is not None or self.num_gpus is not None
        ):
            raise UsageError("--num-cpus, --num-gpus and --ship are for Ray", "give --ray auto")
        cpus, gpus = self.placement
        if not (0 <= cpus <= _MAX_WORKERS and 0 <= gpus <= _MAX_WORKERS and cpus + gpus > 0):
            raise UsageError(
                f"--num-cpus {cpus:g} and --num-gpus {gpus:g} are out of range",
                "give a worker one of them, as --num-cpus 1",
            )
        if self.schema_multi and self.schema is None:
            raise UsageError("--schema-multi needs --schema", "as in: --schema 'item, price float'")
        if self.jsonl not in {None, "-"}:
            raise UsageError(
                f"--jsonl {self.jsonl} is not stdout",
                "give --jsonl -, or run: fastkv batch export DIR --jsonl -o FILE",
            )
        if self.out is None:
            raise UsageError("no folder for the results is named", "give --out DIR")
        return self.out

    @property
    def num_workers(self) -> int | None:
        """The number of workers; None for auto.

        Raises:
            UsageError: when it is no number from 1 to 1,024.
        """
        if self.workers == AUTO:
            return None
        number = int(self.workers) if self.workers.isdecimal() and len(self.workers) < 9 else 0
        if not 1 <= number <= _MAX_WORKERS:
            raise UsageError(
                f"--workers {self.workers} is out of range",
                f"give a number from 1 to {_MAX_WORKERS:,}, or auto",
            )
        return number

    @property
    def placement(self) -> tuple[float, float]:
        """CPUs and GPUs of a worker on Ray."""
        cpus = 1.0 if self.num_cpus is None else self.num_cpus
        return cpus, self.num_gpus or 0.0

    @property
    def worker_bytes(self) -> int:
        """The most memory that a worker may allocate; 0 for no limit.

        Raises:
            UsageError: when it is no size, or too little to start.
        """
        if self.worker_memory is None:
            return 0
        size = parse_size(self.worker_memory)
        if size < _MIN_WORKER_BYTES:
            raise UsageError(
                f"--worker-memory {self.worker_memory} is too little to load a model",
                "give 1GB or more",
            )
        return size
