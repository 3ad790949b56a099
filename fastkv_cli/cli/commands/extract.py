"""`fastkv extract`."""

from __future__ import annotations

from ..option_sets import ExtractOptions
from .sources import PathsArg, check_any


def extract(paths: PathsArg = None, *, options: ExtractOptions) -> None:
    """Show the text that the model would read, page by page, and count it."""
    check_any(paths, "name a file, as in: fastkv extract report.pdf")
    _ = options.read  # wrong values fail before anything is imported
    from .. import preview

    preview.extract(paths or ["-"], options)
