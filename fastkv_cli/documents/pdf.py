"""Read a PDF: collect its pages from the parser process, join them, and report problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ..config import OcrMode, ReadOptions
from ..errors import DocumentError
from . import verdict
from .clean import join_pages
from .document import MAX_CHARACTERS, Document, Page
from .invisible import invisible_warning
from .messages import Job, Message, Opened, PageFailed, PageRead, Refused, Remarks, Stopped
from .ocr.extra import ocr_hint, wanted_mode
from .ocr.scans import NO_OBSERVER, ScanObserver, Scans, recognize
from .omissions import Note, Omission, counted, decode_notes, split_notes
from .page_tables import page_break
from .process import ReadingProcess, as_error, make_job
from .source import label
from .split_words import join_split_words

_REPRINT = "print it to a new PDF in another program, or run OCR over it, e.g. ocrmypdf --force-ocr"
_JOIN_CHARACTER_S = 0.6e-6  # upper bound of the time that joining takes, on a slow machine
_JOIN_PAGE_S = 50e-6


@dataclass(slots=True)
class _Extraction:
    """The pages received so far, by page number."""

    chosen: Sequence[int] = ()
    num_pages: int = 0
    is_cut_off: bool = False
    pages: dict[int, PageRead] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    remarks: list[Note] = field(default_factory=list)
    recognized: set[int] = field(default_factory=set)  # by OCR, or tried
    ocr_failures: dict[int, str] = field(default_factory=dict)
    stopped: Stopped | None = None

    @property
    def omissions(self) -> Iterator[Omission]:
        """What was left out of the pages that were read."""
        for number, page in self.pages.items():
            yield from counted(page.omissions, (number,))

    @property
    def empty(self) -> list[int]:
        """The numbers of the pages without text."""
        return [number for number, page in self.pages.items() if not page.text]

    @property
    def left_out(self) -> list[int]:
        """The numbers of the pages that were not reached."""
        if self.stopped is None:
            return []
        return [n for n in self.chosen if n not in self.pages and n not in self.failures]


def read_pdf(
    chunks: Iterable[bytes],
    source: str,
    options: ReadOptions,
    *,
    kind: str = "PDF",
    on_page: Callable[[int, int], None] | None = None,
    scan_observer: ScanObserver = NO_OBSERVER,
) -> Document:
    """Read the text of a PDF or an image.

    Args:
        chunks: The bytes of the file.
        source: The path as the user typed it.
        options: Page range, password, time limit and OCR.
        kind: "PDF", or the format of an image, which is all OCR.
        on_page: Called after each page with the pages done and the pages to read.
        scan_observer: Keeps recognized pages, and is told the progress of OCR.

    Raises:
        UsageError: when `options.pages` names a page that the file does not have.
        EncryptedError: when it needs a password, or another one.
        DocumentError: when it is damaged, has no pages, or yields no text.
    """
    name = label(source)
    mode = wanted_mode(options, name)
    kept: list[bytes] = []
    if mode is not OcrMode.OFF:  # its pages may have to be drawn
        chunks = _keep(chunks, kept)
    raw = _extract(chunks, make_job(kind, name, options, mode), options, on_page)
    if any(page.digest for page in raw.pages.values()):
        _recognize(raw, kind, name, lambda: b"".join(kept), options, scan_observer)
    kept.clear()
    whole = join_split_words({n: page.text for n, page in raw.pages.items() if page.text})
    if not whole.pages:
        raise _no_text(name, raw)
    text, pages = _join(join_pages(whole.pages), raw.pages)
    notes = [*_notes(raw), *verdict.halved_words(whole.suspects)]
    warnings, omissions = split_notes([*notes, *raw.remarks, *raw.omissions])
    return Document(
        path=source,
        text=text,
        num_pages=raw.num_pages,
        pages=pages,
        warnings=warnings,
        omissions=omissions,
        kind=kind,
        empty=tuple(raw.empty),
        failed=tuple(raw.failures),
        left_out=tuple(raw.left_out),
    )


def _extract(
    chunks: Iterable[bytes],
    job: Job,
    options: ReadOptions,
    on_page: Callable[[int, int], None] | None,
) -> _Extraction:
    """Receive the text of the selected pages, up to MAX_CHARACTERS in all."""
    raw = _Extraction()
    num_characters = 0
    with ReadingProcess(job) as process:
        process.send(chunks)
        for message in process.messages():
            _record(message, raw, options)
            if not isinstance(message, PageRead | PageFailed):
                continue
            if isinstance(message, PageRead):
                num_characters += len(message.text)
                if num_characters > MAX_CHARACTERS:
                    _stop_before(message.number, raw)
                    break
                process.reserve_time(
                    num_characters * _JOIN_CHARACTER_S + len(raw.pages) * _JOIN_PAGE_S
                )
            if on_page is not None:
                on_page(len(raw.pages) + len(raw.failures), len(raw.chosen))
    return raw


def _keep(chunks: Iterable[bytes], kept: list[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        kept.append(chunk)
        yield chunk


def _recognize(
    raw: _Extraction,
    kind: str,
    name: str,
    data: Callable[[], bytes],
    options: ReadOptions,
    observer: ScanObserver,
) -> None:
    """Replace pages by what OCR reads on them; failures are recorded."""
    pages = {number: page for number, page in raw.pages.items() if page.digest}
    raw.recognized.update(pages)
    for result in recognize(Scans(kind, name, data, pages, options), observer):
        if isinstance(result, PageRead):
            raw.pages[result.number] = result
        else:
            raw.ocr_failures[result.number] = result.reason


def _record(message: Message, raw: _Extraction, options: ReadOptions) -> None:
    """Record a message from the parser process."""
    match message:
        case Opened():
            raw.num_pages, raw.is_cut_off = message.num_pages, message.is_cut_off
            raw.chosen = range(1, message.num_pages + 1)
            if options.pages is not None:
                raw.chosen = options.pages.select(message.num_pages)
        case PageRead():
            raw.pages[message.number] = message
        case PageFailed():
            raw.failures[message.number] = message.reason
        case Remarks():
            raw.remarks += decode_notes(message.notes)
        case Stopped():
            raw.stopped = message
        case Refused():
            raise as_error(message)


def _stop_before(number: int, raw: _Extraction) -> None:
    """Drop a page, and all after it, that would exceed the character limit."""
    del raw.pages[number]
    if any(page.text for page in raw.pages.values()):
        raw.stopped = Stopped(
            f"stopped at {MAX_CHARACTERS:,} characters", "read parts of it with --pages"
        )
    else:
        raw.stopped = Stopped(
            f"page {number} alone holds more than {MAX_CHARACTERS:,} characters",
            "leave it out with --pages",
        )


def _join(texts: dict[int, str], read: dict[int, PageRead]) -> tuple[str, tuple[Page, ...]]:
    """Join the pages to one text, and return the span of each in it."""
    pages: list[Page] = []
    parts: list[str] = []
    start = 0
    for number, text in texts.items():
        page = read[number]
        if parts:
            parts.append(page_break(parts[-1], text))
            start += len(parts[-1])
        pages.append(Page(number, start, start + len(text), page.label, page.confidence))
        parts.append(text)
        start += len(text)
    return "".join(parts), tuple(pages)


def _notes(raw: _Extraction) -> list[str]:
    """The warnings of a PDF that has text."""
    notes: list[str] = []
    if raw.failures:
        notes.append(verdict.failed_pages(raw.failures))
    if empty := _empty_pages(raw):
        notes.append(empty)
    if raw.stopped and raw.left_out:
        left_out = verdict.pages_phrase(raw.left_out, " was", " were")
        notes.append(f"{raw.stopped.reason}: {left_out} left out; {raw.stopped.hint}")
    if raw.ocr_failures:
        notes.append(verdict.failed_ocr(raw.ocr_failures))
    unsure = verdict.unsure_pages(raw.pages)
    if unsure is not None:
        notes.append(unsure)
    garbled = verdict.garbled_pages(raw.pages)
    if garbled is not None:
        notes.append(garbled)
    hidden = invisible_warning(sum((Counter(p.hidden) for p in raw.pages.values()), Counter()))
    if hidden is not None:
        notes.append(hidden)
    if raw.is_cut_off:
        notes.append("the file ends early (an unfinished download?): pages may be missing")
    return notes


def _empty_pages(raw: _Extraction) -> str:
    empty = [number for number in raw.empty if number not in raw.ocr_failures]
    scans = [number for number in empty if raw.pages[number].shows_image]
    blanks = [number for number in empty if not raw.pages[number].shows_image]
    return verdict.empty_pages(scans, blanks)


def _no_text(name: str, raw: _Extraction) -> DocumentError:
    """The error for a PDF without text, with its most likely cause."""
    if raw.stopped is not None and (raw.left_out or not raw.chosen):
        seen = f"; {_empty_pages(raw)}" if raw.empty else ""
        return DocumentError(f"{name} gave no text ({raw.stopped.reason}{seen})", raw.stopped.hint)
    if not raw.empty:
        why = next(iter(raw.failures.values()), "the parser gave no reason")
        return DocumentError(f"no page of {name} could be read ({why})", _REPRINT)
    where = "in its 1 page" if raw.num_pages == 1 else f"in its {raw.num_pages} pages"
    if len(raw.empty) < raw.num_pages:
        where = "on " + verdict.pages_phrase(raw.empty)
    if raw.failures:
        where += f" ({verdict.failed_pages(raw.failures)})"
    if raw.ocr_failures:
        return DocumentError(
            f"{name} holds no text {where}, and {verdict.failed_ocr(raw.ocr_failures)}",
            verdict.OTHER_OCR,
        )
    if raw.recognized.issuperset(raw.empty):
        return DocumentError(
            f"{name} holds no text {where}, and OCR found none",
            "blank, or too small: try --ocr-dpi 300",
        )
    if any(raw.pages[number].shows_image for number in raw.empty):
        return DocumentError(f"{name} holds no text {where}", f"a scan; {ocr_hint()}")
    return DocumentError(
        f"{name} holds no text {where}",
        f"blank or drawing only; if letters are drawn in it, {ocr_hint()}",
    )
