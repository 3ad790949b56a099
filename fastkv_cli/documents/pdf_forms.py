"""What a PDF page shows beside its content: form values, typed-on notes; and what is not read.

PDFium's text is that of a page's content. Values of form fields and notes are annotations, which
every viewer draws over it. Comments, attachments and XFA templates are counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .archive import local_name, parse_xml
from .omissions import Omission
from .pdf_chars import Turn
from .pdf_lines import Line, Piece
from .pdf_rules import Rule
from .pdf_segments import Char

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

_TYPED_ON = frozenset(("/FreeText",))
_COMMENTS = frozenset(
    ("/Text", "/Highlight", "/Underline", "/Squiggly", "/Caret", "/Ink", "/Stamp")
)
_MAX_DEPTH = 20
_MAX_ANNOTATIONS = 5000
_HIDDEN = 0b100010  # annotation flags: hidden, and not viewed
_LINE_SIZE = 12.0  # points


def annotation_lines(page: PageObject, turn: Turn | None) -> tuple[list[Line], list[Rule], int]:
    """What annotations add to a page.

    Args:
        page: The page.
        turn: Maps places to the page as it is shown; None where they are the same.

    Returns:
        Lines of text with their places, in the order of the file; the lines that strike text out;
        and the number of comments.
    """
    lines: list[Line] = []
    strikes: list[Rule] = []
    num_comments = 0
    for note in _annotations(page):
        with contextlib.suppress(Exception):  # one that is broken must not lose the page
            kind = note.get("/Subtype")
            if int(note.get("/F", 0)) & _HIDDEN:
                continue
            if kind == "/Widget":
                lines += _at(note, turn, _field_text(note))
            elif kind in _TYPED_ON:
                lines += _at(note, turn, _contents(note))
            elif kind == "/StrikeOut":
                strikes += _strikes(note, turn)
                num_comments += bool(_contents(note))
            elif kind in _COMMENTS:
                num_comments += bool(_contents(note))
    return lines, strikes, num_comments


def hidden_layers(reader: PdfReader) -> frozenset[str]:
    """The names of the layers that are off, unless another layer of that name is on."""
    with contextlib.suppress(Exception):
        root: Any = reader.trailer["/Root"]
        properties = root.get("/OCProperties")
        if properties is None:
            return frozenset()
        default = properties.get_object()["/D"].get_object()
        off = {item.idnum for item in default.get("/OFF", ())}
        groups = list(properties.get_object()["/OCGs"].get_object())
        if default.get("/BaseState") == "/OFF":
            on = {item.idnum for item in default.get("/ON", ())}
            off = {group.idnum for group in groups} - on
        names = {True: set[str](), False: set[str]()}
        for group in groups:
            names[group.idnum in off].add(str(group.get_object().get("/Name", "")))
        return frozenset(names[True] - names[False])
    return frozenset()


def document_extras(reader: PdfReader) -> tuple[str, list[Omission | str]]:
    """What belongs to a file but to none of its pages.

    Returns:
        The values of an XFA form as lines, "" if there are none; and notes about attachments.
    """
    notes: list[Omission | str] = []
    values = ""
    with contextlib.suppress(Exception):
        names = sorted(reader.attachments)
        if names:
            shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
            notes.append(Omission("attachment", len(names)))
            notes.append(f"to read what is attached, save it from a PDF viewer: {shown}")
    with contextlib.suppress(Exception):
        values = "\n".join(_xfa_values(reader))
    if values:
        notes.append("an XFA form: its values are read, behind the first page; its labels are not")
    return values, notes


def _annotations(page: PageObject) -> Iterator[Any]:
    with contextlib.suppress(Exception):
        found: Any = page.get("/Annots")
        for item in list(found.get_object() if found is not None else ())[:_MAX_ANNOTATIONS]:
            note = item.get_object()
            if hasattr(note, "get"):
                yield note


def _contents(note: Any) -> str:
    return " ".join(str(note.get("/Contents", "")).split())


def _at(note: Any, turn: Turn | None, text: str) -> list[Line]:
    """A line of text in the rectangle of an annotation; none if there is no text."""
    if not text:
        return []
    a, b, c, d = (float(value) for value in note["/Rect"])
    left, bottom, right, top = _shown((min(a, c), min(b, d), max(a, c), max(b, d)), turn)
    size = min(top - bottom, _LINE_SIZE) or _LINE_SIZE
    base = top - size if top - bottom > 2 * _LINE_SIZE else (top + bottom - size) / 2
    char = Char(text, left, right, base, size)
    return [Line([char], True, base, size, [Piece([char], base, size, left, right, text)])]


def _shown(
    box: tuple[float, float, float, float], turn: Turn | None
) -> tuple[float, float, float, float]:
    return box if turn is None else turn(*box)


def _inherited(note: Any, key: str) -> Any:
    """A value of a form field, or of the fields that it is in."""
    for _ in range(_MAX_DEPTH):
        value = note.get(key)
        if value is not None:
            return value.get_object()
        parent = note.get("/Parent")
        if parent is None:
            break
        note = parent.get_object()
    return None


def _field_text(note: Any) -> str:
    """The value of a form field as a reader sees it: text, a choice, or a box to tick."""
    kind, flags = _inherited(note, "/FT"), int(_inherited(note, "/Ff") or 0)
    if kind == "/Btn":
        if flags & 1 << 16:  # a push button
            return ""
        state = note.get("/AS") or _inherited(note, "/V") or "/Off"
        return "[ ]" if str(state) in {"/Off", "Off"} else "[x]"
    if flags & 1 << 13:  # a password
        return ""
    value = _inherited(note, "/V")
    if value is None or kind not in {"/Tx", "/Ch"}:
        return ""
    values = value if isinstance(value, list) else [value]
    if kind == "/Ch":
        shown = _choices(note)
        values = [shown.get(str(each), each) for each in values]
    return " ".join(", ".join(map(_string, values)).split())


def _choices(note: Any) -> dict[str, Any]:
    """What is shown for each value of a list to choose from."""
    options = _inherited(note, "/Opt") or ()
    pairs = (option.get_object() for option in options)
    return {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, list) and len(pair) > 1}


def _string(value: Any) -> str:
    data = getattr(value.get_object() if hasattr(value, "get_object") else value, "get_data", None)
    return data().decode("utf-8", "replace") if data is not None else str(value)


def _strikes(note: Any, turn: Turn | None) -> list[Rule]:
    """A line through the middle of each quadrilateral of an annotation."""
    points = [float(value) for value in note.get("/QuadPoints", ())]
    rules = []
    for at in range(0, len(points) - 7, 8):
        xs, ys = points[at : at + 8 : 2], points[at + 1 : at + 8 : 2]
        left, bottom, right, top = _shown((min(xs), min(ys), max(xs), max(ys)), turn)
        rules.append(Rule(left, (bottom + top) / 2, right, (bottom + top) / 2))
    return rules


def _xfa_values(reader: PdfReader) -> Iterator[str]:
    """`name: value` for each filled field of an XFA form's data."""
    root: Any = reader.trailer["/Root"]
    form = root.get("/AcroForm")
    parts = form.get_object().get("/XFA") if form is not None else None
    if parts is None:
        return
    parts = parts.get_object()
    streams = parts[1::2] if isinstance(parts, list) else [parts]
    names = parts[::2] if isinstance(parts, list) else ["datasets"]
    for name, stream in zip(names, streams, strict=False):
        if str(name) not in {"datasets", "xdp"}:
            continue
        tree = parse_xml(stream.get_object().get_data())
        data = next((each for each in tree.iter() if local_name(each) == "data"), tree)
        for field in data.iter():
            text = " ".join((field.text or "").split())
            if text and not len(field):
                yield f"{local_name(field)}: {text}"
