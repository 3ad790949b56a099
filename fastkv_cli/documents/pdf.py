"""PDF to text, page by page, with pypdf; one bad page does not lose the others."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING

from ..config import ReadOptions
from ..errors import DocumentError, EncryptedError
from . import verdict
from .clean import clean_pages
from .document import MAX_CHARACTERS, Document, Page
from .source import label

if TYPE_CHECKING:
    from pypdf import PdfReader

_PAGE_BREAK = "\n\n"
_REPAIR = "download it again, or repair it, e.g. with qpdf broken.pdf repaired.pdf"
_REPRINT = "print it to a new PDF in another program, or run OCR over it, e.g. ocrmypdf --force-ocr"
_OCR = "scanned? run OCR first, e.g. ocrmypdf"


@dataclass(slots=True)
class _Extraction:
    """What extraction has yielded so far, by page number."""

    texts: dict[int, str] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    left_out: list[int] = field(default_factory=list)


def read_pdf(
    data: bytes,
    source: str,
    options: ReadOptions,
    *,
    on_page: Callable[[int, int], None] | None = None,
) -> Document:
    """Read the text of a PDF.

    Args:
        data: The whole file.
        source: The path as the user typed it.
        options: Which pages to read, and the password.
        on_page: Called after each page with the pages done and the pages to read.

    Raises:
        UsageError: when `options.pages` names a page that the file does not have.
        EncryptedError: when it needs a password, or another one.
        DocumentError: when it is damaged, has no pages, or yields no text.
    """
    name = label(source)
    with _silent_pypdf():
        reader = _open(data, name)
        if reader.is_encrypted:
            _decrypt(reader, name, options.password)
        num_pages = _count_pages(reader, data, name)
        chosen = options.pages.select(num_pages) if options.pages else range(1, num_pages + 1)
        raw = _extract(reader, chosen, on_page)
        cleaned = clean_pages(raw.texts)
        empty = [number for number, text in cleaned.items() if not text]
        has_images = any(verdict.has_image(reader.pages[number - 1]) for number in empty)
    if len(empty) == len(cleaned):
        raise _no_text(name, raw, len(empty), has_images)
    text, pages = _join({number: text for number, text in cleaned.items() if text})
    notes = _notes(raw, empty, len(chosen), has_images)
    if b"%%EOF" not in data.rstrip(b"\0")[-4096:]:
        notes.append("the file ends early (an unfinished download?): pages may be missing")
    return Document(source, text, num_pages, pages, tuple(notes))


@contextmanager
def _silent_pypdf() -> Iterator[None]:
    """Keep pypdf's log lines and warnings from the user; a bad file causes thousands."""
    logger = logging.getLogger("pypdf")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _open(data: bytes, name: str) -> PdfReader:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    try:
        return PdfReader(BytesIO(data))
    except Exception as error:
        # Not only PdfReadError: damaged files raise AttributeError, TypeError, RecursionError …
        if isinstance(error, NotImplementedError | DependencyError) and b"/Encrypt" in data:
            raise _unsupported_encryption(name, error) from error
        raise _damaged(data, name, error) from error


def _decrypt(reader: PdfReader, name: str, password: str | None) -> None:
    """Unlock the file: first without a password, as most encrypted files ask for none."""
    for candidate in ("", *_spellings(password or "")):
        try:
            if reader.decrypt(candidate):
                return
        except ValueError:
            continue  # the standard forbids this password, so it is not the right one
        except Exception as error:
            raise _unsupported_encryption(name, error) from error
    if password is None:
        raise EncryptedError(
            f"{name} needs a password", "give it with --password or FASTKV_PDF_PASSWORD"
        )
    raise EncryptedError(
        f"the password for {name} is wrong", "check --password or FASTKV_PDF_PASSWORD"
    )


def _spellings(password: str) -> list[str | bytes]:
    """The ways in which programs have written a password down; one if it is ASCII."""
    if not password or password.isascii():
        return [password] if password else []
    spellings: list[str | bytes] = [password]
    for form in ("NFC", "NFD"):
        written = unicodedata.normalize(form, password)
        spellings.append(written.encode("utf-8", "surrogateescape"))
        spellings += [written.encode(codec, "replace") for codec in ("cp1252", "latin-1")]
    return spellings


