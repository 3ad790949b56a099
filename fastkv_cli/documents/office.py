"""Read Word files, with mammoth of the office extra."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from xml.etree import ElementTree

from ..errors import DocumentError
from .archive import open_archive, parse_xml, refusing_damage
from .html import hidden_warning, html_to_text
from .omissions import Note, counted
from .word_parts import WordParts

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_NEEDED_PARTS = re.compile(r"\[Content_Types\]\.xml|.*\.rels|word/[^/]*\.xml")
_TEXT_PARTS = re.compile(r"word/(?:document|footnotes|endnotes)[^/]*\.xml")
_FALSE = frozenset({"0", "false", "off"})
_SMALLEST = 3  # half-points: smaller text is not meant to be read
_WORD_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


def read_docx(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read a Word file as Markdown: headings, lists, tables, notes, formulas; without images.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: Ignored: the file itself declares it.

    Returns:
        The text, with what headers and footers say before and behind it; and notes (hidden text,
        what was not read).

    Raises:
        DocumentError: when it is damaged or too large, or the office extra is not installed.
    """
    del encoding
    try:
        import mammoth
    except ImportError as error:
        raise no_extra(name, "a Word file (DOCX)") from error
    with open_archive(data, name) as archive, refusing_damage(name):
        parts = WordParts(archive)
        lean, num_hidden = _without_hidden_text(archive, parts)
        html = mammoth.convert_to_html(
            lean,
            style_map=_WORD_STYLES,
            include_embedded_style_map=False,  # the file's own could leave text out
            convert_image=mammoth.images.img_element(lambda _: {}),
        ).value
        text = html_to_text(html).text
        headers, footers = parts.margins(text)
        parts.omissions["comment"] += _count(archive, "word/comments.xml", "comment")
    notes = counted(parts.omissions)
    text = "\n\n".join(filter(None, [*headers, text, *footers]))
    return text, (*hidden_warning(num_hidden), *notes)


def no_extra(name: str, kind: str) -> DocumentError:
    """The error for a file whose library is not installed."""
    return DocumentError(
        f"{name} is {kind}, which needs the office extra", "pip install 'fastkv-cli[office]'"
    )


def _without_hidden_text(archive: zipfile.ZipFile, parts: WordParts) -> tuple[BytesIO, int]:
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
                parts.rewrite(member, root)
                content = ElementTree.tostring(root, "utf-8", xml_declaration=True)
            elif member == "word/styles.xml":
                content = _typed_styles(content)
            copy.writestr(member, content)
    lean.seek(0)
    return lean, num_hidden


def _typed_styles(styles: bytes) -> bytes:
    """The styles, without those that mammoth cannot take: without a type or an id."""
    root = parse_xml(styles)
    root[:] = [
        each
        for each in root
        if each.tag != f"{_W}style" or (each.get(f"{_W}type") and each.get(f"{_W}styleId"))
    ]
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True))


def _count(archive: zipfile.ZipFile, member: str, tag: str) -> int:
    if member not in archive.namelist():
        return 0
    return sum(1 for _ in parse_xml(archive.read(member)).iter(f"{_W}{tag}"))


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
