"""How documents are read: pages, password, encoding, limits and OCR; validated once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from .errors import UsageError

_SPAN = re.compile(r"\s*+(\d{1,18})\s*+(-?)\s*+(\d{0,18})\s*+")  # of pages


class OcrMode(StrEnum):
    """Which pages are recognized by OCR: those without usable text, none, or all."""

    AUTO = "auto"
    OFF = "off"
    FORCE = "force"


@dataclass(frozen=True, slots=True)
class PageRange:
    """The pages of a PDF to read, 1-based as viewers count them: `1-5,9,20-`."""

    spans: tuple[tuple[int, int | None], ...]

    @classmethod
    def parse(cls, text: str) -> PageRange:
        """Parse `1-5,9,20-`.

        Raises:
            UsageError: when a part is neither a page nor a range, or runs backwards.
        """
        spans: list[tuple[int, int | None]] = []
        for part in text.split(","):
            match = _SPAN.fullmatch(part)
            if match is None or (match[3] and not match[2]) or int(match[1]) < 1:
                raise UsageError(
                    f"cannot read the page range {text!r}",
                    "write it as 1-5,9 (the first page is 1)",
                )
            first = int(match[1])
            last = int(match[3]) if match[3] else (None if match[2] else first)
            if last is not None and last < first:
                raise UsageError(
                    f"the page range {part.strip()} runs backwards", f"write {last}-{first}"
                )
            spans.append((first, last))
        return cls(tuple(spans))

    def select(self, num_pages: int) -> list[int]:
        """The 1-based page numbers to read, ascending, each once.

        Raises:
            UsageError: when the range names a page that the document does not have.
        """
        beyond = [max(a, b or a) for a, b in self.spans if max(a, b or a) > num_pages]
        if beyond:
            pages = "1 page" if num_pages == 1 else f"{num_pages} pages"
            raise UsageError(f"page {beyond[0]} is out of range", f"the document has {pages}")
        chosen = {
            page for first, last in self.spans for page in range(first, (last or num_pages) + 1)
        }
        return sorted(chosen)


DEFAULT_EXTRACT_TIMEOUT_S = 60.0
DEFAULT_OCR_DPI = 200


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of reading documents.

    Attributes:
        pages: the pages of a PDF to read; None for all.
        password: of an encrypted PDF.
        encoding: of texts and web pages, by a name that Python knows; None to detect it.
        extract_timeout_s: time limit in seconds for extracting the text of one document; for OCR,
            of one page.
        ocr: which pages are recognized by OCR.
        ocr_dpi: the resolution in which pages are drawn for it.
        attachments: whether to read the files in a mail, too.
        url: whether names are addresses on the web, also without https://.
        allow_local: whether addresses may lead into private networks.
        offline: whether no address may be fetched.
    """

    pages: PageRange | None = None
    password: str | None = None
    encoding: str | None = None
    extract_timeout_s: float = DEFAULT_EXTRACT_TIMEOUT_S
    ocr: OcrMode = OcrMode.AUTO
    ocr_dpi: int = DEFAULT_OCR_DPI
    attachments: bool = False
    url: bool = False
    allow_local: bool = False
    offline: bool = False

    def __post_init__(self) -> None:
        if not 72 <= self.ocr_dpi <= 600:
            raise UsageError(
                f"--ocr-dpi {self.ocr_dpi} is out of range", "give a value between 72 and 600"
            )
        if not 0 < self.extract_timeout_s <= 86_400:
            raise UsageError(
                f"--extract-timeout {self.extract_timeout_s:g} is out of range",
                "it is above 0 and at most 86400 seconds, a day",
            )
        if self.encoding is not None and not _decodes_text(self.encoding):
            raise UsageError(
                f"encoding {self.encoding!r} is unknown",
                "name one as utf-8, utf-16, cp1252, gb18030, shift_jis, big5 or koi8-r",
            )


def _decodes_text(encoding: str) -> bool:
    """Whether a codec decodes text; some of Python's codecs do other things."""
    try:
        bytes(4).decode(encoding, "replace")
    except (LookupError, ValueError):
        return False
    return True
