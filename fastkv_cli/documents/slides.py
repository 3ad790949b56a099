"""Read PowerPoint files, with python-pptx of the office extra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from .archive import local_name, open_archive, parse_xml, refusing_damage
from .charts import chart_rows, diagram_texts
from .formulas import from_omml, from_xml
from .numerals import write_number
from .office import no_extra
from .omissions import Note, counted
from .scripts import lower_text, raise_text

if TYPE_CHECKING:
    from pptx.slide import Slide

_FALSE = frozenset({"0", "false", "off"})
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_NUMBERS = {"arabic": "decimal", "alphaLc": "letter", "alphaUc": "LETTER", "romanLc": "roman",
            "romanUc": "ROMAN"}  # fmt: skip
_AROUND = {"Period": ("", "."), "ParenR": ("", ")"), "ParenBoth": ("(", ")"), "Plain": ("", "")}


def read_pptx(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read a PowerPoint file as Markdown: a heading per slide, lists, tables, charts, notes.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: Ignored: the file itself declares it.

    Returns:
        The text, and notes (hidden slides, what was not read).

    Raises:
        DocumentError: when it is damaged or too large, or the office extra is not installed.
    """
    del encoding
    try:
        import pptx
    except ImportError as error:
        raise no_extra(name, "a PowerPoint file (PPTX)") from error
    open_archive(data, name).close()
    notes: list[Note] = []
    with refusing_damage(name):
        slides = list(pptx.Presentation(BytesIO(data)).slides)
        texts = []
        for number, slide in enumerate(slides, start=1):
            if slide._element.get("show") not in _FALSE:
                reader = _SlideReader(slide)
                texts.append(reader.read(number))
                notes += counted(reader.omissions, (number,))
    num_hidden = len(slides) - len(texts)
    if num_hidden:
        notes.insert(0, f"hidden slides left out: {num_hidden:,}")
    return "\n\n".join(texts), tuple(notes)


class _SlideReader:
    """Reads one slide, and counts what cannot be read of it."""

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self.omissions = Counter[str]()

    def read(self, number: int) -> str:
        """Its title as heading, then its content, then its notes."""
        slide = self._slide
        title: Any = slide.shapes.title
        has_title = title is not None and title.has_text_frame  # a picture may be in its place
        heading = " ".join(_text_of(title.text_frame.paragraphs).split()) if has_title else ""
        blocks = [f"## Slide {number}: {heading}" if heading else f"## Slide {number}"]
        for shape in _shapes(slide.shapes):
            if has_title and shape.shape_id == title.shape_id:
                continue
            blocks.append(self._shape_text(shape))
        if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
            notes = _text_of(slide.notes_slide.notes_text_frame.paragraphs, "\n").strip()
            blocks.append(f"Notes: {notes}" if notes else "")
        for relation in slide.part.rels.values():
            self.omissions["comment"] += relation.reltype.endswith("/comments")
        return "\n\n".join(filter(None, blocks))

    def _shape_text(self, shape: Any) -> str:
        if shape.has_table:
            return _table_text(
                [[_text_of(cell.text_frame.paragraphs, " ") for cell in row.cells] for row in
                 shape.table.rows]
            )  # fmt: skip
        if shape.has_text_frame:
            return _paragraphs(shape.text_frame.paragraphs, is_list=shape.is_placeholder)
        if shape.has_chart:
            title, rows = chart_rows(parse_xml(shape.chart.part.blob))
            self.omissions["chart"] += not rows
            table = _table_text(rows) if rows else ""
            return f"Chart: {title}\n\n{table}" if title and table else table
        for element in shape._element.iter():
            name = local_name(element) if isinstance(element.tag, str) else ""
            if name == "relIds":
                return self._diagram_text(element)
            if name in {"oleObj", "videoFile", "audioFile"}:
                kind = {"oleObj": "embedded object", "videoFile": "video"}.get(name, "recording")
                self.omissions[kind] += 1
                return ""
        return ""

    def _diagram_text(self, element: Any) -> str:
        key = next((v for k, v in element.attrib.items() if k == f"{_R}dm"), "")
        part = self._slide.part.related_part(key) if key in self._slide.part.rels else None
        texts = [] if part is None else diagram_texts(parse_xml(part.blob))
        self.omissions["diagram"] += not texts
        return "\n".join(f"- {text}" for text in texts)


