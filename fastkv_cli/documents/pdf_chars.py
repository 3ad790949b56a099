"""The characters of a PDF page with their places, and the straight lines drawn on it, by PDFium."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .document import MAX_CHARACTERS

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_HYPHENS = frozenset((0x2, 0xFFFE))  # PDFium's sign for a hyphen that it takes to cut a word
_LIGATURES = {0x0B: "ff", 0x0C: "fi", 0x0D: "fl", 0x0E: "ffi", 0x0F: "ffl"}  # TeX's OT1
# Parts of tall brackets in Adobe's private area: the topmost stands for the whole.
_BRACKETS = dict(zip(map(ord, "\uf8eb\uf8f6\uf8ee\uf8f9\uf8f1\uf8fc"), "()[]{}", strict=True))
_BRACKET_PIECES = frozenset(range(0xF8E5, 0xF8FF)) - _BRACKETS.keys()
_THIN = 2.5  # points: a rectangle no thicker than this is a line
_MAX_OBJECTS = 20_000  # objects of a page that are searched for lines


@dataclass(slots=True)
class Char:
    """A character and its place, in points from the lower left corner.

    Attributes:
        text: One character, or the letters of a ligature.
        left, right: Its advance box.
        base: Its baseline.
        size: The height of its font's line, about 1.2 times the font size.
    """

    text: str
    left: float
    right: float
    base: float
    size: float


Segment = list[Char]
"""Characters on one line without an end of line that PDFium saw between them."""


class Rule(NamedTuple):
    """A straight line that is drawn: horizontal if `top` equals `bottom`, else vertical."""

    left: float
    bottom: float
    right: float
    top: float


Turn = Callable[[float, float, float, float], tuple[float, float, float, float]]
"""Maps left, bottom, right and top from the page as it is stored to the page as it is shown."""


def turned(page: PdfPage) -> Turn:
    """How places of a page are mapped, by its rotation; all but their differences is arbitrary."""
    return {
        90: lambda left, bottom, right, top: (bottom, -right, top, -left),
        180: lambda left, bottom, right, top: (-right, -top, -left, -bottom),
        270: lambda left, bottom, right, top: (-top, left, -bottom, right),
    }.get(page.get_rotation(), lambda *box: box)


def open_text(data: bytes, password: str | bytes | None) -> PdfDocument | None:
    """Open a PDF with PDFium; None if it cannot."""
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        return PdfDocument(data, password)
    except PdfiumError:
        return None


def read_chars(page: PdfPage, hidden_layers: frozenset[str]) -> tuple[list[Segment], int]:
    """The characters of a page in drawing order, cut into segments where PDFium sees a new line.

    Args:
        page: The page.
        hidden_layers: Names of layers whose text is not shown.

    Returns:
        The segments, and the number of characters left out because their layer is hidden.
    """
    from pypdfium2 import raw

    text_page = page.get_textpage()
    handle, box = text_page.raw, raw.FS_RECTF()
    box_at = ctypes.byref(box)
    x, y = ctypes.c_double(), ctypes.c_double()
    x_at, y_at = ctypes.byref(x), ctypes.byref(y)
    segments: list[Segment] = []
    segment: Segment = []
    num_hidden = 0
    turn = turned(page)
    layers = _Layers(handle, hidden_layers) if hidden_layers else None
    for index in range(min(text_page.count_chars(), MAX_CHARACTERS + 1)):
        code = raw.FPDFText_GetUnicode(handle, index)
        if code in {10, 13} and raw.FPDFText_IsGenerated(handle, index) == 1:
            if segment:
                segments.append(segment)
                segment = []
            continue
        if layers is not None and layers.hides(index):
            num_hidden += 1
            continue
        raw.FPDFText_GetLooseCharBox(handle, index, box_at)
        raw.FPDFText_GetCharOrigin(handle, index, x_at, y_at)
        left, bottom, right, top = turn(box.left, box.bottom, box.right, box.top)
        base = turn(x.value, y.value, x.value, y.value)[1]
        is_hyphen = code in _HYPHENS
        text = "-" if is_hyphen else _BRACKETS.get(code) or chr(code)
        if (code < 32 and not is_hyphen and code not in _LIGATURES) or code in _BRACKET_PIECES:
            continue
        segment.append(Char(text, left, right, base, top - bottom))
        if is_hyphen:
            segments.append(segment)
            segment = []
    if segment:
        segments.append(segment)
    text_page.close()
    segments = [kept for segment in segments if (kept := _spell_ligatures(segment))]
    return segments, num_hidden


def _spell_ligatures(segment: Segment) -> Segment:
    """Write TeX's codes of ligatures as letters beside letters; elsewhere they are no text."""
    if not any(ord(char.text) < 32 for char in segment):
        return segment
    kept: Segment = []
    for at, char in enumerate(segment):
        if ord(char.text[0]) < 32:
            beside = [*segment[max(at - 1, 0) : at], *segment[at + 1 : at + 2]]
            if not any(each.text.isalpha() for each in beside):
                continue
            char.text = _LIGATURES[ord(char.text)]
        kept.append(char)
    return kept


class _Layers:
    """Tells which characters are in a hidden layer, by the marks of their text object."""

    def __init__(self, handle: object, hidden: frozenset[str]) -> None:
        self._handle = handle
        self._hidden = hidden
        self._known: dict[int, bool] = {}

    def hides(self, index: int) -> bool:
        from pypdfium2 import raw

        shown_by = raw.FPDFText_GetTextObject(self._handle, index)
        key = ctypes.addressof(shown_by.contents) if shown_by else 0
        if key not in self._known:
            self._known[key] = bool(shown_by) and any(
                name in self._hidden for name in _layer_names(shown_by)
            )
        return self._known[key]


def _layer_names(shown: object) -> Iterator[str]:
    """The names of the layers that an object is in."""
    from pypdfium2 import raw

    size, buffer = ctypes.c_ulong(), ctypes.create_string_buffer(512)
    for number in range(raw.FPDFPageObj_CountMarks(shown)):
        mark = raw.FPDFPageObj_GetMark(shown, number)
        wide = ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR))
        if raw.FPDFPageObjMark_GetParamStringValue(mark, b"Name", wide, 512, ctypes.byref(size)):
            yield buffer.raw[: size.value].decode("utf-16-le", "replace").rstrip("\0")


def read_rules(page: PdfPage) -> list[Rule]:
    """The straight lines of a page: thin rectangles, the sides of drawn ones, and strokes."""
    from pypdfium2 import raw

    rules: list[Rule] = []
    turn = turned(page)
    for number, item in enumerate(page.get_objects(filter=(raw.FPDF_PAGEOBJ_PATH,), max_depth=4)):
        if number > _MAX_OBJECTS:
            break
        left, bottom, right, top = turn(*item.get_bounds())
        wide, high = right - left, top - bottom
        if high <= _THIN < wide:
            middle = (top + bottom) / 2
            rules.append(Rule(left, middle, right, middle))
        elif wide <= _THIN < high:
            middle = (left + right) / 2
            rules.append(Rule(middle, bottom, middle, top))
        elif wide > _THIN and high > _THIN and _is_rectangle(item.raw):
            rules += (
                Rule(left, bottom, right, bottom),
                Rule(left, top, right, top),
                Rule(left, bottom, left, top),
                Rule(right, bottom, right, top),
            )
    return rules


def _is_rectangle(path: object) -> bool:
    """Whether a path is four or five points of straight lines, stroked or filled."""
    from pypdfium2 import raw

    return raw.FPDFPath_CountSegments(path) in {4, 5}
