"""Read a file that is inside another one, in the same process: an attachment of a mail."""

from __future__ import annotations

from ..messages import Job, PageRead
from ..source import holds_pdf_marker


def read_attachment(name: str, data: bytes, encoding: str | None) -> tuple[str, list[str]]:
    """Read a file of any format but images; files in it are not read.

    Returns:
        The text, and warnings.

    Raises:
        DocumentError: when it cannot be read.
    """
    from ..clean import join_pages
    from ..formats import format_of, read_as
    from ..omissions import split_notes
    from ..pdf_pages import read_pages

    if holds_pdf_marker(data):
        job = Job("PDF", name, None, None, encoding, 0, 0)
        pages = {
            page.number: page.text
            for page in read_pages(data, job)
            if isinstance(page, PageRead) and page.text
        }
        if not pages:
            raise ValueError("it holds no text: a scan")
        return "\n\n".join(join_pages(pages).values()), []
    text, notes, _ = read_as(format_of(data, name), data, name, encoding)
    warnings, _ = split_notes(notes)
    return text, list(warnings)