def _shapes(shapes: Any) -> Iterator[Any]:
    """All visible shapes, with groups expanded in place."""
    waiting = list(shapes)[::-1]
    while waiting:
        shape = waiting.pop()
        if shape._element.xpath("./*/p:cNvPr[@hidden='1' or @hidden='true']"):
            continue
        if hasattr(shape, "shapes"):
            waiting += list(shape.shapes)[::-1]
        else:
            yield shape


def _text_of(paragraphs: Sequence[Any], joint: str = " ") -> str:
    return joint.join(map(_paragraph_text, paragraphs))


def _paragraph_text(paragraph: Any) -> str:
    """A paragraph with its raised, lowered and struck text, and its formulas."""
    parts: list[str] = []
    for child in paragraph._p.iter():
        name = local_name(child) if isinstance(child.tag, str) else ""
        if name == "br":
            parts.append("\n")
        elif name in {"r", "fld"} and not child.tag.startswith(_MATH):
            parts.append(_run_text(child, "".join(parts[-3:])))
        elif child.tag == f"{_MATH}oMath":
            parts.append(from_omml(from_xml(child)))
    return "".join(parts).strip()


def _run_text(run: Any, before: str) -> str:
    text = "".join(each.text or "" for each in run if local_name(each) == "t")
    properties = next((each for each in run if local_name(each) == "rPr"), None)
    if properties is None or not text.strip():
        return text
    shift = (properties.get("baseline") or "0").rstrip("%").lstrip("+")
    if shift.lstrip("-").isdecimal() and int(shift[:8]):
        text = lower_text(text) if shift.startswith("-") else raise_text(text, before)
    if (properties.get("strike") or "noStrike") != "noStrike":
        text = text.replace(text.strip(), f"~~{text.strip()}~~")
    return text


def _paragraphs(paragraphs: Sequence[Any], *, is_list: bool) -> str:
    """Paragraphs, as a list if the layout or their numbers make them one."""
    lines: list[tuple[int, str, str]] = []
    counts: dict[int, int] = {}
    for paragraph in paragraphs:
        text = " ".join(_paragraph_text(paragraph).split())
        if text:
            lines.append((paragraph.level, _number(paragraph, counts), text))
    if (is_list and len(lines) > 1) or any(number for _, number, _ in lines):
        return "\n".join(f"{'  ' * level}{number or '-'} {text}" for level, number, text in lines)
    return "\n\n".join(text for _, _, text in lines)


def _number(paragraph: Any, counts: dict[int, int]) -> str:
    """The automatic number before a paragraph; "" if it has none. Counts on in `counts`."""
    level = paragraph.level
    for deeper in [each for each in counts if each > level]:
        del counts[deeper]
    properties = paragraph._p.pPr
    found = None
    if properties is not None:
        found = next((e for e in properties if local_name(e) == "buAutoNum"), None)
    if found is None:
        counts.pop(level, None)
        return ""
    start = found.get("startAt") or "1"
    counts[level] = counts.get(level, int(start[:6]) - 1 if start.isdecimal() else 0) + 1
    scheme = found.get("type") or "arabicPeriod"
    kind = next((k for name, k in _NUMBERS.items() if scheme.startswith(name)), "decimal")
    opening, closing = next((v for k, v in _AROUND.items() if scheme.endswith(k)), ("", "."))
    return f"{opening}{write_number(counts[level], kind, repeats=True)}{closing}"


def _table_text(rows: Sequence[Sequence[str]]) -> str:
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    if len(lines) > 1:
        lines.insert(1, f"|{' --- |' * len(cells[0])}")
    return "\n".join(lines)