def _count_pages(reader: PdfReader, data: bytes, name: str) -> int:
    try:
        num_pages = len(reader.pages)
    except Exception as error:
        raise _damaged(data, name, error) from error
    if num_pages == 0:
        raise DocumentError(f"{name} is a PDF without pages", "check the program that wrote it")
    return num_pages


def _extract(
    reader: PdfReader, chosen: Sequence[int], on_page: Callable[[int, int], None] | None
) -> _Extraction:
    """The raw text of the chosen pages, up to MAX_CHARACTERS in all."""
    raw = _Extraction()
    num_characters = 0
    for done, number in enumerate(chosen, start=1):
        try:
            text = reader.pages[number - 1].extract_text()
        except Exception as error:  # noqa: BLE001 (any kind, and the other pages are wanted)
            raw.failures[number] = verdict.reason(error)
        else:
            num_characters += len(text)
            if num_characters > MAX_CHARACTERS:
                raw.left_out = list(chosen[done - 1 :])
                break
            raw.texts[number] = text
        if on_page is not None:
            on_page(done, len(chosen))
    return raw


def _join(texts: dict[int, str]) -> tuple[str, tuple[Page, ...]]:
    """One text of all pages, and where each lies in it."""
    pages: list[Page] = []
    start = 0
    for number, text in texts.items():
        pages.append(Page(number, start, start + len(text)))
        start += len(text) + len(_PAGE_BREAK)
    return _PAGE_BREAK.join(texts.values()), tuple(pages)


def _notes(raw: _Extraction, empty: list[int], num_chosen: int, has_images: bool) -> list[str]:
    """The warnings of a PDF that does yield text."""
    notes: list[str] = []
    if raw.failures:
        notes.append(verdict.failed_pages(raw.failures))
    if empty:
        notes.append(verdict.empty_pages(empty, num_chosen, has_images))
    if raw.left_out:
        notes.append(
            f"stopped at {MAX_CHARACTERS // 10**6} million characters: "
            f"{verdict.pages_phrase(raw.left_out)} left out; read parts of it with --pages"
        )
    if verdict.unreadable(raw.texts.values()):
        notes.append(
            "text looks unreadable (its fonts do not say which characters they show): "
            "run OCR over it, e.g. ocrmypdf --force-ocr"
        )
    return notes


def _no_text(name: str, raw: _Extraction, num_empty: int, has_images: bool) -> DocumentError:
    """Why no page gave any text, by the likeliest cause."""
    if raw.left_out:
        return DocumentError(
            f"page {raw.left_out[0]} of {name} alone holds more than "
            f"{MAX_CHARACTERS // 10**6} million characters",
            "leave it out with --pages",
        )
    if not num_empty:
        why = next(iter(raw.failures.values()))
        return DocumentError(f"no page of {name} could be read ({why})", _REPRINT)
    pages = "its 1 page" if num_empty == 1 else f"its {num_empty} pages"
    if raw.failures:
        pages += f" that could be read ({verdict.failed_pages(raw.failures)})"
    if has_images:
        return DocumentError(f"{name} holds no text in {pages}", _OCR)
    return DocumentError(
        f"{name} holds no text in {pages}",
        "blank or drawing only; if letters are drawn in it, run OCR first, e.g. ocrmypdf",
    )


def _damaged(data: bytes, name: str, error: Exception) -> DocumentError:
    why = verdict.reason(error)
    if b" obj" not in data:
        return DocumentError(
            f"{name} is not a PDF: it begins like one, but nothing of one follows",
            "download it again",
        )
    if b"%%EOF" not in data.rstrip(b"\0")[-4096:]:
        return DocumentError(f"{name} is a damaged PDF, cut off before its end ({why})", _REPAIR)
    return DocumentError(f"{name} is a damaged PDF ({why})", _REPAIR)


def _unsupported_encryption(name: str, error: Exception) -> DocumentError:
    return DocumentError(
        f"{name} uses an unsupported encryption ({verdict.reason(error)})",
        "save a copy without it in a program that opens it",
    )
