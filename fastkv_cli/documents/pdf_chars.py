"""The characters of a PDF page with their places, by PDFium."""

from __future__ import annotations

import ctypes
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .document import MAX_CHARACTERS
from .pdf_segments import Char, Segment, Words, space_after

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_HYPHENS = frozenset((0x2, 0xFFFE))  # PDFium's sign for a hyphen that it takes to cut a word
_LIGATURES = {0x0B: "ff", 0x0C: "fi", 0x0D: "fl", 0x0E: "ffi", 0x0F: "ffl"}  # TeX's OT1
# Parts of tall brackets in Adobe's private area: the topmost stands for the whole.
_BRACKETS = dict(zip(map(ord, "\uf8eb\uf8f6\uf8ee\uf8f9\uf8f1\uf8fc"), "()[]{}", strict=True))
_BRACKET_PIECES = frozenset(range(0xF8E5, 0xF8FF)) - _BRACKETS.keys()
# Bullets and boxes of Symbol and Wingdings, where these say nothing else by the same code.
_SIGNS = {**_BRACKETS, 0xF0B7: "•", 0xF0A7: "▪", 0xF0FE: "[x]", 0xF0FD: "[x]"}
_LINE_END = re.compile("[\r\n\x02\ufffe]")
_PLAIN = re.compile("[ -~\u00a0-\u058f\u1e00-\u1fff\u2010-\u2fff\u3000-\ud7ff]*+")
_WORD = re.compile("[^ ]++")
_WORD_OR_SPACE = re.compile(" |[^ ]++")
# A line has even spaces if none can be wide enough to part two columns, or narrow as in "ob ject".
_MAX_SPACE, _UNEVEN = 0.5, 0.12  # of a line's height: its first space, and what its width is off


Turn = Callable[[float, float, float, float], tuple[float, float, float, float]]
"""Maps left, bottom, right and top from the page as it is stored to the page as it is shown."""


def turned(page: PdfPage) -> Turn | None:
    """How places of a page are mapped, by its rotation; all but their differences is arbitrary.

    None for a page that is not rotated.
    """
    return {
        90: lambda left, bottom, right, top: (bottom, -right, top, -left),
        180: lambda left, bottom, right, top: (-right, -top, -left, -bottom),
        270: lambda left, bottom, right, top: (-top, left, -bottom, right),
    }.get(page.get_rotation())


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
    text_page = page.get_textpage()
    reader = _CharReader(text_page.raw, turned(page), hidden_layers)
    segments = [segment for bounds in reader.lines() if (segment := reader.read(*bounds))]
    text_page.close()
    return segments, reader.num_hidden


