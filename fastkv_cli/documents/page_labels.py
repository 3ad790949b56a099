"""What is printed on the pages of a PDF in place of their numbers, as iv or A-3."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pypdf import PdfReader

_MAX_LABEL = 16  # characters; a longer one names no page
_LIMIT_S = 1.0  # for all labels: looking one up takes as long as the file's list of them


class PageLabels:
    """The labels of a PDF; a broken list of them has none."""

    def __init__(self, reader: PdfReader) -> None:
        """Look whether the file has labels."""
        self._reader = reader
        self._left_s = _LIMIT_S
        try:
            self._has_any = "/PageLabels" in reader.root_object
        except Exception:  # noqa: BLE001 (pypdf raises anything on damaged files)
            self._has_any = False

    def of(self, number: int) -> str:
        """The label of a page, counted from 1; empty where that is its number, or has none."""
        if not self._has_any or self._left_s <= 0:
            return ""
        from pypdf._page_labels import index2label

        started = time.monotonic()
        try:
            label = str(index2label(self._reader, number - 1)).strip()
        except Exception:  # noqa: BLE001
            label = ""
        self._left_s -= time.monotonic() - started
        is_fit = len(label) <= _MAX_LABEL and label.isprintable()
        return label if is_fit and label != str(number) else ""
