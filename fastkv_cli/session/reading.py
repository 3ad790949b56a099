"""Reading the documents of a session."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..config import ReadOptions
from ..documents import Document, load_all
from ..documents.ocr.scans import ScannedPage
from ..store.ocr_pages import OcrPage, OcrPageStore
from .observer import Observer


class KeptScans:
    """Shows the progress of OCR, and keeps recognized pages for the next question."""

    def __init__(self, observer: Observer, store: OcrPageStore | None) -> None:
        """Keep pages in a store; None keeps none."""
        self._observer, self._store = observer, store

    def find(self, key: str) -> ScannedPage | None:
        page = None if self._store is None else self._store.find(key)
        return None if page is None else ScannedPage(*page)

    def keep(self, key: str, page: ScannedPage) -> None:
        if self._store is not None:
            self._store.keep(key, OcrPage(*page))

    def progress(self, done: int, total: int) -> None:
        self._observer.progress("recognizing pages (OCR)", done, total, "pages")
        if done == total and self._store is not None:
            self._store.prune()


def read_documents(
    sources: Sequence[str | Document],
    options: ReadOptions,
    observer: Observer,
    warn: Callable[[str], None],
    *,
    keeps_scans: bool = True,
) -> tuple[list[Document], float]:
    """Read the documents; also returns the seconds it took, without the time to type passwords.

    Call it before torch is imported, so that a wrong path fails at once.

    Args:
        sources: paths, folders, patterns, or "-"; or documents, which are read already.
        options: how to read them.
        observer: receives the progress, and is asked for passwords.
        warn: called with one line for each thing that was left out or may be wrong.
        keeps_scans: whether to keep the text of recognized pages on disk, and use kept ones.

    Raises:
        FastKVError: when a document that was named cannot be read.
    """
    started, typing_s = time.perf_counter(), 0.0

    def ask(name: str, tries: int) -> str | None:
        nonlocal typing_s
        asked = time.perf_counter()
        password = observer.password(name, tries)
        typing_s += time.perf_counter() - asked
        return password

    documents = [source for source in sources if isinstance(source, Document)]
    paths = [source for source in sources if isinstance(source, str)]
    warnings: list[str] = []
    extract_s = sum(document.read_s for document in documents)
    if paths or not documents:
        found, warnings = load_all(
            paths,
            options,
            on_page=lambda done, total: observer.progress("extracting pages", done, total, "pages"),
            ask_password=ask if observer.asks_passwords else None,
            scan_observer=KeptScans(observer, OcrPageStore(warn) if keeps_scans else None),
        )
        documents += found
        extract_s += time.perf_counter() - started - typing_s
    for warning in warnings:
        warn(warning)
    for document in documents:
        for warning in document.warnings:
            warn(f"{document.path}: {warning}")
    return documents, extract_s
