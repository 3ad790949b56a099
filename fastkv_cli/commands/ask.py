"""`fastkv ask`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..config import DEFAULT_ANSWER_TOKENS
from ..errors import UsageError
from ..options import RunOptions

ArgumentsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar='PATH… "QUESTION"',
        show_default=False,
        help="PDF or text files (- is stdin), and at the end the question.",
    ),
]

_EXAMPLE = 'as in: fastkv ask report.pdf "Who wrote it?"'


def ask(arguments: ArgumentsArg = None, *, options: RunOptions) -> None:
    """Answer a question from documents of any length."""
    *paths, question = arguments or [""]
    if not question.strip() or question == "-" or _exists(question):
        raise UsageError("the question is missing", f"put it last, {_EXAMPLE}")
    if not paths and sys.stdin.isatty():
        raise UsageError("no document given", f"name one before the question, {_EXAMPLE}")
    request = options.request(paths or ["-"])
    from .. import pipeline, tasks

    pipeline.run(
        "ask",
        request,
        lambda work: tasks.ask(work, question),
        request.max_tokens or DEFAULT_ANSWER_TOKENS,
        options.display(),
    )


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long to be a path
        return False
