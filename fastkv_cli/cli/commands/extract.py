"""`fastkv extract`."""

from __future__ import annotations

from ..option_sets import ExtractOptions, read_options
from .sources import PathsArg, check_any


def extract(paths: PathsArg = None, *, options: ExtractOptions) -> None:
    """Show the text that the model would read, page by page, and count it."""
    check_any(paths, "name a file, as in: fastkv extract report.pdf")
    read = read_options(options)
    from .. import preview

    preview.extract(
        paths or ["-"], read, options.model, offline=options.offline, display=options.display()
    )
