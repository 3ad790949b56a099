"""`fastkv summarize`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..config import DEFAULT_MAX_TOKENS, Length, Preset
from ..errors import UsageError
from ..options import RunOptions

PathsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH…|-]",
        show_default=False,
        help="PDF or text files; - (or nothing, in a pipe) is stdin.",
    ),
]
LengthOpt = Annotated[
    Length, typer.Option("--length", "-l", help="How long the summary should be.")
]


def summarize(
    paths: PathsArg = None, length: LengthOpt = Length.MEDIUM, *, options: RunOptions
) -> None:
    """Summarize documents of any length."""
    if not paths and sys.stdin.isatty():
        raise UsageError("no document given", "name a file, as in: fastkv summarize report.pdf")
    request = options.request(paths or ["-"], usual_preset=Preset.QUALITY)
    from .. import pipeline, tasks

    pipeline.run(
        "summarize",
        request,
        lambda work: tasks.summarize(work, length),
        request.max_tokens or DEFAULT_MAX_TOKENS[length],
        options.display(),
    )
