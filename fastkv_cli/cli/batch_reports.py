"""`fastkv batch status` and `fastkv batch export`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ..batch.batch_status import BatchStatus, read_status
from ..batch.export import ExportForm, export
from ..output.console import AnswerWriter
from ..output.output_file import check_writable, write_file
from ..output.progress import format_time_left
from ..output.render.report_json import SCHEMA
from ..output.render.to_json import to_json
from .housekeeping import write_text


def show_status(folder: Path, *, json: bool) -> None:
    """Print how far a batch is, as lines or as JSON."""
    status = read_status(folder)
    if json:
        write_text(to_json({"schema": SCHEMA, "command": "batch status", **asdict(status)}))
    else:
        write_text("\n".join(f"{name:<11}{text}" for name, text in _lines(status)))


def _lines(status: BatchStatus) -> Iterator[tuple[str, str]]:
    yield "Tasks", "; ".join(" ".join(task.split()) for task in status.tasks)
    yield "Model", status.model or "–"
    pages = f", {status.pages:,} pages" if status.pages else ""
    yield "Done", f"{status.done:,} documents{pages}"
    yield "Failed", f"{status.failed:,}"
    if status.skipped:
        yield "Skipped", f"{status.skipped:,}"
    yield "Left", f"{status.left:,}"
    pace = status.documents_per_hour
    what = "now" if status.num_running else "in the last run"
    yield "Pace", "–" if pace is None else f"{pace:,.0f} documents an hour, {what}"
    time_left = format_time_left(status.left_s).removesuffix(" left") or "–"
    yield "Time left", time_left if status.num_running else "–, no run is at work"


def write_export(folder: Path, form: ExportForm, output: Path | None, *, force: bool) -> None:
    """Write all results to stdout or to a file, which appears complete."""
    pieces = export(folder, form)
    if output is None:
        writer = AnswerWriter(None, force=False)
        for piece in pieces:
            writer.write(piece)
        return
    check_writable(output, force=force)
    write_file(output, chunks=(piece.encode("utf-8", "replace") for piece in pieces))
