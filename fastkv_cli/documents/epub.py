"""EPUB books: web pages in a ZIP file, in reading order."""

from __future__ import annotations

import posixpath
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote

from ..errors import DocumentError
from .archive import local_name, open_archive, parse_xml, refusing_damage
from .document import MAX_CHARACTERS
from .html import decode_html, hidden_warning, html_to_text
from .omissions import Note, counted

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGE_TYPES = frozenset({
    "application/xhtml+xml", "text/html", "application/x-dtbook+xml", "image/svg+xml",
})  # fmt: skip


class _Book(NamedTuple):
    """Title and authors as Markdown, pages in reading order, and the number of missing ones."""

    head: str
    pages: list[str]
    num_missing: int


def read_epub(data: bytes, name: str, encoding: str | None = None) -> tuple[str, tuple[Note, ...]]:
    """Read a book as Markdown: title, authors, then its chapters.

    Args:
        data: The whole file.
        name: The document's name in messages.
        encoding: The user's choice for its pages; None to use what they declare.

    Returns:
        The text, and notes (hidden text, missing chapters, what was not read).

    Raises:
        DocumentError: when it is damaged, too large or copy-protected, or has no text besides its
            title.
    """
    with open_archive(data, name) as archive:
        with refusing_damage(name):
            book = _open_book(archive)
            encrypted = _encrypted(archive)
        if not encrypted.isdisjoint(book.pages):
            raise DocumentError(
                f"{name} is copy-protected (DRM): its text is encrypted",
                "use a copy without DRM",
            )
        parts = [book.head]
        num_missing = book.num_missing
        num_hidden = num_characters = 0
        omissions = Counter[str]()
        for page in book.pages:
            try:
                source, _ = decode_html(archive.read(page), name, encoding)
            except MemoryError:
                raise
            except Exception:  # noqa: BLE001 (one bad chapter must not lose the others)
                num_missing += 1
                continue
            text, hidden, left_out = html_to_text(source, is_book=True)
            parts.append(text)
            num_hidden += hidden
            omissions += left_out
            num_characters += len(text)
            if num_characters > MAX_CHARACTERS:  # the caller raises the error
                break
    if not num_characters:
        lost = f" ({num_missing:,} missing or damaged)" if num_missing else ""
        raise DocumentError(
            f"{name} holds no text in its chapters{lost}", "check it in an e-book reader"
        )
    notes: list[Note] = []
    if num_missing:
        subject = "1 chapter is" if num_missing == 1 else f"{num_missing:,} chapters are"
        notes.append(f"{subject} missing or damaged and left out")
    notes += hidden_warning(num_hidden)
    notes += counted(omissions)
    return "\n\n".join(filter(None, parts)), tuple(notes)


def _open_book(archive: zipfile.ZipFile) -> _Book:
    """Parse the package document; raises exceptions of many kinds if damaged."""
    container = parse_xml(archive.read(_CONTAINER))
    package_path = next(
        element.attrib["full-path"]
        for element in container.iter()
        if local_name(element) == "rootfile"
    )
    folder = posixpath.dirname(package_path)
    titles: list[str] = []
    authors: list[str] = []
    pages: dict[str, str] = {}
    others: set[str] = set()
    spine: list[str] = []
    for element in parse_xml(archive.read(package_path)).iter():
        kind, text = local_name(element), " ".join((element.text or "").split())
        if kind == "title" and text:
            titles.append(text)
        elif kind == "creator" and text:
            authors.append(text)
        elif kind == "item":
            is_nav = "nav" in (element.get("properties") or "").split()
            if is_nav or element.get("media-type") not in _PAGE_TYPES:
                others.add(element.attrib["id"])
                continue
            path = posixpath.join(folder, unquote(element.attrib["href"]))
            pages[element.attrib["id"]] = posixpath.normpath(path)
        elif kind == "itemref":
            spine.append(element.attrib["idref"])
    head = "\n\n".join(
        [*(f"# {title}" for title in titles[:1]), *filter(None, [", ".join(authors)])]
    )
    read = [pages[page] for page in dict.fromkeys(spine) if page in pages]
    if not read:  # no reading order given: the manifest's is mostly right
        return _Book(head, list(pages.values()), 0)
    return _Book(head, read, len(set(spine) - pages.keys() - others))


def _encrypted(archive: zipfile.ZipFile) -> set[str]:
    """The encrypted members; fonts often are, in books that are not copy-protected."""
    if _ENCRYPTION not in archive.namelist():
        return set()
    return set(_references(archive.read(_ENCRYPTION)))


def _references(data: bytes) -> Iterator[str]:
    for element in parse_xml(data).iter():
        if local_name(element) == "CipherReference":
            yield unquote(element.attrib["URI"])
