"""Correct Type 3 (drawn glyph) fonts, as in old TeX files, which pypdf extracts wrongly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pypdf import PageObject
    from pypdf.generic import DictionaryObject

_UNIT = 0.001  # of the font size: the unit of glyph widths in all other fonts
_SPACE = 32
_SLASHED = re.compile("/([^A-Za-z\\s]|[\x0b-\x0f])")
_PUNCTUATION = re.compile("[0-9.,]")
_MIN_SLASHED = 10
_MIN_GLYPHS = 10  # a font of a few symbols says little about the width of a space
_LIGATURES = {"\x0b": "ff", "\x0c": "fi", "\x0d": "fl", "\x0e": "ffi", "\x0f": "ffl"}  # TeX's OT1


def scale_widths(page: PageObject) -> None:
    """Scale the glyph widths of a page's Type 3 fonts to thousandths of the font size.

    These fonts choose their own unit, and most have no space glyph. If widths are taken as
    thousandths, with a space of fixed width, every kerning looks like a gap between words.
    """
    from pypdf.generic import ArrayObject, FloatObject, NameObject, NumberObject

    resources = cast("DictionaryObject", page["/Resources"].get_object())
    fonts = cast("DictionaryObject", resources["/Font"].get_object())
    for value in fonts.values():
        font = value.get_object()
        if font.get("/Subtype") != "/Type3":
            continue
        matrix, first = font["/FontMatrix"].get_object(), int(font["/FirstChar"].get_object())
        widths = [float(width.get_object()) for width in font["/Widths"].get_object()]
        filled = [width for width in widths if width]
        scale = abs(float(matrix[0])) / _UNIT
        if abs(scale - 1) < 0.01 or len(filled) < _MIN_GLYPHS:
            continue
        if first > _SPACE:
            widths, first = [0.0] * (first - _SPACE) + widths, _SPACE
        if first + len(widths) > _SPACE and not widths[_SPACE - first]:
            widths[_SPACE - first] = sum(filled) / len(filled) / 2
        font[NameObject("/FirstChar")] = NumberObject(first)
        font[NameObject("/Widths")] = ArrayObject(FloatObject(width * scale) for width in widths)
        font[NameObject("/FontMatrix")] = ArrayObject([FloatObject(_UNIT), *matrix[1:]])


def drop_slashes(text: str) -> str:
    """Drop the slashes from a text in which every digit, full stop and comma follows one.

    pypdf writes a glyph with an unknown name as `/name`. In these fonts the name is the character
    itself, or TeX's code of a ligature.
    """
    slashed = sum(match[1] in "0123456789.," for match in _SLASHED.finditer(text))
    if slashed < _MIN_SLASHED or slashed < 0.9 * len(_PUNCTUATION.findall(text)):
        return text
    return _SLASHED.sub(lambda match: _LIGATURES.get(match[1], match[1]), text)
