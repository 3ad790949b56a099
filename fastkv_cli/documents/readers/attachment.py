"""Read a file that is inside another one, in the same process: an attachment of a mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain, pairwise

from ..messages import Job, Message, Opened, PageFailed, PageRead, Remarks, Stopped
from ..omissions import Note, Omission, counted
from ..source import holds_pdf_marker


def read_attachment(name: str, data: bytes, encoding: str | None) -> tuple[str, list[Note]]:
    """Read a file of any format but images; files in it are not read.

    Returns:
        The text, and notes. Pages are not told: they are the attachment's own.

    Raises:
        DocumentError: when it cannot be read.
        ValueError: when it is a PDF whose pages are all scans, or cannot be read.
    """
    from ..formats import format_of, read_as
    from ..pdf_pages import read_pages

    if holds_pdf_marker(data):
        return _read_pdf(read_pages(data, Job("PDF", name, None, None, encoding, 0, 0)))
    text, notes, _ = read_as(format_of(data, name), data, name, encoding)
    return text, list(notes)


def _read_pdf(messages: Iterable[Message]) -> tuple[str, list[Note]]:
    from ..clean import join_pages
    from ..invisible import invisible_warning
    from ..page_tables import page_break
    from ..split_words import join_split_words
    from ..verdict import failed_pages, garbled_pages, halved_words, pages_phrase

    pages: dict[int, PageRead] = {}
    failures: dict[int, str] = {}
    notes: list[Note] = []
    for message in messages:
        if isinstance(message, PageRead):
            pages[message.number] = message
            notes += counted(message.omissions)
        elif isinstance(message, PageFailed):
            failures[message.number] = message.reason
        elif isinstance(message, Opened) and message.is_cut_off:
            notes.append("the file ends early: pages may be missing")
        elif isinstance(message, Stopped):
            notes.append(f"{message.reason}: those behind them were left out")
        elif isinstance(message, Remarks):
            notes += [Omission(*n[:2]) if isinstance(n, Omission) else n for n in message.notes]
    whole = join_split_words({n: page.text for n, page in pages.items() if page.text})
    texts = list(join_pages(whole.pages).values())
    if not texts:
        raise ValueError(failed_pages(failures) if failures else "it holds no text: a scan")
    if failures:
        notes.append(failed_pages(failures))
    if empty := [number for number, page in pages.items() if not page.text]:
        notes.append(f"{pages_phrase(empty, ' holds', ' hold')} no text (blank or a scan)")
    hidden = sum((Counter(page.hidden) for page in pages.values()), Counter())
    notes += filter(None, (garbled_pages(pages), invisible_warning(hidden)))
    notes += halved_words(whole.suspects)
    breaks = [page_break(*pair) for pair in pairwise(texts)]
    return "".join(chain.from_iterable(zip(texts, [*breaks, ""], strict=True))), notes
