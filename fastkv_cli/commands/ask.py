"""`fastkv ask`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from ..config import DEFAULT_ANSWER_TOKENS
from ..errors import UsageError
from ..option_sets import RunOptions

ArgumentsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar='PATH… "QUESTION"',
        show_default=False,
        help="Documents, folders or patterns (- is stdin), and at the end the question.",
    ),
]

_EXAMPLE = 'as in: fastkv ask report.pdf "Who wrote it?"'


def ask(arguments: ArgumentsArg = None, *, options: RunOptions) -> None:
    """Answer a question from documents of any length."""
    from ..documents import names_documents

    *paths, question = arguments or [""]
    if not question.strip() or question == "-" or names_documents(question):
        raise UsageError("the question is missing", f"put it last, {_EXAMPLE}")
    if not paths and sys.stdin.isatty():
        raise UsageError("no document given", f"name one before the question, {_EXAMPLE}")
    request = options.request(paths or ["-"])
    max_tokens = request.max_tokens or DEFAULT_ANSWER_TOKENS
    from .. import pipeline, preview, tasks

    if options.dry_run:
        forecast = partial(tasks.forecast_ask, question=question)
        preview.forecast("ask", request, forecast, max_tokens, options.display())
        return
    task = partial(tasks.ask, question=question)
    pipeline.run("ask", request, task, max_tokens, options.display())
