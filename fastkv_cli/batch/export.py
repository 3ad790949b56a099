"""The results of a batch in one file: by path, one document after another, none held."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from ..documents.source import label
from ..fields.field import leaves
from ..fields.read_schema import read_schema
from ..output.render.to_json import to_json
from .batch_folder import BatchFolder
from .batch_index import BatchIndex
from .entry import Entry, State
from .job import render_failed
from .manifest import open_existing

_COLUMNS = (
    "path", "state", "question", "answer", "verdict", "page", "line", "quote", "error",
)  # fmt: skip
_LOST = "its result is missing or damaged: run again"


class ExportForm(StrEnum):
    """The form of an export."""

    CSV = "csv"
    JSONL = "jsonl"
    MD = "md"


def export(path: Path, form: ExportForm) -> Iterator[str]:
    """The results of the batch in a folder, in pieces of text; what failed is in it, too.

    Documents that are left or were skipped are not.

    Raises:
        UsageError: when it is no folder of a batch.
        OutputError: when its index cannot be read.
    """
    folder, manifest = open_existing(path)
    names = _field_names(manifest["tasks"][0])
    render: Callable[[dict[str, Any]], str] = _RENDERERS[form]
    if form is ExportForm.CSV:
        yield csv_line(("path", "state", *names, "error") if names else _COLUMNS)
        render = partial(_render_fields, names) if names else _render_csv
    with BatchIndex(folder.index_path) as index:
        for entry in index.entries():
            if entry.state in {State.DONE, State.FAILED}:
                yield render(_find(folder, entry))


def _field_names(task: dict[str, Any]) -> list[str]:
    """The columns of a schema's fields, those of inner objects as `a.b`; none without a schema."""
    if task["kind"] != "fill":
        return []
    root = read_schema(task["options"]["schema"], multi=task["options"]["multi"]).root
    return [".".join(field.name for field in path) for path in leaves(root)]


def _render_fields(names: Sequence[str], result: dict[str, Any]) -> str:
    """A line for each object; a list in a field is JSON."""
    path = _printable(result["path"])
    if "error" in result:
        return csv_line((path, State.FAILED, *[""] * len(names), result["error"]))
    found = result["results"][0]["object"]
    objects = found if isinstance(found, list) else [found]
    rows = (tuple(_value(each, name.split(".")) for name in names) for each in objects)
    return "".join(csv_line((path, State.DONE, *row, "")) for row in rows)


def _value(value: Any, path: Sequence[str]) -> object:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return to_json(value, indent=None) if isinstance(value, list | dict) else value


def _find(folder: BatchFolder, entry: Entry) -> dict[str, Any]:
    """The result of a document, under its own path; or why there is none."""
    if entry.state is State.FAILED:
        return render_failed(entry.path, entry.exit_code, entry.message)
    result = folder.read_result(entry.key)
    if result is None or "results" not in result:
        return render_failed(entry.path, None, _LOST)
    first = result["path"]  # of documents with one content
    if first != entry.path:
        for each in (item for one in result["results"] for item in _sources(one)):
            for name in ("path", "document"):
                if each.get(name) == first:
                    each[name] = entry.path
    return result | {"path": entry.path}


def _sources(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("documents", "citations", "quotes"):
        yield from result.get(name) or ()


def _render_jsonl(result: dict[str, Any]) -> str:
    return f"{to_json(result, indent=None)}\n"


def _render_csv(result: dict[str, Any]) -> str:
    path = _printable(result["path"])
    if "error" in result:
        return csv_line((path, State.FAILED, *[""] * 6, result["error"]))
    return "".join(csv_line((path, State.DONE, *_cells(each), "")) for each in result["results"])


def _cells(result: dict[str, Any]) -> tuple[object, ...]:
    quotes: list[dict[str, Any]] = result.get("quotes") or result.get("citations") or [{}]
    quote = quotes[0]
    text = quote.get("text") or quote.get("snippet")
    answer = (result.get("question"), result.get("answer"), result.get("verdict"))
    return (*answer, quote.get("page"), quote.get("line"), text)


def csv_line(cells: tuple[object, ...]) -> str:
    """A row of a CSV file, with its line break."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _render_md(result: dict[str, Any]) -> str:
    lines = [f"## {label(result['path'])}", ""]
    if "error" in result:
        lines += [f"Failed: {' '.join(str(result['error']).split())}", ""]
    for each in result.get("results", ()):
        if each.get("question"):
            lines += [f"**{' '.join(each['question'].split())}**", ""]
        lines += [str(each.get("answer", "")).strip(), ""]
        for quote in each.get("quotes") or ():
            place = f"p. {quote['page']}" if quote["page"] else f"line {quote['line']}"
            lines += [f"> {' '.join(quote['text'].split())} ({place})", ""]
    return "\n".join(lines) + "\n"


def _printable(path: str) -> str:
    return path.encode("utf-8", "replace").decode()


_RENDERERS: dict[ExportForm, Callable[[dict[str, Any]], str]] = {
    ExportForm.CSV: _render_csv,
    ExportForm.JSONL: _render_jsonl,
    ExportForm.MD: _render_md,
}
