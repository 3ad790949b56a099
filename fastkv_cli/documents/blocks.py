"""Convert a sequence of HTML tags to Markdown: paragraphs, headings, lists, tables, code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from .inline import Attributes, InlineText
from .numerals import kind_of, write_number

LABEL_START, LABEL_END = "\ue000", "\ue001"  # around the number that a block has in its source
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_CELLS = frozenset({"td", "th"})
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details",
    "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form",
    "header", "hgroup", "hr", "html", "legend", "li", "main", "nav", "p", "pre", "search",
    "section", "summary", "table", "tbody", "tfoot", "thead", "tr",
}).union(_HEADINGS, _LISTS, _CELLS)  # fmt: skip

_SPACES = re.compile(r"[ \t\n\r\f\u00a0]+")
_BLANKS = re.compile(r"[ \t\r\f\u00a0]+")
_LIST_STYLE = re.compile(r"list-style(?:-type)?\s*+:\s*+([a-z-]++)", re.IGNORECASE)
_NUMBER = re.compile(r"\s*+(\d{1,6})")
_LINE_EDGES = re.compile(r" ?\n ?")
_MAX_INDENT = 8  # nesting depth is capped here, so that indentation cannot grow quadratically
_MAX_SPAN = 50  # maximum colspan or rowspan of a cell
_MAX_COLUMNS = 200
_MAX_REPEATED = 60  # characters of a rowspan cell that are repeated in each further row
_MAX_CELL = 1000  # a cell with more characters or blocks than this marks a layout table
_MAX_CELL_BLOCKS = 8


class _Block(NamedTuple):
    text: str
    is_item: bool = False
    is_heading: bool = False


@dataclass(slots=True)
class _Cell:
    blocks: list[_Block]
    columns: int
    rows: int

    @property
    def text(self) -> str:
        """The cell on one line, with `|` escaped."""
        lines = " ".join(block.text for block in self.blocks)
        return _SPACES.sub(" ", lines).strip().replace("|", "\\|")

    @property
    def is_layout(self) -> bool:
        """Whether the cell holds too much for a data table."""
        return (
            len(self.blocks) > _MAX_CELL_BLOCKS
            or sum(len(block.text) for block in self.blocks) > _MAX_CELL
            or any(block.is_heading for block in self.blocks)
        )


@dataclass(slots=True)
class _Table:
    rows: list[list[_Cell]] = field(default_factory=list)
    is_layout: bool = False
    is_in_cell: bool = False


@dataclass(slots=True)
class _List:
    """An open list: how its numbers are written, the next one, and the step to those after it."""

    kind: str
    number: int = 1
    step: int = 1


class BlockWriter:
    """Takes tags and text in document order; returns Markdown at the end."""

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._inline = InlineText()
        self._lists: list[_List] = []
        self._marker: str | None = None
        self._tables: list[_Table] = []
        self._num_quotes = self._num_pre = self._heading = 0

    def text(self, text: str) -> None:
        """Add text with the white space of the source."""
        self._inline.add(text if self._num_pre else _SPACES.sub(" ", text))

    def open(self, tag: str, attributes: Attributes) -> None:
        """Handle an opening tag."""
        if tag not in _BLOCKS:
            self._inline.open(tag, attributes)
            return
        self._flush()
        if tag in _HEADINGS:
            self._heading = _HEADINGS[tag]
        elif tag in _LISTS:
            self._lists.append(_list(tag, attributes))
        elif tag == "li":
            self._start_item(attributes)
        elif tag == "blockquote":
            self._num_quotes += 1
        elif tag == "pre":
            self._num_pre += 1
        elif tag == "table" or (self._tables and (tag == "tr" or tag in _CELLS)):
            self._open_table(tag, attributes)

    def close(self, tag: str) -> None:
        """Handle a closing tag."""
        if tag not in _BLOCKS:
            self._inline.close(tag)
            return
        self._flush()
        if tag in _HEADINGS:
            self._heading = 0
        elif tag in _LISTS:
            if self._lists:
                self._lists.pop()
            self._marker = None
        elif tag == "li":
            self._marker = None
        elif tag == "blockquote":
            self._num_quotes -= 1
        elif tag == "pre":
            self._num_pre -= 1
        elif tag in _CELLS and self._tables:
            self._tables[-1].is_in_cell = False
        elif tag == "table" and self._tables:
            self._close_table(self._tables.pop())

    def finish(self, title: str = "") -> str:
        """Return the Markdown; the page title comes first unless there is an `h1`."""
        self._flush()
        blocks = self._blocks
        title = _SPACES.sub(" ", title).strip()
        if title and not any(block.text.startswith("# ") for block in blocks if block.is_heading):
            blocks = [_Block(f"# {title}", is_heading=True), *blocks]
        parts: list[str] = []
        was_item = False
        for block in blocks:
            if parts:
                parts.append("\n" if block.is_item and was_item else "\n\n")
            parts.append(block.text)
            was_item = block.is_item
        return "".join(parts)

    def _flush(self) -> None:
        """End the current block, if it has text."""
        if not self._inline:
            return
        text = self._inline.take()
        if self._num_pre:
            text = text.strip("\n")
        else:
            text = _LINE_EDGES.sub("\n", _BLANKS.sub(" ", text)).strip()
        if not text.strip():
            return
        label, text = _label_of(text)
        if label and self._marker is not None:
            self._marker = f"{label} "
        elif label:
            text = f"{label} {text}"
        if self._heading:
            text = f"{'#' * self._heading} {_SPACES.sub(' ', text)}"
        elif self._num_pre and not self._is_in_cell:
            fence = "````" if "```" in text else "```"
            text = f"{fence}\n{text}\n{fence}"
        self._put(text, is_heading=self._heading > 0)

    def _put(self, text: str, *, is_heading: bool) -> None:
        """Add a block with the markers of the list or quotation it is in."""
        depth = min(len(self._lists), _MAX_INDENT)
        is_item = self._marker is not None
        if depth or is_item:
            indent = "  " * (depth - 1)
            lines = text.replace("\n", f"\n{indent}  ")
            text = f"{indent}{self._marker or '  '}{lines}"
            self._marker = None
        if self._num_quotes:
            quote = "> " * min(self._num_quotes, _MAX_INDENT)
            text = quote + text.replace("\n", f"\n{quote}")
        self._target.append(_Block(text, is_item, is_heading))

    @property
    def _is_in_cell(self) -> bool:
        return bool(self._tables) and self._tables[-1].is_in_cell and not self._tables[-1].is_layout

    @property
    def _target(self) -> list[_Block]:
        """Where to append blocks: the current cell, but only of an innermost data table."""
        return self._tables[-1].rows[-1][-1].blocks if self._is_in_cell else self._blocks

    def _start_item(self, attributes: Attributes) -> None:
        current = self._lists[-1] if self._lists else _List("bullet")
        if current.kind == "bullet":
            self._marker = "- "
            return
        current.number = _number(attributes.get("value"), current.number)
        number = write_number(current.number, current.kind)
        self._marker = f"{number}. " if number else "- "
        current.number += current.step

    def _open_table(self, tag: str, attributes: Attributes) -> None:
        if tag == "table":
            if self._tables:
                self._spread(self._tables[-1])
            is_layout = attributes.get("role") in {"presentation", "none"}
            self._tables.append(_Table(is_layout=is_layout))
            return
        table = self._tables[-1]
        if table.is_layout:
            return
        if tag == "tr" or not table.rows:
            table.rows.append([])
        if tag in _CELLS:
            columns = min(max(_number(attributes.get("colspan"), 1), 1), _MAX_SPAN)
            rows = min(max(_number(attributes.get("rowspan"), 1), 1), _MAX_SPAN)
            table.rows[-1].append(_Cell([], columns, rows))
            table.is_in_cell = True

    def _close_table(self, table: _Table) -> None:
        if table.is_layout:
            return
        rows = [row for row in table.rows if any(cell.blocks for cell in row)]
        num_columns = max((sum(cell.columns for cell in row) for row in rows), default=0)
        if not 2 <= num_columns <= _MAX_COLUMNS or any(
            cell.is_layout for row in rows for cell in row
        ):
            self._spread(table)
        elif rows:
            self._put(_render(rows), is_heading=False)

    def _spread(self, table: _Table) -> None:
        """Treat a table as page layout: append the blocks of its cells one after the other."""
        table.is_layout = True
        for row in table.rows:
            for cell in row:
                self._blocks += cell.blocks
        table.rows.clear()


def _list(tag: str, attributes: Attributes) -> _List:
    """A list as its attributes and its style make it."""
    style = _LIST_STYLE.search(attributes.get("style") or "")
    if tag != "ol":
        return _List("bullet")
    kind = kind_of(style[1].lower() if style else attributes.get("type"))
    start = _number(attributes.get("start"), 1)
    return _List(kind, start, -1 if "reversed" in attributes else 1)


def _label_of(text: str) -> tuple[str, str]:
    """The number that a block begins with, "" if it has none, and the rest of its text."""
    if not text.startswith(LABEL_START):
        return "", text
    label, _, rest = text[1:].partition(LABEL_END)
    return label, rest.lstrip()


def _number(text: str | None, default: int) -> int:
    """Parse a numeric attribute, which in HTML may hold anything."""
    match = _NUMBER.match(text or "")
    return int(match[1]) if match else default


def _render(rows: list[list[_Cell]]) -> str:
    """A Markdown table with the first row as head; rowspan cells are repeated in each row."""
    lines: list[str] = []
    spanning: dict[int, tuple[str, int]] = {}  # column → text, and the number of rows still to span
    for row in rows:
        line: list[str] = []
        for cell in row:
            _fill(line, spanning)
            for text in (cell.text, *[""] * (cell.columns - 1)):
                if cell.rows > 1:
                    spanning[len(line)] = (text[:_MAX_REPEATED], cell.rows - 1)
                line.append(text)
        _fill(line, spanning)
        lines.append(f"| {' | '.join(line)} |")
        if len(lines) == 1 and len(rows) > 1:
            lines.append(f"|{' --- |' * len(line)}")
    return "\n".join(lines)


def _fill(line: list[str], spanning: dict[int, tuple[str, int]]) -> None:
    """Add the rowspan cells from rows above, up to the next free column."""
    while len(line) in spanning:
        text, left = spanning.pop(len(line))
        if left > 1:
            spanning[len(line)] = (text, left - 1)
        line.append(text)
