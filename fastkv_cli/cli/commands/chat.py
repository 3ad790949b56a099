"""`fastkv chat`."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import UsageError
from ..option_sets import ChatOptions

PathsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PATH…", show_default=False, help="Documents, folders or patterns; not stdin."
    ),
]


def chat(paths: PathsArg = None, *, options: ChatOptions) -> None:
    """Talk about documents: they are read once, and each answer knows those before.

    At a terminal, /help lists what can be done. Through a pipe, each line is a question.
    """
    if not paths:
        raise UsageError("no document given", "name a file, as in: fastkv chat report.pdf")
    if "-" in paths:
        raise UsageError(
            "standard input is where the questions come from", "name a file for the document"
        )
    options.check_all()
    from ..chat import chat_loop

    chat_loop.run(paths, options)
