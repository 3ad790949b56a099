"""Extract the text of a PDF page by page; runs in the parser process.

On damaged files pypdf raises exceptions of all kinds, AttributeError and RecursionError among
them. Each is caught and reported with a reason, so that one bad page does not lose the others.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from ..config import OcrMode
from ..errors import DocumentError, EncryptedError
from . import verdict
from .clean import clean_page
from .document import MAX_CHARACTERS, MAX_PAGES
from .invisible import strip_invisible
from .messages import Job, Message, Opened, PageFailed, PageRead, Remarks, Stopped
from .ocr import SPARSE
from .ocr.page_digest import digest_page
from .page_labels import PageLabels
from .pdf_forms import document_extras
from .pdf_text import TextReader

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

_REPAIR = "download it again, or repair it, e.g. with qpdf broken.pdf repaired.pdf"
_PAGES_BETWEEN_CLEARING = 100


def read_pages(data: bytes, job: Job) -> Iterator[Message]:
    """Open a PDF, and read its pages one by one.

    Raises:
        UsageError: when a page is selected that the file does not have.
        EncryptedError: when it needs a password, or another one.
        DocumentError: when it is damaged, or has no pages.
    """
    reader = _open(data, job.name)
    password = _decrypt(reader, job.name, job.password) if reader.is_encrypted else None
    num_pages = _count_pages(reader, data, job.name)
    yield Opened(num_pages, is_cut_off=_is_cut_off(data))
    chosen: Sequence[int] = range(1, num_pages + 1)
    if job.page_range is not None:
        chosen = job.page_range.select(num_pages)
    labels = PageLabels(reader)
    texts = TextReader(data, password, reader)
    form, remarks = document_extras(reader)
    if remarks:
        yield Remarks(remarks)
    for done, number in enumerate(chosen[:MAX_PAGES], start=1):
        message = _try_page(reader, texts, number, form if done == 1 else "", job.ocr)
        if isinstance(message, PageRead) and message.text:
            message = replace(message, label=labels.of(number))
        yield message
        # The reader caches every object: gigabytes for a long file, or whatever broke a page.
        if isinstance(message, PageFailed) or done % _PAGES_BETWEEN_CLEARING == 0:
            reader.resolved_objects.clear()
    if len(chosen) > MAX_PAGES:
        yield Stopped(f"stopped at {MAX_PAGES:,} pages", "choose others with --pages")


def _try_page(
    reader: PdfReader, texts: TextReader, number: int, more: str, ocr: str
) -> PageRead | PageFailed:
    """Read a page; `more` is text to put behind it, `ocr` an `OcrMode`."""
    try:
        page = reader.pages[number - 1]
        raw, omissions = texts.read(page, number)
        if more:
            raw = f"{raw}\n\n{more}"
        visible, named, odd = verdict.count_odd(raw)
        seen, hidden = strip_invisible(raw)
        text = clean_page(seen)[: MAX_CHARACTERS + 1]
        shows_image = not text and verdict.has_image(page)
    except Exception as error:  # noqa: BLE001 (any exception; the other pages are still wanted)
        return PageFailed(number, verdict.reason(error))
    read = PageRead(
        number, text, shows_image, visible, named, odd, dict(hidden), omissions=omissions
    )
    return replace(read, digest=digest_page(page)) if _needs_ocr(read, page, ocr) else read


def _needs_ocr(read: PageRead, page: PageObject, mode: str) -> bool:
    """Whether the text of a page is missing or unreadable, or so little that it may be a stamp."""
    if mode == OcrMode.FORCE:
        return True
    if mode == OcrMode.OFF:
        return False
    if not read.text:
        return page.get("/Contents") is not None
    if verdict.is_unreadable(read.visible, read.named, read.odd):
        return True
    return read.visible < SPARSE and verdict.has_image(page)


def _open(data: bytes, name: str) -> PdfReader:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    try:
        return PdfReader(BytesIO(data))
    except Exception as error:
        if isinstance(error, NotImplementedError | DependencyError) and b"/Encrypt" in data:
            raise _unsupported_encryption(name, error) from error
        raise _damaged(data, name, error) from error


def _decrypt(reader: PdfReader, name: str, password: str | None) -> str | bytes:
    """Decrypt the file: first without a password, as most encrypted files need none.

    Returns:
        The password that opened it.
    """
    for candidate in ("", *_spellings(password or "")):
        try:
            if reader.decrypt(candidate):
                return candidate
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
    """The byte encodings in which programs store a password; just one if it is ASCII."""
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


def _is_cut_off(data: bytes) -> bool:
    return b"%%EOF" not in data[-8192:].rstrip(b"\0")[-4096:]


def _damaged(data: bytes, name: str, error: Exception) -> DocumentError:
    why = verdict.reason(error)
    if b" obj" not in data:
        return DocumentError(
            f"{name} is not a PDF: it begins like one, but nothing of one follows",
            "download it again",
        )
    if _is_cut_off(data):
        return DocumentError(f"{name} is a damaged PDF, cut off before its end ({why})", _REPAIR)
    return DocumentError(f"{name} is a damaged PDF ({why})", _REPAIR)


def _unsupported_encryption(name: str, error: Exception) -> DocumentError:
    return DocumentError(
        f"{name} uses an unsupported encryption ({verdict.reason(error)})",
        "save a copy without it in a program that opens it",
    )
