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
    """Ask follow-up questions about documents in one conversation.

    At a terminal, /help lists the commands. Through a pipe, each line is a question.
    """
    if not paths:
        raise UsageError("no document given", "name a file, as in: fastkv chat report.pdf")
    if "-" in paths:
        raise UsageError(
            "chat reads its questions from standard input", "name a file for the document"
        )
    options.check_all()
    from ..chat import chat_loop

    chat_loop.run(paths, options)
