"""The numbers of charts, and the texts of diagrams (SmartArt), in office files."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_D = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_MAX_ROWS = 2000


def chart_rows(chart: Element) -> tuple[str, list[list[str]]]:
    """A chart as a table.

    Args:
        chart: The root of its part.

    Returns:
        Its title, "" if it has none; and a header row with the names of the series, then a row for
        each category (or x value). Empty if it holds no values.
    """
    title = chart.find(f".//{_C}chart/{_C}title")
    name = "" if title is None else " ".join(_texts(title, f"{_A}t"))
    series = list(chart.iter(f"{_C}ser"))
    names = [" ".join(_texts(each.find(f"{_C}tx"), f"{_C}v")) or "Value" for each in series]
    categories: dict[int, str] = {}
    columns: list[dict[int, str]] = []
    for each in series:
        for at, text in _points(_first(each, "cat", "xVal")):
            categories.setdefault(at, text)
        columns.append(dict(_points(_first(each, "val", "yVal"))))
    places = sorted({at for column in columns for at in column} | set(categories))[:_MAX_ROWS]
    if not places:
        return name, []
    rows = (
        [categories.get(at, str(at + 1)), *(column.get(at, "") for column in columns)]
        for at in places
    )
    return name, [["", *names], *rows]


def diagram_texts(diagram: Element) -> list[str]:
    """The texts of the nodes of a diagram, in the order of its data."""
    found = []
    for point in diagram.iter(f"{_D}pt"):
        text = " ".join("".join(_texts(point.find(f"{_D}t"), f"{_A}t")).split())
        if text:
            found.append(text)
    return found


def _first(parent: Element, *tags: str) -> Element | None:
    return next((found for tag in tags if (found := parent.find(f"{_C}{tag}")) is not None), None)


def _points(parent: Element | None) -> Iterator[tuple[int, str]]:
    """Index and value of each cached point."""
    for point in () if parent is None else parent.iter(f"{_C}pt"):
        index, value = point.get("idx", ""), point.find(f"{_C}v")
        if index.isascii() and index.isdecimal() and len(index) < 7 and value is not None:
            yield int(index), _shortened(" ".join((value.text or "").split()))


def _shortened(number: str) -> str:
    """A number without the digits that only binary fractions have: 0.30000000000000004."""
    try:
        value = float(number)
    except ValueError:
        return number
    return number if len(number) <= 12 else f"{value:.10g}"


def _texts(parent: Element | None, tag: str) -> Iterator[str]:
    for each in () if parent is None else parent.iter(tag):
        if each.text and each.text.strip():
            yield each.text