class _CharReader:
    """Reads the characters of one page.

    Each call of PDFium takes 0.4 µs from Python. In a part of a line that is one text object, which
    has one font and one size, words stand for their characters, with two calls for each. Where its
    width is that of its characters and of even spaces besides, it stands for its words, with eight
    calls in all. A page of 3,500 characters takes 1, 4 and 12 ms.
    """

    def __init__(self, handle: object, turn: Turn | None, hidden_layers: frozenset[str]) -> None:
        from pypdfium2 import raw

        self._raw, self._handle, self._turn = raw, handle, turn
        self._box = raw.FS_RECTF()
        self._x, self._y = ctypes.c_double(), ctypes.c_double()
        self._pointers = ctypes.byref(self._box), ctypes.byref(self._x), ctypes.byref(self._y)
        self._layers = _Layers(handle, hidden_layers) if hidden_layers else None
        self._codes = self._read_codes()
        self._widths: dict[tuple[int, float], dict[str, float]] = defaultdict(dict)
        self.num_hidden = 0

    def _read_codes(self) -> str:
        """All characters; one for each index of PDFium."""
        count = min(self._raw.FPDFText_CountChars(self._handle), MAX_CHARACTERS + 1)
        buffer = (ctypes.c_ushort * (count + 1))()
        length = self._raw.FPDFText_GetText(self._handle, 0, count, buffer)
        text = bytes(buffer)[: 2 * (length - 1)].decode("utf-16-le", "replace")
        if len(text) == count and length == count + 1:
            return text
        get = self._raw.FPDFText_GetUnicode  # the text leaves out what has no character
        return "".join(chr(get(self._handle, index) or 0xFFFD) for index in range(count))

    def lines(self) -> Iterator[tuple[int, int]]:
        """First index and the one behind the last of each line that PDFium saw."""
        start = 0
        for end in (match.start() for match in _LINE_END.finditer(self._codes)):
            is_hyphen = ord(self._codes[end]) in _HYPHENS
            if is_hyphen or self._raw.FPDFText_IsGenerated(self._handle, end) == 1:
                yield start, end + is_hyphen
                start = end + 1
        yield start, len(self._codes)

    def read(self, start: int, end: int) -> Segment:
        """The characters of a line, or its words."""
        if start >= end:
            return []
        text = self._codes[start:end]
        has_hyphen = ord(text[-1]) in _HYPHENS
        plain = text[:-1] if has_hyphen else text
        if self._layers is not None or self._turn is not None or not _PLAIN.fullmatch(plain):
            return _spell_ligatures(list(self._read_chars(start, end)))
        segment: Segment = []
        for first, run, is_whole in self._runs(start, plain):
            if is_whole:
                segment += self._read_run(first, run)
            else:
                segment += self._read_chars(first, first + len(run))
        if has_hyphen:
            segment += self._read_chars(end - 1, end)
        return segment

    def _runs(self, start: int, text: str) -> Iterator[tuple[int, str, bool]]:
        """The parts of a line: first index, text, and whether it is of one text object."""
        if self._raw.FPDFText_CountRects(self._handle, start, len(text)) <= 1:
            yield start, text, True
            return
        spans = [match.span() for match in _WORD.finditer(text)]
        objects = [self._object(start + begin) for begin, _ in spans]
        first = 0
        for at, (begin, end) in enumerate(spans):
            following = spans[at + 1][0] if at + 1 < len(spans) else len(text)
            if following < len(text) and objects[at + 1] == objects[at]:
                continue
            if self._object(start + end - 1) == objects[at]:
                yield start + first, text[first:following], True
            else:
                if begin > first:
                    yield start + first, text[first:begin], True
                yield start + begin, text[begin:following], False
            first = following

    def _read_run(self, start: int, text: str) -> Segment:
        bare = text.rstrip(" ")
        even = self._read_even(start, bare)
        if even is None:
            return self._read_words(start, text)
        last = even[0]
        return even if bare == text else [last, space_after(last)]

    def _read_even(self, start: int, text: str) -> Segment | None:
        """A line as one piece; None if it is one word, or its words are not evenly spaced."""
        first, last = text.find(" "), start + len(text) - 1
        if first < 1 or "  " in text:
            return None
        left, bottom, _, top = self._bounds(start)
        _, last_bottom, right, last_top = self._bounds(last)
        size = top - bottom
        space = self._bounds(start + first + 1)[0] - self._bounds(start + first - 1)[2]
        if abs(last_top - last_bottom - size) > 0.01 or space > _MAX_SPACE * size:
            return None
        widths = self._widths[self._font(start), round(size, 2)]
        for char in set(text) - widths.keys():
            own_left, _, own_right, _ = self._bounds(start + text.index(char))
            widths[char] = own_right - own_left if char != " " else 0.0
        width, num_spaces = sum(map(widths.__getitem__, text)), text.count(" ")
        if abs(right - left - width - num_spaces * space) > _UNEVEN * size:
            return None
        space = (right - left - width) / num_spaces
        return [Words(text, left, right, self._base(start), size, widths, space)]

    def _object(self, index: int) -> int:
        """Identifies the text object of a character; 0 if it has none."""
        shown = self._raw.FPDFText_GetTextObject(self._handle, index)
        return ctypes.addressof(shown.contents) if shown else 0

    def _font(self, index: int) -> int:
        shown = self._raw.FPDFText_GetTextObject(self._handle, index)
        font = self._raw.FPDFTextObj_GetFont(shown) if shown else None
        return ctypes.addressof(font.contents) if font else 0

    def _read_words(self, start: int, text: str) -> Segment:
        segment: Segment = []
        base = self._base(start)
        right = size = 0.0
        for match in _WORD_OR_SPACE.finditer(text):
            if match[0] == " ":
                segment.append(Char(" ", right, right, base, size))
                continue
            first, last = start + match.start(), start + match.end() - 1
            left, bottom, right, top = self._bounds(first)
            if last > first:
                right = self._bounds(last)[2]
            if (size and abs(top - bottom - size) > 0.01) or left > right:
                return list(self._read_chars(start, start + len(text)))
            size = size or top - bottom
            segment.append(Char(match[0], left, right, base, size))
        return segment

    def _read_chars(self, start: int, end: int) -> Iterator[Char]:
        height = base = bottom_before = 0.0
        for index in range(start, end):
            code = ord(self._codes[index])
            if self._layers is not None and self._layers.hides(index):
                self.num_hidden += 1
                continue
            is_hyphen = code in _HYPHENS
            if (code < 32 and not is_hyphen and code not in _LIGATURES) or code in _BRACKET_PIECES:
                continue
            left, bottom, right, top = self._bounds(index)
            if top - bottom == height:  # in one font, the baseline moves as the box does
                base += bottom - bottom_before
            else:
                base = self._base(index)
            height, bottom_before = top - bottom, bottom
            text = "-" if is_hyphen else _SIGNS.get(code) or self._codes[index]
            yield Char(text, left, right, base, height)

    def _bounds(self, index: int) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of a character."""
        box = self._box
        self._raw.FPDFText_GetLooseCharBox(self._handle, index, self._pointers[0])
        if self._turn is None:
            return box.left, box.bottom, box.right, box.top
        return self._turn(box.left, box.bottom, box.right, box.top)

    def _base(self, index: int) -> float:
        self._raw.FPDFText_GetCharOrigin(self._handle, index, *self._pointers[1:])
        x, y = self._x.value, self._y.value
        return y if self._turn is None else self._turn(x, y, x, y)[1]


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
