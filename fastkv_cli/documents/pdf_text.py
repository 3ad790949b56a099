"""The text of one PDF page: PDFium's characters laid out, or pypdf's text where it has none."""

from __future__ import annotations

import contextlib
import zlib
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import verdict
from .document import MAX_CHARACTERS
from .glyphs import drop_slashes, scale_widths
from .pdf_chars import open_text, read_chars, turned
from .pdf_columns import Extent
from .pdf_forms import annotation_lines, hidden_layers
from .pdf_layout import lay_out
from .pdf_rules import read_rules
from .reading_order import extract_text

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader
    from pypdfium2 import PdfPage


class TextReader:
    """Reads pages of one file.

    PDFium knows fonts better than pypdf does and is five to ten times as fast; pypdf says what is
    wrong with a broken page, and reads the rest of a file: form fields, comments, labels.
    """

    def __init__(self, data: bytes, password: str | bytes | None, reader: PdfReader) -> None:
        """Open the file with PDFium too.

        Args:
            data: The file.
            password: That pypdf opened it with; None if it needs none.
            reader: The file, opened by pypdf.
        """
        self._document = open_text(data, password)
        if self._document is not None and len(self._document) != len(reader.pages):
            self._document = None  # it repaired the file in another way: numbers would not agree
        self._hidden_layers = hidden_layers(reader)
        self._open: tuple[int, Sequence[Extent]] = 0, ()
        self._heads = deque[str](maxlen=4)  # of two pages: left and right ones may differ

    def read(self, page: PageObject, number: int) -> tuple[str, dict[str, int]]:
        """The raw text of a page, and what was left out of it (kind → count).

        Where PDFium's text has none or looks like garbage, pypdf's is taken if it is better.

        Raises:
            Exception: any, of pypdf, on a page whose content is broken.
        """
        contents = page.get_contents()
        if contents is not None:
            contents.get_data()
        if _is_damaged(page):
            _read_with_pypdf(page)  # raises where PDFium would silently show a part of the page
        text, omissions = "", Counter[str]()
        if self._document is not None:
            with contextlib.suppress(OSError, RuntimeError, ValueError):
                text = self._lay_out(self._document[number - 1], page, number, omissions)
        if not text.strip() or verdict.looks_unreadable(text):
            other = _read_with_pypdf(page)
            if not text.strip() or (other.strip() and not verdict.looks_unreadable(other)):
                text = other
        return text[: MAX_CHARACTERS + 1], dict(omissions)

    def _lay_out(
        self, shown: PdfPage, page: PageObject, number: int, omissions: Counter[str]
    ) -> str:
        segments, num_hidden = read_chars(shown, self._hidden_layers)
        lines, strikes, num_comments = annotation_lines(page, turned(shown))
        omissions["comment"] += num_comments
        omissions["text of a hidden layer"] += num_hidden > 0
        before, columns = self._open
        layout = lay_out(
            segments,
            [*read_rules(shown), *strikes],
            lines,
            columns if before == number - 1 else (),
            self._heads,
        )
        self._open = number, layout.open_columns
        self._heads += layout.heads
        shown.close()
        return layout.text


def _is_damaged(page: PageObject) -> bool:
    """Whether the checksum of a page's compressed content is wrong, or its end is missing."""
    contents: Any = page["/Contents"].get_object() if "/Contents" in page else None
    for part in contents if isinstance(contents, list) else [contents]:
        stream = None if part is None else part.get_object()
        if stream is None or stream.get("/Filter") != "/FlateDecode":
            continue
        decoder = zlib.decompressobj()
        try:
            decoder.decompress(stream._data)
        except zlib.error:
            return True
        if not decoder.eof:
            return True
    return False


def _read_with_pypdf(page: PageObject) -> str:
    with contextlib.suppress(Exception):  # without scaled widths the text is still usable
        scale_widths(page)
    return drop_slashes(extract_text(page))
