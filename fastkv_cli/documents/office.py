"""Read Word and PowerPoint files, with the libraries of the office extra."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from ..errors import DocumentError
from .archive import open_archive, parse_xml, refusing_damage
from .html import hidden_warning, html_to_text

if TYPE_CHECKING:
    from pptx.slide import Slide

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_NEEDED_PARTS = re.compile(r"\[Content_Types\]\.xml|.*\.rels|word/[^/]*\.xml")
_TEXT_PARTS = re.compile(r"word/(?:document|footnotes|endnotes)[^/]*\.xml")
_FALSE = frozenset({"0", "false", "off"})
_SMALLEST = 3  # half-points: smaller text is not meant to be read
_WORD_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


def read_docx(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Read a Word file as Markdown: headings, lists, tables, notes; without images.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: Ignored: the file itself declares it.

    Returns:
        The text, and warnings (hidden text).

    Raises:
        DocumentError: when it is damaged or too large, or the office extra is not installed.
    """
    del encoding
    try:
        import mammoth
    except ImportError as error:
        raise _no_extra(name, "a Word file (DOCX)") from error
    with open_archive(data, name) as archive, refusing_damage(name):
        lean, num_hidden = _without_hidden_text(archive)
        html = mammoth.convert_to_html(
            lean,
            style_map=_WORD_STYLES,
            include_embedded_style_map=False,  # the file's own could leave text out
            convert_image=mammoth.images.img_element(lambda _: {}),
        ).value
    text, _ = html_to_text(html)
    warning = hidden_warning(num_hidden)
    return text, () if warning is None else (warning,)


def read_pptx(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Read a PowerPoint file as Markdown: a heading per slide, lists, tables, speaker notes.

    Arguments, result and errors are those of `read_docx`.
    """
    del encoding
    try:
        import pptx
    except ImportError as error:
        raise _no_extra(name, "a PowerPoint file (PPTX)") from error
    open_archive(data, name).close()
    with refusing_damage(name):
        slides = list(pptx.Presentation(BytesIO(data)).slides)
        texts = [
            _slide_text(number, slide)
            for number, slide in enumerate(slides, start=1)
            if slide._element.get("show") not in _FALSE
        ]
    num_hidden = len(slides) - len(texts)
    warnings = () if not num_hidden else (f"hidden slides left out: {num_hidden:,}",)
    return "\n\n".join(texts), warnings


def _no_extra(name: str, kind: str) -> DocumentError:
    return DocumentError(
        f"{name} is {kind}, which needs the office extra", "pip install 'fastkv-cli[office]'"
    )


def _without_hidden_text(archive: zipfile.ZipFile) -> tuple[BytesIO, int]:
    """A copy of a Word file without images and hidden text, and the number of hidden places."""
    lean, num_hidden = BytesIO(), 0
    hidden_styles: set[str] = set()
    if "word/styles.xml" in archive.namelist():
        hidden_styles = {
            style.get(f"{_W}styleId", "")
            for style in parse_xml(archive.read("word/styles.xml")).iter(f"{_W}style")
            if _is_hidden(style.find(f"{_W}rPr"), set())
        }
    with zipfile.ZipFile(lean, "w") as copy:
        for member in archive.namelist():
            if not _NEEDED_PARTS.fullmatch(member):
                continue
            content = archive.read(member)
            if _TEXT_PARTS.fullmatch(member):
                root = parse_xml(content)
                num_hidden += _remove_hidden_runs(root, hidden_styles)
                for simple in root.iter(f"{_W}fldSimple"):  # mammoth drops its text
                    simple.tag = f"{_W}smartTag"
                content = ElementTree.tostring(root, "utf-8", xml_declaration=True)
            copy.writestr(member, content)
    lean.seek(0)
    return lean, num_hidden


def _remove_hidden_runs(root: ElementTree.Element, hidden_styles: set[str]) -> int:
    """Remove the runs that Word hides; returns the number of places (adjacent runs are one)."""
    num_places = 0
    for parent in root.iter():
        hidden: list[ElementTree.Element] = []
        was_hidden = False
        for child in parent:
            is_hidden = child.tag == f"{_W}r" and _is_hidden(child.find(f"{_W}rPr"), hidden_styles)
            if is_hidden:
                hidden.append(child)
                num_places += not was_hidden and child.find(f"{_W}t") is not None
            was_hidden = is_hidden
        if hidden:
            gone = set(map(id, hidden))
            parent[:] = [child for child in parent if id(child) not in gone]
    return num_places


def _is_hidden(properties: ElementTree.Element | None, hidden_styles: set[str]) -> bool:
    """Whether run properties hide the text: directly, by size, or by style."""
    if properties is None:
        return False
    vanish = properties.find(f"{_W}vanish")
    if vanish is not None:
        return vanish.get(f"{_W}val") not in _FALSE
    size = properties.find(f"{_W}sz")
    half_points = (size.get(f"{_W}val") or "") if size is not None else ""
    if half_points.isdecimal():
        digits = half_points.lstrip("0")  # in any script, and of any length
        return len(digits) < 10 and int(digits or "0") < _SMALLEST
    style = properties.find(f"{_W}rStyle")
    return style is not None and style.get(f"{_W}val") in hidden_styles


def _slide_text(number: int, slide: Slide) -> str:
    """One slide: its title as heading, then its content, then its notes."""
    title = slide.shapes.title
    heading = " ".join(title.text_frame.text.split()) if title is not None else ""
    blocks = [f"## Slide {number}: {heading}" if heading else f"## Slide {number}"]
    for shape in _shapes(slide.shapes):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if shape.has_table:
            blocks.append(_table_text(shape.table))
        elif shape.has_text_frame:
            blocks.append(_paragraphs(shape.text_frame.paragraphs, is_list=shape.is_placeholder))
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        blocks.append(f"Notes: {notes}" if notes else "")
    return "\n\n".join(filter(None, blocks))


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


def _paragraphs(paragraphs: Sequence[Any], *, is_list: bool) -> str:
    """Paragraphs, as a list if the layout makes them one."""
    lines = [(paragraph.level, paragraph.text.strip()) for paragraph in paragraphs]
    lines = [(level, " ".join(text.split())) for level, text in lines if text]
    if is_list and len(lines) > 1:
        return "\n".join(f"{'  ' * level}- {text}" for level, text in lines)
    return "\n\n".join(text for _, text in lines)


def _table_text(table: Any) -> str:
    rows = [
        [" ".join(cell.text.split()).replace("|", "\\|") for cell in row.cells]
        for row in table.rows
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if len(lines) > 1:
        lines.insert(1, f"|{' --- |' * len(rows[0])}")
    return "\n".join(lines)
