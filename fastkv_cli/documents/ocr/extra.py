"""What can be read with and without the ocr extra, and what to install."""

from __future__ import annotations

from functools import cache
from importlib import util

from ...config import OcrMode, ReadOptions
from ...errors import DocumentError

INSTALL = "pip install 'fastkv-cli[ocr]'"
_NEEDED = ("rapidocr", "onnxruntime", "pypdfium2", "PIL")


@cache
def is_installed() -> bool:
    """Whether the ocr extra is installed; nothing of it is imported."""
    return all(util.find_spec(name) is not None for name in _NEEDED)


def ocr_hint(*, again: bool = False) -> str:
    """The next step for pages that need OCR; `again` for those whose text is unreadable."""
    if is_installed():
        return "leave out --ocr off"
    tool = "run OCR over it, e.g. ocrmypdf --force-ocr" if again else "run OCR first, e.g. ocrmypdf"
    return f"{tool}, or let fastkv do it: {INSTALL}"


def wanted_mode(options: ReadOptions, name: str) -> OcrMode:
    """The mode for a document: off without the extra.

    Raises:
        DocumentError: when OCR is forced and the extra is not installed.
    """
    if options.ocr is not OcrMode.OFF and not is_installed():
        if options.ocr is OcrMode.FORCE:
            raise DocumentError(f"{name} cannot be read by OCR without the ocr extra", INSTALL)
        return OcrMode.OFF
    return options.ocr


def check_readable(kind: str, options: ReadOptions, name: str) -> None:
    """Check that a PDF or an image can be read: an image only by OCR.

    Raises:
        DocumentError: when it is an image, and OCR is off or not installed.
    """
    if kind == "PDF":
        return
    what = f"{name} is a {kind} image"
    if options.ocr is OcrMode.OFF:
        raise DocumentError(f"{what}, not text", "leave out --ocr off")
    if not is_installed():
        raise DocumentError(f"{what}, which needs the ocr extra", INSTALL)
