"""`fastkv extract`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..errors import UsageError
from ..option_sets import ExtractOptions, read_options

PathsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH…|-]",
        show_default=False,
        help="Documents, folders or patterns; - (or nothing, in a pipe) is stdin.",
    ),
]


def extract(paths: PathsArg = None, *, options: ExtractOptions) -> None:
    """Show the text that the model would read, page by page, and count it."""
    if not paths and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("no document given", "name a file, as in: fastkv extract report.pdf")
    read = read_options(options)
    from .. import preview

    preview.extract(
        paths or ["-"], read, options.model, offline=options.offline, display=options.display()
    )
