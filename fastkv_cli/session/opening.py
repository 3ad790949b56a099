"""`fastkv.open`, the entry point of the Python API."""

from __future__ import annotations

import os
from typing import Any

from ..errors import UsageError
from .observer import SILENT, Observer
from .options import SessionOptions
from .session import Session


def open(  # noqa: A001 (called as fastkv.open)
    *sources: str | os.PathLike[str],
    observer: Observer = SILENT,
    resume: bool = False,
    maps: bool = False,
    **options: Any,
) -> Session:
    """Open documents and a model in a session.

    Args:
        sources: files, folders and patterns; "-" is standard input.
        observer: receives progress, warnings and pieces of answers; by default they are dropped.
        resume: continue an interrupted run from its finished parts.
        maps: record what becomes of each sentence of the documents, for `Answer.to_html`.
        options: the command line's, with the same names and defaults (`SessionOptions`): model,
            method, budget, pages, …

    Raises:
        UsageError: when an option is unknown, or its value is invalid.
        FastKVError: when a document cannot be read, or the model cannot be loaded.
    """
    try:
        chosen = SessionOptions(**options)
    except TypeError as error:
        name = str(error).partition("'")[2].partition("'")[0]
        raise UsageError(f"unknown option {name!r}", "see fastkv ask --help") from None
    paths = [os.fspath(source) for source in sources]
    return Session(paths, chosen, observer, resume=resume, maps=maps)
