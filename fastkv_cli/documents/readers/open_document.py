"""Read OpenDocument texts, sheets and slides (ODT, ODS, ODP) from their XML.

No library is used: the maintained one gives cells without what is shown in them ("12%", "3 May")
and text without what struck or raised it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from ..archive import local_name, open_archive, parse_xml, refusing_damage
from ..blocks import BlockWriter
from ..html import hidden_warning
from ..omissions import Note, Omission
from .rows import MAX_COLUMNS, write_table

_MAX_DEPTH = 200
_MAX_REPEATED_ROWS = 100
_SKIPPED = frozenset(
    ("tracked-changes", "sequence-decls", "forms", "settings", "shapes", "desc", "title")
)
_LEFT_OUT = {"annotation": "comment", "object": "embedded object", "plugin": "film"}


def read_odf(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read a text, its lists, tables and notes; visible sheets as tables; slides in order.

    Arguments, result and errors are those of `read_xlsx`, but no extra is needed.
    """
    del encoding
    with open_archive(data, name) as archive, refusing_damage(name):
        members = set(archive.namelist())
        styles = _Styles()
        if "styles.xml" in members:
            styles.add(parse_xml(archive.read("styles.xml")))
        content = parse_xml(archive.read("content.xml"))
        styles.add(content)
        reader = _OdfReader(styles)
        body = next(each for each in content.iter() if local_name(each) == "body")
        text = reader.read(body)
    notes: list[Note] = [Omission(kind, number) for kind, number in reader.left_out.items()]
    if reader.hidden_sheets:
        notes.append(f"hidden sheets left out: {', '.join(reader.hidden_sheets)}")
    if reader.num_hidden_slides:
        notes.append(f"hidden slides left out: {reader.num_hidden_slides:,}")
    return text, (*notes, *hidden_warning(reader.num_hidden))


class _Styles:
    """What the styles of a document do to text: strike, raise, lower, hide or number it."""

    def __init__(self) -> None:
        self.tags: dict[str, list[str]] = {}
        self.hidden: set[str] = set()
        self.numbered: set[str] = set()

    def add(self, root: Element) -> None:
        for style in root.iter():
            kind, name = local_name(style), _get(style, "name")
            if kind == "style":
                for properties in style:
                    self._add_properties(name, properties)
            elif kind == "list-style":
                first = next(iter(style), None)
                if first is not None and local_name(first) == "list-level-style-number":
                    self.numbered.add(name)

    def _add_properties(self, name: str, properties: Element) -> None:
        tags = self.tags.setdefault(name, [])
        if _get(properties, "text-line-through-style") not in {"", "none"}:
            tags.append("s")
        position = _get(properties, "text-position").split(" ")[0]
        if position.startswith("super") or (position[:1].isdigit() and position[0] != "0"):
            tags.append("sup")
        elif position.startswith(("sub", "-")):
            tags.append("sub")
        if _get(properties, "visibility") == "hidden":  # of a slide
            self.hidden.add(name)
        is_table = local_name(properties) == "table-properties"
        if _get(properties, "display") == ("false" if is_table else "none"):
            self.hidden.add(name)


