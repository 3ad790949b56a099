"""The public way in: `fastkv.open`."""

from __future__ import annotations

import os
from typing import Any

from ..errors import UsageError
from .observer import SILENT, Observer
from .options import SessionOptions
from .session import Session


def open(  # noqa: A001 (fastkv.open, as one opens a file)
    *sources: str | os.PathLike[str],
    observer: Observer = SILENT,
    resume: bool = False,
    maps: bool = False,
    **options: Any,
) -> Session:
    """Open documents and a model, to ask and summarize.

    Args:
        sources: files, folders and patterns; "-" is standard input.
        observer: told what the session does; by default nobody is.
        resume: continue an interrupted run from its finished parts.
        maps: record what becomes of each sentence of the documents, for `Answer.to_html`.
        options: those of the command line, by the same names and with the same defaults
            (`SessionOptions`): model, method, budget, pages, …

    Raises:
        UsageError: when an option is unknown or its value cannot be meant.
        FastKVError: when a document cannot be read, or the model cannot be had.
    """
    try:
        chosen = SessionOptions(**options)
    except TypeError as error:
        name = str(error).partition("'")[2].partition("'")[0]
        raise UsageError(f"there is no option {name!r}", "see fastkv ask --help") from None
    return Session(
        [os.fspath(source) for source in sources], chosen, observer, resume=resume, maps=maps
    )
