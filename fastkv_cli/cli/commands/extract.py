"""`fastkv extract`."""

from __future__ import annotations

from ..option_sets import ExtractOptions
from .sources import PathsArg, check_any


def extract(paths: PathsArg = None, *, options: ExtractOptions) -> None:
    """Print the text that the model would read, page by page, with token counts."""
    check_any(paths, "name a file, as in: fastkv extract report.pdf")
    _ = options.read  # invalid values fail before anything is imported
    from .. import preview

    preview.extract(paths or ["-"], options)