class _OdfReader:
    def __init__(self, styles: _Styles) -> None:
        self._styles = styles
        self._writer = BlockWriter()
        self._num_slides = 0
        self._title: Element | None = None  # of the slide, which its heading has
        self.num_hidden_slides = 0
        self._notes: list[str] = []
        self.left_out: Counter[str] = Counter()
        self.hidden_sheets: list[str] = []
        self.num_hidden = 0

    def read(self, body: Element) -> str:
        """The text of a document's body."""
        sheets = [each for each in body if local_name(each) == "spreadsheet"]
        if sheets:
            tables = [each for sheet in sheets for each in sheet if local_name(each) == "table"]
            return "\n\n".join(filter(None, map(self._sheet, tables)))
        self._walk(body, 0)
        return "\n\n".join([self._writer.finish(), *self._notes])

    def _sheet(self, table: Element) -> str:
        name = _get(table, "name")
        if _get(table, "style-name") in self._styles.hidden:
            self.hidden_sheets.append(name)
            return ""
        rows = write_table(self._rows(table))
        return f"## {name}\n\n{rows}" if rows else ""

    def _rows(self, table: Element) -> Iterator[list[str]]:
        for row in table.iter():
            if local_name(row) != "table-row":
                continue
            cells: list[str] = []
            for cell in row:
                if local_name(cell) not in {"table-cell", "covered-table-cell"}:
                    continue
                text = self._cell(cell)
                repeated = min(_number(cell, "number-columns-repeated"), MAX_COLUMNS - len(cells))
                cells += [text] * repeated
            if any(cells):
                yield from [cells] * min(_number(row, "number-rows-repeated"), _MAX_REPEATED_ROWS)
            else:
                yield []

    def _cell(self, cell: Element) -> str:
        paragraphs = []
        for child in cell:
            if local_name(child) == "annotation":
                self.left_out["comment"] += 1
            elif local_name(child) == "p":
                inner = _OdfReader(self._styles)
                inner._walk(child, 0)
                paragraphs.append(inner._writer.finish())
        return " ".join(paragraphs) or _get(cell, "value")

    def _walk(self, element: Element, depth: int) -> None:
        kind = local_name(element)
        if kind in _SKIPPED or depth > _MAX_DEPTH or element is self._title:
            return
        if kind in _LEFT_OUT:
            self.left_out[_LEFT_OUT[kind]] += 1
            return
        style = _get(element, "style-name")
        if kind == "page":
            self._num_slides += 1
            if style in self._styles.hidden:
                self.num_hidden_slides += 1
                return
        is_hidden = style in self._styles.hidden or _get(element, "display") == "none"
        if is_hidden or kind == "hidden-text":
            self.num_hidden += bool("".join(element.itertext()).strip())
            return
        tags = self._tags(element, kind, style)
        for tag, attributes in tags:
            self._writer.open(tag, attributes)
        self._inside(element, kind, depth)
        for tag, _ in reversed(tags):
            self._writer.close(tag)

    def _inside(self, element: Element, kind: str, depth: int) -> None:
        if kind == "s":
            self._writer.text(" " * min(_number(element, "c"), 10))
        elif kind == "tab":
            self._writer.text(" ")
        elif kind == "line-break":
            self._writer.open("br", {})
        elif kind == "note":
            self._note(element)
            return
        elif kind == "page":
            self._heading(element)
        elif kind == "notes":
            self._writer.open("p", {})
            if words := " ".join("".join(element.itertext()).split()):
                self._writer.text(f"Notes: {words}")
            self._writer.close("p")
            return
        if element.text and kind not in {"body", "text"}:
            self._writer.text(element.text)
        for child in element:
            self._walk(child, depth + 1)
            if child.tail and child.tail.strip("\n\t "):
                self._writer.text(child.tail)
            elif child.tail and kind in {"p", "h", "span", "a"}:
                self._writer.text(" ")

    def _heading(self, slide: Element) -> None:
        """A slide's heading, with its title."""
        frames = (each for each in slide if _get(each, "class") == "title")
        self._title = next(frames, None)
        title = " ".join("".join(self._title.itertext()).split()) if self._title is not None else ""
        self._writer.open("h2", {})
        self._writer.text(f"Slide {self._num_slides}" + (f": {title}" if title else ""))
        self._writer.close("h2")

    def _note(self, element: Element) -> None:
        """Put a note's mark into the text, and the note at its end."""
        mark = ""
        for child in element:
            if local_name(child) == "note-citation":
                mark = f"[{''.join(child.itertext()).strip()}]"
                self._writer.text(f" {mark}")
            else:
                inner = _OdfReader(self._styles)
                inner._walk(child, 0)
                self._notes.append(f"{mark} {inner._writer.finish()}")

    def _tags(
        self, element: Element, kind: str, style: str
    ) -> list[tuple[str, dict[str, str | None]]]:
        marks: list[tuple[str, dict[str, str | None]]] = []
        if kind in {"p", "span"}:
            marks = [(tag, {}) for tag in self._styles.tags.get(style, [])]
        spans = {
            "colspan": _get(element, "number-columns-spanned") or None,
            "rowspan": _get(element, "number-rows-spanned") or None,
        }
        tags: dict[str, tuple[str, dict[str, str | None]]] = {
            "h": (f"h{min(max(_number(element, 'outline-level'), 1), 6)}", {}),
            "p": ("p", {}),
            "list": ("ol" if style in self._styles.numbered else "ul", {}),
            "list-item": ("li", {}),
            "table": ("table", {}),
            "table-row": ("tr", {}),
            "table-cell": ("td", spans),
            "text-box": ("div", {}),
        }
        return [tags[kind], *marks] if kind in tags else marks


def _get(element: Element, name: str) -> str:
    """An attribute by its name without a namespace; "" if there is none."""
    ending = "}" + name
    return next((value for key, value in element.items() if key.endswith(ending)), "")


def _number(element: Element, name: str) -> int:
    value = _get(element, name)
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 8 else 1
