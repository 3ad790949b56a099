"""Documents with pages, for the tests of evidence."""

from __future__ import annotations

from fastkv_cli.documents import Document, Page


def make_document(pages: list[str], path: str = "a.pdf", first: int = 1) -> Document:
    """A document whose pages hold these texts."""
    spans, start = [], 0
    for number, text in enumerate(pages, start=first):
        spans.append(Page(number, start, start + len(text)))
        start += len(text) + 2
    return Document(path, "\n\n".join(pages), len(pages), tuple(spans), ())


def make_text(text: str, path: str = "a.txt") -> Document:
    """A document without pages."""
    return Document(path, text, None, (), ())
