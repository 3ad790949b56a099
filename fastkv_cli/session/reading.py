"""Reading the documents of a run: with a bar, a password where one is needed, and warnings told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..config import ReadOptions
from ..documents import Document, load_all
from ..output.console import ask_password, is_at_terminal
from ..output.progress import ProgressBars


def read_documents(
    sources: Sequence[str], options: ReadOptions, bars: ProgressBars, warn: Callable[[str], None]
) -> tuple[list[Document], float]:
    """The documents, and the seconds they took, without those of typing a password.

    Before torch is imported, so that mistakes cost little.

    Args:
        sources: paths, folders, patterns, or "-".
        options: how to read them.
        bars: shown on the way.
        warn: told of what was left out, or may be wrong.

    Raises:
        FastKVError: when a document that was named cannot be read.
    """
    started = time.perf_counter()
    typing_s = 0.0

    def ask(name: str, tries: int) -> str | None:
        nonlocal typing_s
        bars.close()
        asked = time.perf_counter()
        password = ask_password(name, tries)
        typing_s += time.perf_counter() - asked
        return password

    documents, warnings = load_all(
        sources,
        options,
        on_page=lambda done, total: bars.update("extracting pages", done, total, "pages"),
        ask_password=ask if is_at_terminal() else None,
    )
    extract_s = time.perf_counter() - started - typing_s
    for warning in warnings:
        warn(warning)
    for document in documents:
        for warning in document.warnings:
            warn(f"{document.path}: {warning}")
    return documents, extract_s
