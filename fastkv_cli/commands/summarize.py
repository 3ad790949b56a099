"""`fastkv summarize`."""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated

import typer

from ..config import DEFAULT_MAX_TOKENS, Length, Preset
from ..errors import UsageError
from ..option_sets import RunOptions

PathsArg = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH…|-]",
        show_default=False,
        help="Documents, folders or patterns; - (or nothing, in a pipe) is stdin.",
    ),
]
LengthOpt = Annotated[
    Length, typer.Option("--length", "-l", help="How long the summary should be.")
]


def summarize(
    paths: PathsArg = None, length: LengthOpt = Length.MEDIUM, *, options: RunOptions
) -> None:
    """Summarize documents of any length."""
    if not paths and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("no document given", "name a file, as in: fastkv summarize report.pdf")
    request = options.request(paths or ["-"], usual_preset=Preset.QUALITY)
    max_tokens = request.max_tokens or DEFAULT_MAX_TOKENS[length]
    from .. import pipeline, preview, tasks

    if options.dry_run:
        forecast = partial(tasks.forecast_summary, length=length)
        preview.forecast("summarize", request, forecast, max_tokens, options.display())
        return
    task = partial(tasks.summarize, length=length)
    pipeline.run("summarize", request, task, max_tokens, options.display())
