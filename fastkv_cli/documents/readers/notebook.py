"""Read notebooks (IPYNB): texts as Markdown, code in fences, printed results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..archive import refusing_damage
from ..html import html_to_text
from ..omissions import Note, Omission

_PICTURES = ("image/png", "image/jpeg", "image/svg+xml")


def read_ipynb(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read the cells of a notebook, in order.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: Ignored: it is UTF-8.

    Returns:
        The text, and notes (pictures).

    Raises:
        DocumentError: when it is damaged.
    """
    del encoding
    with refusing_damage(name):
        book = json.loads(data.decode("utf-8-sig"), parse_int=str, parse_float=str)
        cells = book.get("cells") or [
            cell for sheet in book.get("worksheets", []) for cell in sheet["cells"]
        ]
        parts = [part for cell in cells for part in _cell(cell)]
        num_pictures = sum(
            kind in output.get("data", output)
            for cell in cells
            for output in cell.get("outputs", [])
            for kind in _PICTURES
        )
    notes = (Omission("picture", num_pictures),) if num_pictures else ()
    return "\n\n".join(filter(None, parts)), notes


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input", "")))
    if cell.get("cell_type") != "code":
        yield source
        return
    yield _fenced(source)
    for output in cell.get("outputs", []):
        yield _output(output)


def _output(output: dict[str, Any]) -> str:
    if "ename" in output:
        return f"{output['ename']}: {output.get('evalue', '')}"
    data = output.get("data", output)
    for kind in ("text/markdown", "text/plain", "text"):
        if kind in data:
            text = _joined(data[kind])
            return text if kind == "text/markdown" else _fenced(text)
    return html_to_text(_joined(data["text/html"])).text if "text/html" in data else ""


def _fenced(text: str) -> str:
    fence = "````" if "```" in text else "```"
    return f"{fence}\n{text.rstrip()}\n{fence}" if text.strip() else ""


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
